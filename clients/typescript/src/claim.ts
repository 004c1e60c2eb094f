/** Claims for a loop of one's own: an async iterator of jobs, each settled by hand. */

import { LeaseOutcome, NackKind } from "../gen/relay/v1/queue_service_pb.js";
import type { Connection } from "./connection.js";
import { type DurationLike, parseDuration } from "./durations.js";
import { fromOutcome, LeaseLost, RelayError, Unavailable } from "./errors.js";
import type { JobData, NetConfig, Settled } from "./net/messages.js";
import { logger, netConfig, type Queues, type SessionOptions } from "./worker/config.js";
import { Context } from "./worker/context.js";
import { decode } from "./worker/decoding.js";
import { failureOf, type Nack, type Outcome, RELEASE } from "./worker/outcome.js";
import { Session } from "./worker/session.js";

/** The options of one claim. */
export interface ClaimOptions extends Pick<SessionOptions, "lease" | "grace" | "workerId" | "log"> {
  /** Unsettled jobs at once: 1 to 10 000, default 1. */
  readonly concurrency?: number;
  /** Ends the loop. */
  readonly signal?: AbortSignal;
}

/** The options of a nack. */
export interface NackOptions {
  /** "retry" (the default) uses up the attempt, "dead" buries the job, the others return the attempt. */
  readonly kind?: "retry" | "dead" | "release" | "throttled";
  /** When it may run again; left to the server when left out. */
  readonly after?: DurationLike;
  /** What went wrong: an Error, or anything that was thrown. */
  readonly error?: unknown;
}

const KINDS = {
  retry: NackKind.RETRY,
  dead: NackKind.DEAD,
  release: NackKind.RELEASE,
  throttled: NackKind.THROTTLED,
} as const;

type Settle = (outcome: Outcome) => Promise<void>;

/** A job under lease. It is kept alive until it is settled, whatever its loop does. */
export class ClaimedJob extends Context {
  readonly #settle: Settle;

  constructor(job: JobData, report: (fraction: number, note: string) => void, settle: Settle) {
    super(job, report);
    this.#settle = settle;
  }

  /** The decoded payload: JSON and text are decoded, anything else is bytes. Throws UndecodablePayload. */
  payload<T = unknown>(): T {
    return decode(this.rawPayload, this.contentType, "auto") as T;
  }

  /** The job is finished. Rejects with LeaseLost, JobGone or JobCancelled when it was too late. */
  ack(): Promise<void> {
    return this.#settle("ack");
  }

  /** Settles the job as not done. Rejects as ack() does. */
  nack({ kind = "retry", after, error }: NackOptions = {}): Promise<void> {
    const nack: Nack = {
      nack: KINDS[kind],
      afterMs: after === undefined ? undefined : parseDuration(after, "after"),
      error: error === undefined ? undefined : failureOf(error),
    };
    return this.#settle(nack);
  }
}

