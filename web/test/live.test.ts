import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/http";
import type { WatchStatsResponseJson } from "../src/gen/relay/v1/admin_service_pb";
import { LiveConnection, type OpenStream, retryDelay } from "../src/live/connection";
import { Moments } from "../src/live/moments";
import { liveSpan, SAMPLES_MAX, Series } from "../src/live/series";
import { LiveStore } from "../src/live/store";

const START = Date.UTC(2026, 0, 1);

function stats(
  second: number,
  queues: Record<string, { acked?: number; ready?: number; dead?: number }>,
): WatchStatsResponseJson {
  return {
    time: new Date(START + second * 1000).toISOString(),
    queues: Object.entries(queues).map(([queue, one]) => ({
      queue,
      ready: String(one.ready ?? 0),
      dead: String(one.dead ?? 0),
      counters: { acked: String(one.acked ?? 0) },
    })),
  };
}

function snapshot(json: WatchStatsResponseJson) {
  const made = new Moments().take(json);
  if (!made) throw new Error("a piece is no moment");
  return made;
}

const atOnce = (run: () => void) => run();

describe("Moments", () => {
  it("puts pieces and changes together, and reckons how old a waiting job is", () => {
    const moments = new Moments();
    const first = stats(0, { b: { ready: 1 }, c: { ready: 2 } });
    expect(moments.take({ ...first, whole: true, more: true })).toBeNull();
    expect(moments.take(stats(0, { a: {} }))?.queues.map((one) => one.name)).toEqual(["a", "b", "c"]);
    const later = moments.take({ ...stats(3, { b: { ready: 5 } }), forgotten: ["a"] });
    expect(later?.queues.map((one) => [one.name, one.ready, one.oldestReadyMs])).toEqual([
      ["b", 5, 0],
      ["c", 2, 3000],
    ]);
    expect(moments.take({ ...stats(4, { z: {} }), whole: true })?.queues.map((one) => one.name)).toEqual([
      "z",
    ]);
  });
});

describe("LiveStore", () => {
  it("makes rates of totals, over the server's own time", () => {
    const store = new LiveStore(atOnce);
    store.apply(snapshot(stats(0, { a: { acked: 100 }, b: { acked: 5 } })));
    expect(store.total.last()).toEqual([]);
    store.apply(snapshot(stats(2, { a: { acked: 120 }, b: { acked: 5 } })));
    expect(
      store
        .series("a")
        .last()
        .map((one) => one.acked),
    ).toEqual([10]);
    expect(store.total.mean("acked")).toBe(10);
    expect(store.get().totals?.counters.acked).toBe(125);
  });

  it("makes no rate of a counter that fell, nor over a gap", () => {
    const store = new LiveStore(atOnce);
    store.apply(snapshot(stats(0, { a: { acked: 100 } })));
    store.apply(snapshot(stats(1, { a: { acked: 3 } })));
    expect(store.series("a").mean("acked")).toBe(0);
    store.apply(snapshot(stats(60, { a: { acked: 900 } })));
    expect(store.series("a").last()).toHaveLength(1);
  });

  it("keeps the object of a queue that did not change, and drops one that is gone", () => {
    const store = new LiveStore(atOnce);
    store.apply(snapshot(stats(0, { a: { ready: 1 }, b: { ready: 1 } })));
    const before = store.get().byName.get("a");
    store.apply(snapshot(stats(1, { a: { ready: 1 } })));
    expect(store.get().byName.get("a")).toBe(before);
    expect(store.get().byName.has("b")).toBe(false);
  });

  it("tells once a frame, however many snapshots come", () => {
    const frames: (() => void)[] = [];
    const store = new LiveStore((run) => frames.push(run));
    const told = vi.fn();
    store.subscribe(told);
    for (let second = 0; second < 50; second++)
      store.apply(snapshot(stats(second, { a: { acked: second } })));
    expect(frames).toHaveLength(1);
    expect(told).not.toHaveBeenCalled();
    frames[0]?.();
    expect(told).toHaveBeenCalledOnce();
  });
});

