import { afterEach, describe, expect, it, vi } from "vitest";
import { listWorkers } from "../src/api/calls";

afterEach(() => vi.unstubAllGlobals());

/** Answers with one worker a page, so many pages. Returns what was asked for. */
function pages(n: number): string[] {
  const asked: string[] = [];
  vi.stubGlobal(
    "fetch",
    vi.fn(async (url: string) => {
      asked.push(url);
      const page = asked.length;
      const body = { workers: [{ sessionId: `s${page}` }], nextPageToken: page < n ? `t${page}` : "" };
      return new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
    }),
  );
  return asked;
}

describe("the workers", () => {
  it("are read page by page", async () => {
    const asked = pages(3);
    const workers = await listWorkers();
    expect(workers.sessions.map((one) => one.sessionId)).toEqual(["s1", "s2", "s3"]);
    expect(workers.more).toBe(false);
    expect(asked[2]).toContain("pageToken=t2");
  });

  it("end after some pages, and that is told", async () => {
    const asked = pages(100);
    const workers = await listWorkers();
    expect(asked.length).toBe(4);
    expect(workers.sessions.length).toBe(4);
    expect(workers.more).toBe(true);
  });
});
