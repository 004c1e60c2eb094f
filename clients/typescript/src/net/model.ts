/** The plain data that the parts of the network thread hand to one another. Times are ms of performance.now(). */

import type { ClaimedJob, Jobs } from "../../gen/relay/v1/queue_service_pb.js";
import { durationMs } from "../durations.js";
import type { Outcome, StopReason } from "../worker/outcome.js";
import type { JobData } from "./messages.js";

/** Jobs that came under one token. */
export interface LeaseGroup {
  readonly queue: string;
  readonly token: Uint8Array;
  readonly jobs: Map<string, HeldJob>;
  extendAt: number;
  /** The earliest end of its jobs' leases. */
  deadline: number;
}

/** A job this worker holds a lease on, from receipt until it is settled or lost. */
export interface HeldJob {
  readonly key: number;
  readonly group: LeaseGroup;
  readonly id: string;
  readonly type: string;
  readonly epoch: bigint;
  deadline: number;
  /** When its run has lasted too long; Infinity without a limit. */
  readonly runtimeEndsAt: number;
  stop: StopReason | undefined;
  outcome: Outcome | "drop" | undefined;
  /** Its handler still occupies a slot; it may outlive the settle, for nothing can stop a promise. */
  busy: boolean;
  /** The settle is on its way or answered, so the server no longer counts the job. */
  sent: boolean;
  /** A settle of it was not answered, and may have been applied. */
  tried: boolean;
  progress: { readonly fraction: number; readonly note: string } | undefined;
}

let lastKey = 0;

/** A frame as the thread keeps it, and as the handlers' thread gets it, without the jobs that are `held` already. */
export function received(
  frame: Jobs,
  now: number,
  extendEveryMs: number,
  maxRuntimeMs: Readonly<Record<string, number>>,
  held: (jobId: string) => boolean,
): { group: LeaseGroup; data: JobData[] } {
  const deadline = now + durationMs(frame.leaseRemaining);
  const group: LeaseGroup = {
    queue: frame.queue,
    token: new Uint8Array(frame.leaseToken),
    jobs: new Map(),
    // A frame may have waited on the way: extend it by the lease it has left, not by the one it started with.
    extendAt: now + Math.min(extendEveryMs, (deadline - now) / 3),
    deadline,
  };
  const data: JobData[] = [];
  for (const claimed of frame.jobs) {
    const one = dataOf(claimed, frame.queue);
    // A job delivered twice under one token runs once.
    if (one === undefined || held(one.id) || group.jobs.has(one.id)) continue;
    data.push(one);
    const limits = [durationMs(claimed.job?.maxRuntime), maxRuntimeMs[one.type] ?? 0].filter((ms) => ms > 0);
    group.jobs.set(one.id, {
      key: one.key,
      group,
      id: one.id,
      type: one.type,
      epoch: one.epoch,
      deadline,
      runtimeEndsAt: now + Math.min(Number.POSITIVE_INFINITY, ...limits),
      stop: undefined,
      outcome: undefined,
      busy: true,
      sent: false,
      tried: false,
      progress: undefined,
    });
  }
  return { group, data };
}

function dataOf({ job, attempt, maxAttempts, epoch }: ClaimedJob, queue: string): JobData | undefined {
  if (job === undefined) return undefined;
  lastKey += 1;
  return {
    key: lastKey,
    id: job.id,
    queue,
    type: job.type,
    // A copy: the field is a view of the whole frame, which would be copied for each job, and kept.
    payload: new Uint8Array(job.payload),
    contentType: job.contentType,
    headers: job.headers,
    attempt,
    maxAttempts,
    epoch,
    idempotencyKey: job.idempotencyKey,
  };
}
