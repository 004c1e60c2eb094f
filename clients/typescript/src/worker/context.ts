/** A handler's view of its job: its data, the signal to stop, and progress. */

import { NOTE_BYTES_MAX } from "../limits.js";
import type { JobData } from "../net/messages.js";
import { cutEnd, type StopReason } from "./outcome.js";

/** One attempt of one job. */
export class Context {
  readonly #job: JobData;
  readonly #report: (fraction: number, note: string) => void;
  #abort: AbortController | undefined;
  #stop: StopReason | undefined;

  constructor(job: JobData, report: (fraction: number, note: string) => void) {
    this.#job = job;
    this.#report = report;
  }

  /** The job's UUID, the same for every attempt. */
  get jobId(): string {
    return this.#job.id;
  }
  /** The queue it was claimed from. */
  get queue(): string {
    return this.#job.queue;
  }
  /** The job type, which chose the handler. */
  get type(): string {
    return this.#job.type;
  }
  /** Number of this attempt, from 1. */
  get attempt(): number {
    return this.#job.attempt;
  }
  /** Attempts in all, the first included. */
  get maxAttempts(): number {
    return this.#job.maxAttempts;
  }
  /** Rises with every claim of the job: write it beside side effects in another store to fence off a late run. */
  get epoch(): bigint {
    return this.#job.epoch;
  }
  /** The producer's key; "" when it gave none. */
  get idempotencyKey(): string {
    return this.#job.idempotencyKey;
  }
  /** The producer's headers. */
  get headers(): Readonly<Record<string, string>> {
    return this.#job.headers;
  }
  /** W3C trace context of the producer; undefined when it sent none. */
  get traceparent(): string | undefined {
    return this.#job.headers.traceparent;
  }
  /** The payload as it came, whatever the handler's first argument is. */
  get rawPayload(): Uint8Array {
    return this.#job.payload;
  }
  /** Media type of the payload; "" means JSON. */
  get contentType(): string {
    return this.#job.contentType;
  }

  /**
   * Aborted when the lease is lost, the job was cancelled, it ran too long, or the worker is out of time for it. A handler
   * that stops early throws, as by `signal.throwIfAborted()`: returning says that the work is done.
   */
  get signal(): AbortSignal {
    // Most handlers never look, and an AbortController costs more than the rest of a quick job.
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#stop !== undefined) this.#abort.abort(stopped(this.#stop));
    }
    return this.#abort.signal;
  }

  /** Reports how far the job is: 0 to 1, and a note of up to 200 bytes. Never waits; shown in a second or two. */
  progress(fraction: number, note = ""): void {
    if (!(fraction >= 0 && fraction <= 1))
      throw new RangeError(`progress: ${fraction} is not between 0 and 1`);
    this.#report(fraction, cutEnd(note, NOTE_BYTES_MAX));
  }

  /** The worker's side: stops the handler. */
  static stop(context: Context, why: StopReason): void {
    context.#stop ??= why;
    context.#abort?.abort(stopped(why));
  }

  /** The worker's side: why the handler is to stop, if it is. */
  static stopOf(context: Context): StopReason | undefined {
    return context.#stop;
  }
}

const WHY: Readonly<Record<StopReason, string>> = {
  lost: "the lease of the job is lost",
  cancelled: "an operator cancelled the job",
  max_runtime: "the job ran longer than its maxRuntime",
  shutdown: "the worker is shutting down",
};

function stopped(why: StopReason): DOMException {
  return new DOMException(WHY[why], "AbortError");
}
