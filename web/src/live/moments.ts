// Makes snapshots of the server's moments: the first has all queues, each later one the changes.

import { queueStats, toTime } from "../api/decode";
import type { QueueStats, Snapshot } from "../api/model";
import type { WatchStatsResponseJson } from "../gen/relay/v1/admin_service_pb";

export class Moments {
  private readonly known = new Map<string, { stats: QueueStats; time: number }>();

  /** The snapshot that this piece ends; null when more pieces of the same moment follow. */
  take(piece: WatchStatsResponseJson): Snapshot | null {
    const time = toTime(piece.time) ?? Date.now();
    if (piece.whole) this.known.clear();
    for (const json of piece.queues ?? []) {
      const stats = queueStats(json);
      this.known.set(stats.name, { stats, time });
    }
    for (const name of piece.forgotten ?? []) this.known.delete(name);
    return piece.more ? null : { time, queues: this.all(time) };
  }

  /** By name. A job that waited then has waited longer now. */
  private all(now: number): QueueStats[] {
    const rows = [...this.known.values()].map(({ stats, time }) =>
      stats.ready > 0 && now > time ? { ...stats, oldestReadyMs: stats.oldestReadyMs + now - time } : stats,
    );
    return rows.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}