interface Waiter {
  readonly resolve: (result: IteratorResult<ClaimedJob, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

interface Held {
  readonly job: ClaimedJob;
  settling: { readonly resolve: () => void; readonly reject: (error: RelayError) => void } | undefined;
}

/** What Client.claim returns. Iterate it once; it connects when the loop begins. */
export class Claimed implements AsyncIterableIterator<ClaimedJob, undefined>, AsyncDisposable {
  /** Resolves when nothing is held any more. */
  readonly ended: Promise<void>;
  readonly #config: NetConfig;
  readonly #options: ClaimOptions;
  readonly #held = new Map<number, Held>();
  #ready: number[] = [];
  #waiters: Waiter[] = [];
  #session: Session | undefined;
  #error: RelayError | undefined;
  #done = false;
  #end: () => void = () => undefined;

  constructor(where: Connection, queues: Queues, options: ClaimOptions) {
    this.#options = options;
    this.#config = netConfig(where, queues, options, {
      maxInFlight: options.concurrency ?? 1,
      graceMs: 0,
      reportSettles: true,
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next job; done once the claim was closed. Rejects when the server refuses the claim for good. */
  next(): Promise<IteratorResult<ClaimedJob, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      if (!this.#done && this.#session === undefined) this.#start();
      this.#deliver();
    });
  }

  /** Leaving the loop closes the claim. */
  async return(): Promise<IteratorResult<ClaimedJob, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Releases jobs that were not yielded, waits `grace` for the others, then releases those too. May be repeated. */
  async close(): Promise<void> {
    this.#done = true;
    this.#options.signal?.removeEventListener("abort", this.#abort);
    for (const key of this.#ready.splice(0)) {
      this.#held.delete(key);
      this.#session?.ended(key, RELEASE);
    }
    this.#deliver();
    if (this.#session === undefined) this.#end();
    else this.#session.drain();
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #abort = () => void this.close();

  #start(): void {
    const { signal, log } = this.#options;
    if (signal?.aborted) {
      void this.close();
      return;
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
    const session = new Session(this.#config, {
      onJobs: (jobs) => this.#received(jobs, session),
      onStop: (key, why) => {
        const held = this.#held.get(key);
        if (held !== undefined) {
          Context.stop(held.job, why);
          const over = tooLate(held.job);
          if (over !== undefined) held.settling?.reject(over);
        }
        // A job that was not yielded yet is released at once.
        if (this.#ready.includes(key)) {
          this.#ready = this.#ready.filter((one) => one !== key);
          this.#held.delete(key);
          session.ended(key, RELEASE);
        }
      },
      onSettled: (settled) => this.#settled(settled),
      onDraining: (error) => {
        this.#error = new RelayError(error, { code: "FAILED_PRECONDITION" });
        void this.close();
      },
      onLog: logger(log),
    });
    this.#session = session;
    session.stopped
      .catch((error: unknown) => {
        this.#error = new RelayError(`the network thread failed: ${String(error)}`, { cause: error });
      })
      .then(() => {
        this.#done = true;
        this.#settled([...this.#held.keys()].map((key) => ({ key, outcome: LeaseOutcome.UNSPECIFIED })));
        this.#deliver();
        this.#end();
      });
  }

  #received(jobs: readonly JobData[], session: Session): void {
    for (const data of jobs) {
      if (this.#done) {
        session.ended(data.key, RELEASE);
        continue;
      }
      const job = new ClaimedJob(
        data,
        (fraction, note) => session.progress(data.key, fraction, note),
        (outcome) => this.#settle(data.key, outcome, session),
      );
      this.#held.set(data.key, { job, settling: undefined });
      this.#ready.push(data.key);
    }
    this.#deliver();
  }

  #deliver(): void {
    while (this.#waiters.length > 0) {
      const held = this.#held.get(this.#ready.shift() ?? -1);
      if (held === undefined && !this.#done) return;
      const waiter = this.#waiters.shift() as Waiter;
      if (held !== undefined) waiter.resolve({ done: false, value: held.job });
      else if (this.#error !== undefined) {
        waiter.reject(this.#error);
        this.#error = undefined;
      } else waiter.resolve({ done: true, value: undefined });
    }
  }

  #settle(key: number, outcome: Outcome, session: Session): Promise<void> {
    const held = this.#held.get(key);
    if (held === undefined || held.settling !== undefined) {
      return Promise.reject(new Error("this job is settled already, or its lease is over"));
    }
    const over = tooLate(held.job);
    return new Promise((resolve, reject) => {
      held.settling = { resolve, reject };
      // Also when it is too late: its slot is free now.
      session.ended(key, outcome);
      if (over !== undefined) reject(over);
    });
  }

  #settled(settled: readonly Settled[]): void {
    for (const { key, outcome } of settled) {
      const settling = this.#held.get(key)?.settling;
      this.#held.delete(key);
      if (settling === undefined) continue;
      const error =
        outcome === LeaseOutcome.UNSPECIFIED
          ? new Unavailable("no server answered the settle before the lease ended", { code: "UNAVAILABLE" })
          : fromOutcome(outcome);
      if (error === undefined) settling.resolve();
      else settling.reject(error);
    }
  }
}

/** Why a settle of this job comes too late; undefined when it does not, as far as is known. */
function tooLate(job: ClaimedJob): RelayError | undefined {
  const why = Context.stopOf(job);
  if (why !== "lost" && why !== "max_runtime") return undefined;
  const text =
    why === "lost"
      ? "the lease of the job is lost"
      : "the job ran longer than its maxRuntime and was settled as failed";
  return new LeaseLost(text, { code: "FAILED_PRECONDITION" });
}
