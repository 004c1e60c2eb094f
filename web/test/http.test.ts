import { afterEach, describe, expect, it, vi } from "vitest";
import { runBulk } from "../src/api/calls";
import { ApiError, request, stream } from "../src/api/http";

function answer(body: string, init: ResponseInit = {}) {
  const fetched = vi.fn(async (_url: string, _init?: RequestInit) => new Response(body, init));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

afterEach(() => vi.unstubAllGlobals());

describe("request", () => {
  it("makes words of google.rpc.Status", async () => {
    const status = {
      code: 3,
      message: "rate is too high",
      details: [
        { reason: "INVALID_FIELD" },
        { fieldViolations: [{ field: "settings.rate", description: "at most 1000000" }] },
      ],
    };
    answer(JSON.stringify(status), { status: 400 });
    const error = await request("queues/q").catch((one: unknown) => one);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ code: 3, reason: "INVALID_FIELD", message: "rate is too high" });
    expect((error as ApiError).fields.get("settings.rate")).toBe("at most 1000000");
  });

  it("bears an answer that no Relay gave", async () => {
    answer("<html>Bad gateway</html>", { status: 502, statusText: "Bad Gateway" });
    await expect(request("stats")).rejects.toThrow("502");
    answer("<html>hello</html>");
    await expect(request("stats")).rejects.toThrow("not JSON");
  });
});

describe("stream", () => {
  it("ends well with the end event only: what was cut is an error", async () => {
    answer('data: {"done":true}\n\nevent: end\ndata: {}\n\n');
    expect(await all(stream("x"))).toEqual([{ done: true }]);
    answer('data: {"done":false}\n\n');
    await expect(all(stream("x"))).rejects.toThrow("cut");
  });

  it("throws what the error event says", async () => {
    answer('event: error\ndata: {"error":{"code":14,"message":"Redis is away"}}\n\n');
    await expect(all(stream("x"))).rejects.toMatchObject({ code: 14, message: "Redis is away" });
  });
});

describe("runBulk", () => {
  const run = async (
    action: "requeue" | "cancel" | "purge queue",
    filter: { type?: string; errorType?: string },
    dryRun: boolean,
  ) => {
    const fetched = answer("event: end\ndata: {}\n\n");
    const selection = { filter: { state: "dead" as const, ...filter } };
    await all(runBulk({ action, queue: "q", selection }, dryRun, new AbortController().signal));
    return JSON.parse(String(fetched.mock.calls[0]?.[1]?.body)) as unknown;
  };

  it("asks for all only when there is no filter", async () => {
    expect(await run("requeue", {}, true)).toEqual({ filter: { all: true }, dryRun: true });
    expect(await run("requeue", { type: "t", errorType: "E" }, false)).toEqual({
      filter: { type: "t", errorType: "E" },
      dryRun: false,
    });
  });

  it("names the queue again for a purge that is meant", async () => {
    expect(await run("purge queue", {}, true)).toEqual({ dryRun: true });
    expect(await run("purge queue", {}, false)).toEqual({ confirm: "q" });
  });
});
