// How long until a queue is empty, at the pace of the last half minute.

import type { QueueStats } from "../../api/model";
import type { Series } from "../../live/series";
import { duration } from "../../ui/format";

const SAMPLES = 30;

/** "empty", "3 min", "growing" when more comes than goes, "paused", or "stuck" when nothing goes. */
export function toDrain(queue: QueueStats, series: Pick<Series, "mean">): string {
  if (queue.ready === 0) return "empty";
  if (queue.paused) return "paused";
  const out = series.mean("acked", SAMPLES);
  if (out < 0.05) return "stuck";
  const net = out - series.mean("enqueued", SAMPLES);
  return net < out * 0.02 ? "growing" : duration((queue.ready / net) * 1000);
}
