/** Keeps leases alive: knows every held job, extends its lease in time, and reports lost ones. */

import { create } from "@bufbuild/protobuf";
import {
  type CancelledJob,
  type ExtendRequest,
  ExtendRequestSchema,
  type ExtendResponse,
  LeaseGroupSchema,
  LeaseOutcome,
  type LeaseGroup as WireGroup,
} from "../../gen/relay/v1/queue_service_pb.js";
import { durationMs } from "../durations.js";
import { RelayError } from "../errors.js";
import { BATCH_JOBS_MAX, IN_FLIGHT_MAX } from "../limits.js";
import { mayMoveOn, type Rotation } from "../rotation.js";
import { log } from "./log.js";
import type { HeldJob, LeaseGroup } from "./model.js";
import type { Window } from "./window.js";

const PROGRESS_EVERY_MS = 1_000;
const RETRY_EVERY_MS = 1_000;
const EXTEND_EVERY_MIN_MS = 100;

export type OnStop = (job: HeldJob, outcome: LeaseOutcome) => void;

/** The table of held jobs and their heartbeat. */
export class LeaseKeeper {
  readonly #stubs: Rotation;
  readonly #window: Window;
  readonly #onStop: OnStop;
  readonly #groups = new Set<LeaseGroup>();
  readonly #withProgress = new Set<HeldJob>();
  readonly #closing = new AbortController();
  #progressAt = 0;
  #restate = false;
  extendEveryMs: number;

  constructor(stubs: Rotation, window: Window, leaseMs: number, onStop: OnStop) {
    this.#stubs = stubs;
    this.#window = window;
    this.#onStop = onStop;
    this.extendEveryMs = leaseMs / 3;
  }

  /** Keeps the jobs of a frame alive from now on, whether or not a handler has started. */
  add(group: LeaseGroup): void {
    this.#groups.add(group);
  }

  /** Forgets jobs that are settled or lost: their leases are no longer extended. */
  remove(jobs: Iterable<HeldJob>): void {
    for (const job of jobs) {
      job.group.jobs.delete(job.id);
      this.#withProgress.delete(job);
      if (job.group.jobs.size === 0) this.#groups.delete(job.group);
    }
  }

  /** Whether this very lease of a job is held: then the job was delivered twice. */
  holds(queue: string, token: Uint8Array, jobId: string): boolean {
    for (const group of this.#groups) {
      if (group.queue === queue && group.jobs.has(jobId) && Buffer.compare(group.token, token) === 0)
        return true;
    }
    return false;
  }

  /** All leases whose settle is unanswered, as a reconnecting stream names them. */
  held(): WireGroup[] {
    const groups: WireGroup[] = [];
    let left = IN_FLIGHT_MAX;
    for (const group of this.#groups) {
      const ids = [...group.jobs.keys()].slice(0, left);
      left -= ids.length;
      if (ids.length > 0) groups.push(message(group, ids));
    }
    return groups;
  }

  /** Takes a progress for one of the next heartbeats; a later one replaces it. */
  progress(job: HeldJob, fraction: number, note: string): void {
    job.progress = { fraction, note };
    this.#withProgress.add(job);
  }

  /** Has the window sent to the server at the next turn. */
  restateWindow(): void {
    this.#restate = true;
  }

  /** Stops the jobs that the server cancelled. */
  stop(jobs: Iterable<CancelledJob>): void {
    for (const cancelled of jobs) {
      for (const job of this.#named(cancelled)) this.#stop(job, cancelled.outcome);
    }
  }

  #named({ queue, jobId, outcome }: CancelledJob): HeldJob[] {
    const found: HeldJob[] = [];
    for (const group of this.#groups) {
      const job = group.queue === queue ? group.jobs.get(jobId) : undefined;
      if (job !== undefined) found.push(job);
    }
    if (outcome === LeaseOutcome.CANCELLED || found.length < 2) return found;
    // Held under two tokens: the server has just given the newer one, so the older one is lost.
    return found.sort((a, b) => (a.epoch < b.epoch ? -1 : 1)).slice(0, -1);
  }

