// Sums of the histories of several queues.

import type { HistoryBucket, QueueStats } from "../../api/model";

/** Names of the queues that moved most jobs since they were made, and of those that hold some. */
export function busiest(queues: readonly QueueStats[], most: number): string[] {
  const weight = (queue: QueueStats) =>
    queue.counters.acked + queue.counters.enqueued + queue.ready + queue.inflight;
  return [...queues]
    .sort((a, b) => weight(b) - weight(a) || a.name.localeCompare(b.name))
    .slice(0, most)
    .map((queue) => queue.name);
}

/** One list of minutes, oldest first, each the sum over all. */
export function addUp(histories: readonly (readonly HistoryBucket[])[]): HistoryBucket[] {
  const minutes = new Map<number, HistoryBucket>();
  for (const bucket of histories.flat()) {
    const sum = minutes.get(bucket.time);
    if (!sum) minutes.set(bucket.time, { ...bucket });
    else
      for (const key of ["enqueued", "acked", "failed", "dead", "ready", "inflight"] as const)
        sum[key] += bucket[key];
  }
  return [...minutes.values()].sort((a, b) => a.time - b.time);
}
