/** Runs handlers, never more at once than there are slots, and stops those that must stop. */

import type { JobData } from "../net/messages.js";
import { inTrace } from "../trace.js";
import { Context } from "./context.js";
import { decode, type PayloadKind } from "./decoding.js";
import { type Outcome, outcomeOf, RELEASE, type StopReason, UnknownJobType } from "./outcome.js";

/** How long handlers are started in one turn of the event loop. */
const TURN_MS = 5;

/** A registered handler. */
export interface Registered {
  readonly run: (payload: unknown, context: Context) => unknown;
  readonly payload: PayloadKind;
  readonly parse: ((value: unknown) => unknown) | undefined;
}

export interface ExecutorEvents {
  readonly onEnd: (job: JobData, outcome: Outcome) => void;
  readonly progress: (job: JobData, fraction: number, note: string) => void;
}

export class Executor {
  readonly #handlers: ReadonlyMap<string, Registered>;
  readonly #slots: number;
  readonly #events: ExecutorEvents;
  readonly #running = new Map<number, Context>();
  #waiting: JobData[] = [];

  constructor(handlers: ReadonlyMap<string, Registered>, slots: number, events: ExecutorEvents) {
    this.#handlers = handlers;
    this.#slots = slots;
    this.#events = events;
  }

  /** Starts jobs. A job without a slot waits; a server that respects the window never sends one. */
  start(jobs: readonly JobData[]): void {
    this.#waiting.push(...jobs);
    this.#next();
  }

  #next(): void {
    const began = performance.now();
    while (this.#running.size < this.#slots) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      const context = new Context(job, (fraction, note) => this.#events.progress(job, fraction, note));
      this.#running.set(job.key, context);
      void this.#run(job, context);
      if (performance.now() - began > TURN_MS) {
        // A handler blocked the loop: outcomes go out before another handler blocks it.
        setImmediate(() => this.#next());
        return;
      }
    }
  }

  async #run(job: JobData, context: Context): Promise<void> {
    let error: { thrown: unknown } | undefined;
    try {
      const handler = this.#handlers.get(job.type);
      if (handler === undefined) {
        throw new UnknownJobType(`this worker has no handler for job type ${JSON.stringify(job.type)}`);
      }
      const payload = decode(job.payload, job.contentType, handler.payload, handler.parse);
      await inTrace(context.traceparent, () => handler.run(payload, context));
    } catch (thrown) {
      error = { thrown };
    }
    this.#running.delete(job.key);
    this.#events.onEnd(job, outcomeOf(error, Context.stopOf(context)));
    this.#next();
  }

  /** The job's handler is to stop. */
  stop(key: number, why: StopReason): void {
    const context = this.#running.get(key);
    if (context !== undefined) {
      Context.stop(context, why);
      return;
    }
    const job = this.#waiting.find((one) => one.key === key);
    if (job === undefined) return;
    this.#waiting = this.#waiting.filter((one) => one !== job);
    this.#events.onEnd(job, RELEASE);
  }

  /** Releases jobs that have not started. */
  drain(): void {
    for (const job of this.#waiting.splice(0)) this.#events.onEnd(job, RELEASE);
  }
}