  #stop(job: HeldJob, outcome: LeaseOutcome): void {
    if (job.outcome !== undefined) return; // it is being settled, and the answer brings the outcome
    if (outcome !== LeaseOutcome.CANCELLED) this.remove([job]);
    this.#onStop(job, outcome);
  }

  /** Sends the heartbeats that are due and reports ended leases. Returns ms until the next call, at most. */
  runOnce(now: number): number {
    for (const group of [...this.#groups]) {
      if (group.deadline > now) continue;
      const over = [...group.jobs.values()].filter((job) => job.deadline <= now);
      // Ended leases are reported once: the deadline of the group is that of the others.
      group.deadline = earliest([...group.jobs.values()].filter((job) => job.deadline > now));
      for (const job of over) this.#stop(job, LeaseOutcome.LEASE_LOST);
    }
    const due = this.#due(now);
    for (let at = 0; at < due.length; at += BATCH_JOBS_MAX) {
      this.#extend(due.slice(at, at + BATCH_JOBS_MAX), now);
    }
    const report = this.#restate ? this.#window.restatement() : undefined;
    if (report !== undefined) {
      this.#restate = false;
      void this.#send(create(ExtendRequestSchema, { window: report }), [], now);
    }
    let next = now + 1_000;
    for (const group of this.#groups) next = Math.min(next, group.extendAt, group.deadline);
    return next - now;
  }

  /** Jobs to extend. When one is due, those that are due soon go with it. */
  #due(now: number): HeldJob[] {
    const jobs: HeldJob[] = [];
    if ([...this.#groups].some((group) => group.extendAt <= now)) {
      const soon = now + this.extendEveryMs / 4;
      for (const group of this.#groups) {
        if (group.extendAt > soon) continue;
        group.extendAt = now + this.extendEveryMs;
        jobs.push(...group.jobs.values());
      }
    } else if (this.#withProgress.size > 0 && now >= this.#progressAt) {
      jobs.push(...this.#withProgress);
    }
    if (jobs.length > 0) {
      this.#progressAt = now + PROGRESS_EVERY_MS;
      for (const job of jobs) this.#withProgress.delete(job);
    }
    return jobs;
  }

  #extend(jobs: readonly HeldJob[], now: number): void {
    const { leases, inOrder } = grouped(jobs);
    const request = create(ExtendRequestSchema, {
      leases,
      progress: inOrder.flatMap((job) =>
        job.progress === undefined ? [] : [{ jobId: job.id, ...job.progress }],
      ),
    });
    const report = this.#window.restatement();
    if (report !== undefined) request.window = report;
    for (const job of inOrder) job.progress = undefined;
    void this.#send(request, inOrder, now);
  }

  async #send(request: ExtendRequest, jobs: readonly HeldJob[], now: number): Promise<void> {
    let target = "";
    try {
      const current = this.#stubs.current();
      target = current.target;
      const timeoutMs = Math.max(1_000, this.extendEveryMs / 2);
      const response = await current.stub.unary("extend", request, {
        timeoutMs,
        signal: this.#closing.signal,
      });
      this.#apply(jobs, response, now);
    } catch (raised) {
      const error = raised instanceof RelayError ? raised : new RelayError(String(raised));
      if (this.#closing.signal.aborted) return;
      log("warn", "extend failed", { jobs: jobs.length, code: error.code, error: error.message });
      if (mayMoveOn(error)) this.#stubs.moveOn(target);
      if (request.window !== undefined && jobs.length === 0) this.#restate = true;
      this.#retrySoon(jobs);
    }
  }

  #apply(jobs: readonly HeldJob[], response: ExtendResponse, sentAt: number): void {
    const stopped: [HeldJob, LeaseOutcome][] = [];
    jobs.forEach((job, at) => {
      const result = response.results[at];
      if (result === undefined) return;
      if (result.outcome === LeaseOutcome.OK || result.outcome === LeaseOutcome.CANCELLED) {
        // Counted from the request, a lease is too short by one round trip at most.
        job.deadline = sentAt + durationMs(result.leaseRemaining);
      }
      if (result.outcome !== LeaseOutcome.OK) stopped.push([job, result.outcome]);
    });
    for (const group of new Set(jobs.map((job) => job.group))) {
      group.deadline = earliest(group.jobs.values());
      const third = (group.deadline - sentAt) / 3;
      group.extendAt = sentAt + Math.max(EXTEND_EVERY_MIN_MS, Math.min(this.extendEveryMs, third));
    }
    for (const [job, outcome] of stopped) this.#stop(job, outcome);
  }

  #retrySoon(jobs: readonly HeldJob[]): void {
    const soon = performance.now() + Math.min(RETRY_EVERY_MS, this.extendEveryMs / 3);
    for (const { group } of jobs) group.extendAt = Math.min(group.extendAt, soon);
  }

  /** Cancels the calls that are still on their way. */
  close(): void {
    this.#closing.abort(new Error("the worker ends"));
  }
}

function earliest(jobs: Iterable<HeldJob>): number {
  let deadline = Number.POSITIVE_INFINITY;
  for (const job of jobs) deadline = Math.min(deadline, job.deadline);
  return deadline;
}

/** The jobs by their leases, as calls name them, and in the order in which answers come. */
export function grouped(jobs: readonly HeldJob[]): { leases: WireGroup[]; inOrder: HeldJob[] } {
  const byGroup = new Map<LeaseGroup, HeldJob[]>();
  for (const job of jobs) {
    const members = byGroup.get(job.group);
    if (members === undefined) byGroup.set(job.group, [job]);
    else members.push(job);
  }
  const ids = (members: readonly HeldJob[]) => members.map((job) => job.id);
  return {
    leases: [...byGroup].map(([group, members]) => message(group, ids(members))),
    inOrder: [...byGroup.values()].flat(),
  };
}

function message(group: LeaseGroup, jobIds: string[]): WireGroup {
  return create(LeaseGroupSchema, { queue: group.queue, leaseToken: group.token, jobIds });
}
