// The one store of live data: the newest snapshot, the last minutes, and how the connection is. Pages subscribe to parts of it.

import type { QueueStats, Snapshot } from "../api/model";
import { add, noSample, Series, sampleOf } from "./series";

export type Connection =
  | { phase: "connecting" }
  | { phase: "live" }
  /** The tab is hidden, or a person stopped the updates. */
  | { phase: "paused" }
  /** `since`: when the last good news came; `retryAt`: when the next attempt starts, null while it runs. */
  | { phase: "down"; since: number; retryAt: number | null; error: string }
  /** Nobody is signed in, or the token may view no queue. `error` is the server's message; "" at the first visit. */
  | { phase: "refused"; error: string };

export interface LiveState {
  connection: Connection;
  /** Null until the first snapshot. */
  snapshot: Snapshot | null;
  byName: ReadonlyMap<string, QueueStats>;
  /** All queues together, under the name "". */
  totals: QueueStats | null;
  /** Rises with each snapshot: components that read the series depend on it. */
  tick: number;
  /** Bytes and snapshots since the page was opened. */
  bytes: number;
  frames: number;
}

/** After a longer silence, as at the first snapshot, the rate is unknown, so there is no sample. */
const GAP_S = 10;

export class LiveStore {
  private state: LiveState = {
    connection: { phase: "connecting" },
    snapshot: null,
    byName: new Map(),
    totals: null,
    tick: 0,
    bytes: 0,
    frames: 0,
  };
  private readonly listeners = new Set<() => void>();
  private readonly queueSeries = new Map<string, Series>();
  /** Of all queues together. */
  readonly total = new Series();
  private pending = false;

  /** `schedule` runs its argument at the next frame: many snapshots in one frame are drawn once. */
  constructor(private readonly schedule: (run: () => void) => void = (run) => requestAnimationFrame(run)) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly get = (): LiveState => this.state;

  series(queue: string): Series {
    return this.queueSeries.get(queue) ?? new Series();
  }

  setConnection(connection: Connection): void {
    this.state = { ...this.state, connection };
    // Subscribers are called at once: a hidden or busy tab draws no frames to wait for.
    this.tell();
  }

  countBytes(bytes: number): void {
    // No call of subscribers: the count changes with every piece, and they see it with the snapshot.
    this.state.bytes += bytes;
  }

  apply(snapshot: Snapshot): void {
    const before = this.state;
    const seconds = before.snapshot ? (snapshot.time - before.snapshot.time) / 1000 : 0;
    const known = seconds > 0 && seconds <= GAP_S;
    const byName = new Map<string, QueueStats>();
    let all = noSample(snapshot.time);
    const queues = snapshot.queues.map((fresh) => {
      const old = before.byName.get(fresh.name);
      if (known) {
        const sample = sampleOf(old, fresh, snapshot.time, seconds);
        this.seriesFor(fresh.name).push(sample);
        all = add(all, sample);
      }
      // The same object while nothing changed, so that its row is not drawn again.
      const kept = old && same(old, fresh) ? old : fresh;
      byName.set(kept.name, kept);
      return kept;
    });
    for (const name of this.queueSeries.keys()) if (!byName.has(name)) this.queueSeries.delete(name);
    if (known) this.total.push(all);
    this.state = {
      ...before,
      snapshot: { time: snapshot.time, queues },
      byName,
      totals: sum(queues),
      tick: before.tick + 1,
      frames: before.frames + 1,
    };
    if (this.pending) return;
    this.pending = true;
    this.schedule(() => {
      this.pending = false;
      this.tell();
    });
  }

  private seriesFor(name: string): Series {
    let series = this.queueSeries.get(name);
    if (!series) {
      series = new Series();
      this.queueSeries.set(name, series);
    }
    return series;
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

function same(a: QueueStats, b: QueueStats): boolean {
  if (a.ready !== b.ready || a.delayed !== b.delayed || a.inflight !== b.inflight || a.dead !== b.dead)
    return false;
  if (a.paused !== b.paused || a.unreadable !== b.unreadable || a.oldestReadyMs !== b.oldestReadyMs)
    return false;
  const names = Object.keys(a.counters) as (keyof QueueStats["counters"])[];
  return names.every((name) => a.counters[name] === b.counters[name]);
}

export function sum(queues: readonly QueueStats[]): QueueStats | null {
  const [first, ...rest] = queues;
  if (!first) return null;
  const total: QueueStats = { ...first, name: "", paused: false, counters: { ...first.counters } };
  for (const queue of rest) {
    total.ready += queue.ready;
    total.delayed += queue.delayed;
    total.inflight += queue.inflight;
    total.dead += queue.dead;
    total.unreadable += queue.unreadable;
    total.oldestReadyMs = Math.max(total.oldestReadyMs, queue.oldestReadyMs);
    for (const name of Object.keys(queue.counters) as (keyof QueueStats["counters"])[])
      total.counters[name] += queue.counters[name];
  }
  return total;
}