describe("Series", () => {
  it("holds the newest samples in their order", () => {
    const series = new Series();
    for (let time = 0; time < SAMPLES_MAX + 10; time++)
      series.push({ time, enqueued: 0, acked: time, failed: 0, ready: 0, inflight: 0 });
    expect(series.last(3).map((one) => one.time)).toEqual([
      SAMPLES_MAX + 7,
      SAMPLES_MAX + 8,
      SAMPLES_MAX + 9,
    ]);
    expect(series.last()).toHaveLength(SAMPLES_MAX);
    expect(series.mean("acked", 2)).toBe(SAMPLES_MAX + 8.5);
    expect(liveSpan(series.last())).toBe(60_000);
  });
});

describe("retryDelay", () => {
  it("grows, stays below its limit, and is spread", () => {
    const timing = { silenceMs: 0, firstDelayMs: 500, maxDelayMs: 10_000, random: () => 1 };
    expect([0, 1, 2, 20].map((attempt) => retryDelay(attempt, timing))).toEqual([500, 1000, 2000, 10_000]);
    expect(retryDelay(0, { ...timing, random: () => 0 })).toBe(250);
  });
});

describe("LiveConnection", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());
  const timing = { silenceMs: 20_000, firstDelayMs: 1000, maxDelayMs: 8000, random: () => 1 };
  const forever = (signal: AbortSignal) =>
    new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(new DOMException("", "AbortError"))),
    );

  it("says why it is down and when it tries again, and is live again with the next snapshot", async () => {
    let opened = 0;
    const open: OpenStream = async function* (signal) {
      opened += 1;
      if (opened <= 2) throw new ApiError("the server cannot be reached", 14);
      yield stats(1, { a: { ready: 7 } });
      await forever(signal);
    };
    const store = new LiveStore(atOnce);
    const connection = new LiveConnection(store, timing, open);
    connection.start();
    connection.start();
    await vi.advanceTimersByTimeAsync(0);
    const first = store.get().connection;
    expect(first).toMatchObject({ phase: "down", error: "the server cannot be reached" });
    expect(first.phase === "down" && first.retryAt).toBe(Date.now() + 1000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(opened).toBe(2);
    connection.retryNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(opened).toBe(3);
    expect(store.get().connection.phase).toBe("live");
    expect(store.get().byName.get("a")?.ready).toBe(7);
    connection.stop();
    expect(store.get().connection.phase).toBe("paused");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(opened).toBe(3);
  });

  it("asks nothing more once it is refused, until somebody signed in", async () => {
    const answers: (ApiError | null)[] = [
      new ApiError("who calls?", 16, "UNAUTHENTICATED"),
      null,
      new ApiError("eve is not viewer of any queue", 7, "PERMISSION_DENIED"),
      new ApiError("this Host is not allowed", 7, "FOREIGN_HOST"),
    ];
    let opened = 0;
    const open: OpenStream = async function* () {
      const answer = answers[opened++];
      if (answer) throw answer;
      yield stats(1, { a: { ready: 7 } });
      throw new ApiError("this token was revoked", 16, "UNAUTHENTICATED");
    };
    const store = new LiveStore(atOnce);
    const connection = new LiveConnection(store, timing, open);
    const seen: unknown[] = [];
    for (let visit = 0; visit < answers.length; visit++) {
      connection.start();
      await vi.advanceTimersByTimeAsync(0);
      seen.push(store.get().connection);
      if (visit < 3) {
        await vi.advanceTimersByTimeAsync(60_000);
        connection.stop();
        expect(opened).toBe(visit + 1);
      }
    }
    expect(seen).toMatchObject([
      { phase: "refused", error: "" },
      { phase: "refused", error: "this token was revoked" },
      { phase: "refused", error: "eve is not viewer of any queue" },
      { phase: "down", error: "this Host is not allowed" },
    ]);
    connection.stop();
  });

  it("gives up a stream that is silent, and one heartbeat keeps it", async () => {
    let opened = 0;
    let beat = () => {};
    const open: OpenStream = async function* (signal, onBytes) {
      opened += 1;
      beat = () => onBytes(2);
      yield stats(opened, {});
      await forever(signal);
    };
    const store = new LiveStore(atOnce);
    const connection = new LiveConnection(store, timing, open);
    connection.start();
    await vi.advanceTimersByTimeAsync(19_000);
    beat();
    await vi.advanceTimersByTimeAsync(19_000);
    expect(store.get().connection.phase).toBe("live");
    await vi.advanceTimersByTimeAsync(1000);
    expect(store.get().connection).toMatchObject({ phase: "down", error: "the server is silent" });
    connection.stop();
  });
});
