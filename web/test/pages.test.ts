import { describe, expect, it } from "vitest";
import { jobDetail, queueStats, toBytes, toMs } from "../src/api/decode";
import type { HistoryBucket, JobSummary, Worker } from "../src/api/model";
import { compare, merged } from "../src/jobs/useJobPages";
import { command, pythonText, quoted } from "../src/pages/job/commands";
import { show } from "../src/pages/job/payload";
import { troubled } from "../src/pages/overview/Attention";
import { addUp } from "../src/pages/overview/history";
import { toDrain } from "../src/pages/queues/drain";

const bytes = (text: string) => new TextEncoder().encode(text);
const job = (id: string) => ({ id, attempt: 0 }) as JobSummary;

describe("decode", () => {
  it("reads durations and bytes as proto3 JSON writes them", () => {
    expect(toMs("2.5s")).toBe(2500);
    expect(toMs(undefined)).toBe(0);
    expect([...toBytes("-_8=")]).toEqual([251, 255]);
  });

  it("takes what is left out as its default", () => {
    const detail = jobDetail({});
    expect(detail).toMatchObject({ contentType: "application/json", epoch: 0, failures: [] });
    expect(detail.retry).toMatchObject({ maxAttempts: 20, maxBackoffMs: 600_000 });
  });
});

describe("a list of jobs", () => {
  it("knows what is new and what is gone, and nothing about what lies behind the fresh page", () => {
    const shown = ["a", "b", "c", "d"].map(job);
    const fresh = { jobs: ["x", "a", "b"].map(job), nextPageToken: "more", total: 9 };
    expect(compare(shown, fresh)).toEqual({ news: 1, gone: 1 });
    expect(compare(shown, { ...fresh, nextPageToken: "" })).toEqual({ news: 1, gone: 2 });
  });

  it("takes new values in, in place", () => {
    const fresh = { jobs: [{ ...job("b"), attempt: 2 }], nextPageToken: "", total: 1 };
    expect(merged([job("a"), job("b")], fresh).map((one) => [one.id, one.attempt])).toEqual([
      ["a", 0],
      ["b", 2],
    ]);
  });
});

describe("a payload", () => {
  it("is indented when it is JSON, as it came otherwise", () => {
    expect(show(bytes('{"a":1}'), "application/json")).toMatchObject({
      kind: "json",
      text: '{\n  "a": 1\n}',
    });
    expect(show(bytes('{"a":12345678901234567890}'), "application/json").text).toBe(
      '{"a":12345678901234567890}',
    );
    expect(show(bytes("<b>hi</b>"), "text/html")).toMatchObject({ kind: "text", text: "<b>hi</b>" });
    expect(show(new Uint8Array([255, 0, 65]), "application/json").text).toMatch(/^000000 {2}ff 00 41 .*··A$/);
  });
});

describe("commands", () => {
  const detail = jobDetail({
    summary: { id: "01", queue: "q", type: "it's $(here)" },
    job: { payload: btoa('{"a":"\\"x\\""}'), headers: { "x-a": "1" } },
  });

  it("cannot be broken out of by what a job holds", () => {
    expect(quoted("a'b")).toBe("'a'\\''b'");
    expect(pythonText('a"b\\é\n')).toBe('"a\\"b\\\\\\u00e9\\n"');
    expect(command(detail, "curl", "again")).toContain("it'\\''s $(here)");
    expect(command(detail, "Python", "again")).toContain('b"{\\"a\\":\\"\\\\\\"x\\\\\\"\\"}"');
    expect(command(detail, "grpcurl", "show")).toContain('{"queue":"q","jobId":"01"}');
  });
});

describe("numbers of pages", () => {
  it("adds up histories minute by minute", () => {
    const bucket = (time: number, acked: number) =>
      ({ time, acked, enqueued: 0, failed: 0, dead: 0, ready: 0, inflight: 0 }) as HistoryBucket;
    expect(addUp([[bucket(1, 5), bucket(2, 1)], [bucket(2, 2)]]).map((one) => one.acked)).toEqual([5, 3]);
  });

  it("says how long a queue takes to drain, or why it does not", () => {
    const queue = (ready: number, paused = false) => {
      return queueStats({ queue: "q", ready: String(ready), paused });
    };
    const pace = (acked: number, enqueued: number) => ({
      mean: (key: string) => (key === "acked" ? acked : enqueued),
    });
    expect(toDrain(queue(0), pace(0, 0))).toBe("empty");
    expect(toDrain(queue(5, true), pace(9, 0))).toBe("paused");
    expect(toDrain(queue(5), pace(0, 0))).toBe("stuck");
    expect(toDrain(queue(5), pace(10, 12))).toBe("growing");
    expect(toDrain(queue(600), pace(20, 10))).toBe("1 min");
  });
});

describe("what needs attention", () => {
  const queues = [
    { queue: "served", ready: "3", oldestReadyAge: "90s" },
    { queue: "alone", ready: "2", oldestReadyAge: "90s", paused: true },
    { queue: "fine", ready: "1", oldestReadyAge: "1s", dead: "4", unreadable: "1" },
  ].map(queueStats);
  const worker = { connected: true, queues: [{ queue: "served" }, { queue: "fine" }] } as Worker;
  const names = (list: { name: string }[]) => list.map((queue) => queue.name);

  it("is told once for each queue and kind", () => {
    const found = troubled(queues, [worker]);
    expect([found.unreadable, found.orphan, found.late, found.dead, found.paused].map(names)).toEqual([
      ["fine"],
      ["alone"],
      ["served"],
      ["fine"],
      ["alone"],
    ]);
  });

  it("says nothing of workers before they are known", () => {
    expect(names(troubled(queues, undefined).orphan)).toEqual([]);
  });
});
