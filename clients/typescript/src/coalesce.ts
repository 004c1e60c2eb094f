/** Natural batching: calls to one queue that run at the same time share RPCs, without a timer. */

import type { JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { COALESCED_BYTES_MAX, type Result, sizeOf } from "./batches.js";
import { Aborted, DeadlineExceeded, RelayError } from "./errors.js";
import type { Enqueued } from "./jobs.js";
import { BATCH_JOBS_MAX } from "./limits.js";
import { aborted } from "./rpc.js";

/** Makes one call for these jobs, or throws RelayError for all of them. */
export type Send = (queue: string, jobs: WireJob[], deadline: number) => Promise<Result[]>;

/** A caller that waits for another's call gives up this much later, to get the error of that call and not a timeout. */
const SLACK_MS = 200;

interface Caller {
  readonly job: WireJob;
  readonly size: number;
  readonly deadline: number;
  sent: boolean;
  done: boolean;
  readonly answer: (result: Result) => void;
}

export class Coalescer {
  readonly #send: Send;
  /** A queue is here while something is sent for it. */
  readonly #lines = new Map<string, Caller[]>();
  #closed = false;

  constructor(send: Send) {
    this.#send = send;
  }

  /**
   * Sends the job, alone or with others. Rejects with RelayError when it was not accepted.
   *
   * The RPC is not the caller's own: an aborted caller takes its job out of the line if it was not sent yet, and
   * changes nothing for the others.
   */
  enqueue(queue: string, job: WireJob, deadline: number, signal?: AbortSignal): Promise<Enqueued> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted(signal));
        return;
      }
      const answer = (result: Result) => {
        if (caller.done) return;
        caller.done = true;
        clearTimeout(timer);
        signal?.removeEventListener("abort", give);
        if (result instanceof RelayError) reject(result);
        else resolve(result);
      };
      const give = () => answer(aborted(signal as AbortSignal));
      const late = () => {
        const text = caller.sent
          ? "no answer in time; whether the job was accepted is not known, and enqueuing it again with its jobId is safe"
          : "the timeout passed before the job was sent";
        answer(new DeadlineExceeded(text, { code: "DEADLINE_EXCEEDED" }));
      };
      const timer = setTimeout(late, Math.max(0, deadline + SLACK_MS - performance.now()));
      const caller: Caller = { job, size: sizeOf(job), deadline, sent: false, done: false, answer };
      signal?.addEventListener("abort", give, { once: true });
      this.#join(queue, caller);
    });
  }

  #join(queue: string, caller: Caller): void {
    if (this.#closed) {
      caller.answer(closed());
      return;
    }
    const line = this.#lines.get(queue);
    if (line !== undefined) {
      line.push(caller);
      return;
    }
    const fresh = [caller];
    this.#lines.set(queue, fresh);
    // After this turn: calls of one Promise.all are then together from the first.
    queueMicrotask(() => void this.#drain(queue, fresh));
  }

  async #drain(queue: string, line: Caller[]): Promise<void> {
    for (let batch = take(line); batch.length > 0; batch = take(line)) {
      let results: Result[];
      try {
        // The latest deadline, so that the call is cut short for no caller; the others give up by themselves.
        const deadline = Math.max(...batch.map((caller) => caller.deadline));
        results = await this.#send(
          queue,
          batch.map((caller) => caller.job),
          deadline,
        );
      } catch (error) {
        results = batch.map(() => asRelayError(error));
      }
      batch.forEach((caller, at) => {
        caller.answer(results[at] as Result);
      });
    }
    this.#lines.delete(queue);
  }

  /** Refuses what was not sent, and ends the waiting for what was. */
  close(): void {
    this.#closed = true;
    for (const line of this.#lines.values()) {
      for (const caller of line.splice(0)) caller.answer(closed());
    }
  }
}

function take(line: Caller[]): Caller[] {
  const batch: Caller[] = [];
  let size = 0;
  let taken = 0;
  for (const caller of line) {
    if (batch.length >= BATCH_JOBS_MAX || (batch.length > 0 && size + caller.size > COALESCED_BYTES_MAX))
      break;
    taken += 1;
    if (caller.done) continue; // it gave up while in line
    caller.sent = true;
    batch.push(caller);
    size += caller.size;
  }
  line.splice(0, taken);
  return batch;
}

/** Of one failure each caller gets an error of its own: a stack, or a `cause` added by one, is not the others'. */
function asRelayError(error: unknown): RelayError {
  if (!(error instanceof RelayError)) return new RelayError(String(error), { cause: error });
  const own = new (error.constructor as typeof RelayError)(error.message, error);
  if (error.stack !== undefined) own.stack = error.stack;
  return own;
}

function closed(): RelayError {
  return new Aborted("this client is closed; the job was not sent", { code: "CANCELLED" });
}
