/** Decides when the finished jobs of one queue are sent, and how many in a call: a queue in trouble holds up no other. No I/O. */

import type { HeldJob } from "./model.js";

/** So many jobs are sent at once; fewer wait this long for more. */
export const SETTLE_BATCH = 64;
export const SETTLE_LINGER_MS = 5;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 1_000;

/**
 * One queue's acks, or its nacks. One call at a time: jobs that finish meanwhile wait for its answer and share the next.
 *
 * Python's SDK shares calls between queues, because they run beside the handlers there; here they have a thread.
 */
export class Outbox {
  readonly #callMax: number;
  readonly #random: () => number;
  #pending: HeldJob[] = [];
  #out = 0;
  #failures = 0;
  #restsUntil = 0;
  #since = 0;

  constructor(callMax: number, random: () => number = Math.random) {
    this.#callMax = callMax;
    this.#random = random;
  }

  /** How many jobs wait or are on their way. */
  get unsettled(): number {
    return this.#pending.length + this.#out;
  }

  add(job: HeldJob, now: number): void {
    if (this.#pending.length === 0) this.#since = now;
    this.#pending.push(job);
  }

  /** When the next call is due; Infinity when only a new job or an answer can change that. */
  dueAt(hurry: boolean): number {
    if (this.#pending.length === 0 || this.#out > 0) return Number.POSITIVE_INFINITY;
    const now = hurry || this.#pending.length >= SETTLE_BATCH;
    return Math.max(now ? 0 : this.#since + SETTLE_LINGER_MS, this.#restsUntil);
  }

  /** The jobs of the next call. */
  take(): HeldJob[] {
    const jobs = this.#pending.splice(0, this.#callMax);
    this.#out = jobs.length;
    return jobs;
  }

  /** Takes out the jobs whose settle failed and whose leases have ended: another try would be useless. */
  takeEnded(now: number): HeldJob[] {
    const over = this.#pending.filter((job) => job.tried && job.deadline <= now);
    if (over.length > 0) this.#pending = this.#pending.filter((job) => !over.includes(job));
    return over;
  }

  /** Takes out every job that is in no call. */
  takeAll(): HeldJob[] {
    return this.#pending.splice(0);
  }

  /** The call was answered, or refused for good. */
  answered(): void {
    this.#out = 0;
    this.#failures = 0;
  }

  /** The call was not answered: its jobs are due again after a pause with full jitter. */
  failed(jobs: readonly HeldJob[], now: number): void {
    this.#out = 0;
    for (const job of jobs) job.tried = true;
    // In front of jobs that finished since: the leases of these end first.
    this.#pending = [...jobs, ...this.#pending];
    this.#restsUntil =
      now + this.#random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
  }

  /** Whether the last call failed: only the first failure in a row is logged. */
  get failing(): boolean {
    return this.#failures > 0;
  }

  /** No pause lasts longer than `until`. */
  hurry(until: number): void {
    this.#restsUntil = Math.min(this.#restsUntil, until);
  }
}
