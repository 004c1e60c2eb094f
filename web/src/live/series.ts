// The last minutes of a queue, one sample a snapshot, in rings of fixed size.

import type { QueueStats } from "../api/model";

/** Five minutes at one snapshot a second. */
export const SAMPLES_MAX = 300;

export interface Sample {
  time: number;
  /** Jobs a second since the sample before. */
  enqueued: number;
  acked: number;
  failed: number;
  /** Jobs at that moment. */
  ready: number;
  inflight: number;
}

/** Leases that ran out count as failures, as in GetHistory: retries, expirations and burials. */
export function failures(queue: QueueStats): number {
  return queue.counters.retried + queue.counters.expired + queue.counters.dead;
}

/**
 * Rates between two snapshots. A queue that was not there before began at zero. A counter that fell belongs to a queue that
 * was forgotten and made again: no rate.
 */
export function sampleOf(
  before: QueueStats | undefined,
  now: QueueStats,
  time: number,
  seconds: number,
): Sample {
  const rate = (was: number, is: number) => (is >= was ? (is - was) / seconds : 0);
  return {
    time,
    enqueued: rate(before?.counters.enqueued ?? 0, now.counters.enqueued),
    acked: rate(before?.counters.acked ?? 0, now.counters.acked),
    failed: rate(before ? failures(before) : 0, failures(now)),
    ready: now.ready,
    inflight: now.inflight,
  };
}

export function add(a: Sample, b: Sample): Sample {
  return {
    time: a.time,
    enqueued: a.enqueued + b.enqueued,
    acked: a.acked + b.acked,
    failed: a.failed + b.failed,
    ready: a.ready + b.ready,
    inflight: a.inflight + b.inflight,
  };
}

export const noSample = (time: number): Sample => ({
  time,
  enqueued: 0,
  acked: 0,
  failed: 0,
  ready: 0,
  inflight: 0,
});

export class Series {
  private readonly ring: Sample[] = [];
  private next = 0;

  push(sample: Sample): void {
    this.ring[this.next] = sample;
    this.next = (this.next + 1) % SAMPLES_MAX;
  }

  /** Oldest first; the newest `count` of them. */
  last(count = SAMPLES_MAX): Sample[] {
    const whole = this.ring.length < SAMPLES_MAX;
    const ordered = whole
      ? this.ring.slice()
      : [...this.ring.slice(this.next), ...this.ring.slice(0, this.next)];
    return ordered.slice(-count);
  }

  /** The mean of the newest `count` samples: single seconds jump too much to be read. */
  mean(key: "enqueued" | "acked" | "failed", count = 5): number {
    const size = this.ring.length;
    const wanted = Math.min(count, size);
    let sum = 0;
    for (let back = 1; back <= wanted; back++)
      sum += this.ring[(this.next - back + SAMPLES_MAX) % SAMPLES_MAX]?.[key] ?? 0;
    return wanted ? sum / wanted : 0;
  }
}

/** How much time a live chart covers: whole minutes, one at least, five at most, so that a young page is not an empty chart. */
export function liveSpan(samples: readonly Sample[]): number {
  const covered = (samples.at(-1)?.time ?? 0) - (samples[0]?.time ?? 0);
  return Math.min(5, Math.max(1, Math.ceil(covered / 60_000))) * 60_000;
}
