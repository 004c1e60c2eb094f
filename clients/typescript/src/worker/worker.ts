/** The worker users see: a registry of handlers, and the run that wires them to the network thread. */

import { NackKind } from "../../gen/relay/v1/queue_service_pb.js";
import { connection } from "../connection.js";
import { type DurationLike, parseDuration } from "../durations.js";
import { TYPE_BYTES_MAX } from "../limits.js";
import type { LogEntry } from "../net/messages.js";
import { logger, netConfig, type Queues, type SessionOptions } from "./config.js";
import type { Context } from "./context.js";
import type { PayloadKind } from "./decoding.js";
import { Executor, type Registered } from "./execution.js";
import type { Outcome } from "./outcome.js";
import { Session } from "./session.js";

const GRACE_MS = 20_000;
const CONCURRENCY = 16;

/** Runs one job. Returning acknowledges it; what it throws decides what becomes of it. */
export type Handler<T = unknown> = (payload: T, context: Context) => unknown;

/** The options of a handler. */
export interface HandlerOptions<T = unknown> {
  /** Longest time one run may take; the shorter of this and the job's own counts. */
  readonly maxRuntime?: DurationLike;
  /** How the payload is decoded, "auto" when left out. */
  readonly payload?: PayloadKind;
  /** Checks or converts the decoded payload, as `schema.parse` does; a payload it throws at becomes a dead letter. */
  readonly parse?: (value: unknown) => T;
}

/** What a worker claims, and how it ends. */
export interface WorkerOptions extends SessionOptions {
  /** Where to claim from: one queue, several, or names with their weights. */
  readonly queues: Queues;
  /** Handlers at once, which is the window as well: 1 to 10 000, default 16. */
  readonly concurrency?: number;
  /** Process signals that begin a drain while run() is under way; SIGTERM and SIGINT when left out. */
  readonly drainOn?: readonly NodeJS.Signals[];
  /**
   * A flag on a SharedArrayBuffer: when another thread stores 1 at index 0 the worker drains, even while a handler
   * blocks this thread, which would notice neither a process signal nor a call of stop().
   */
  readonly drainFlag?: Int32Array;
}

/** The worker cannot go on: the server refused it for a reason that repeating will not cure. */
export class WorkerFailed extends Error {
  override readonly name = "WorkerFailed";
}

/**
 * A worker.
 *
 *     const worker = new Worker("localhost:50051", { queues: "emails", concurrency: 8 });
 *     worker.handle("welcome", async (payload, ctx) => { await send(payload, { signal: ctx.signal }); });
 *     await worker.run();
 *
 * The network lives in a thread: a handler that blocks the event loop delays other handlers, and neither leases nor
 * settles.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #where;
  readonly #log: (entry: LogEntry) => void;
  readonly #handlers = new Map<string, Registered>();
  readonly #limitsMs: Record<string, number> = {};
  #session: Session | undefined;
  #executor: Executor | undefined;
  #stopping = false;
  #refused = "";

  /** RangeError names the option that is wrong. */
  constructor(target: string, options: WorkerOptions) {
    this.#options = options;
    this.#log = logger(options.log);
    this.#where = connection(target, options);
    this.#config();
  }

  /** Registers the handler of a job type: 1 to 128 bytes, once per worker, before run(). */
  handle<T = unknown>(type: string, handler: Handler<T>, options: HandlerOptions<T> = {}): this {
    const bytes = Buffer.byteLength(type);
    if (bytes < 1 || bytes > TYPE_BYTES_MAX) {
      throw new RangeError(`type: ${JSON.stringify(type)} is not 1 to ${TYPE_BYTES_MAX} bytes long`);
    }
    if (this.#handlers.has(type))
      throw new RangeError(`type: "${type}" already has a handler in this worker`);
    if (this.#session !== undefined) throw new Error("handle: register handlers before run()");
    if (options.maxRuntime !== undefined) {
      this.#limitsMs[type] = parseDuration(options.maxRuntime, "maxRuntime");
    }
    const run = (payload: unknown, context: Context) => handler(payload as T, context);
    this.#handlers.set(type, { run, payload: options.payload ?? "auto", parse: options.parse });
    return this;
  }

  /**
   * Works until stop(), the signal or a process signal, then drains: finishes or releases every job.
   *
   * Resolves to how many jobs stayed unsettled because no server answered: they run again when their leases end.
   * Rejects with WorkerFailed. A worker runs once.
   */
  async run({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    if (this.#session !== undefined) throw new Error("run: this worker has run already; make a new one");
    const session = this.#start();
    const stop = () => this.#drain();
    const drainOn = this.#options.drainOn ?? ["SIGTERM", "SIGINT"];
    for (const name of drainOn) process.once(name, stop);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted || this.#stopping) session.drain();
    try {
      const unsettled = await session.stopped;
      if (this.#refused !== "") throw new WorkerFailed(this.#refused);
      return unsettled;
    } finally {
      for (const name of drainOn) process.off(name, stop);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Begins to drain and resolves when that is over; may be repeated. */
  async stop(): Promise<void> {
    this.#drain();
    await this.#session?.stopped.catch(() => undefined);
  }

  /** "" when well; otherwise what is wrong, for people. */
  health(): string {
    if (this.#session === undefined) return "not started";
    if (this.#stopping) return "draining";
    const { silenceMs, silenceLimitMs } = this.#session.health();
    if (silenceMs <= silenceLimitMs) return "";
    const seconds = (ms: number) => (ms / 1_000).toFixed(0);
    return `no frame from the server for ${seconds(silenceMs)} s (limit ${seconds(silenceLimitMs)} s)`;
  }

  #config() {
    return netConfig(this.#where, this.#options.queues, this.#options, {
      maxInFlight: this.#options.concurrency ?? CONCURRENCY,
      graceMs: GRACE_MS,
      reportSettles: false,
      maxRuntimeMs: this.#limitsMs,
      drainFlag: this.#options.drainFlag,
    });
  }

  #start(): Session {
    const config = this.#config();
    const executor = new Executor(this.#handlers, config.maxInFlight, {
      onEnd: ({ key, id, queue, type, attempt }, outcome) => {
        this.#logFailure({ jobId: id, queue, jobType: type, attempt }, outcome);
        session.ended(key, outcome);
      },
      progress: ({ key }, fraction, note) => session.progress(key, fraction, note),
    });
    const session = new Session(config, {
      onJobs: (jobs) => executor.start(jobs),
      onStop: (key, why) => executor.stop(key, why),
      onDraining: (error) => {
        this.#refused = error;
        this.#stopping = true;
        executor.drain();
      },
      onLog: this.#log,
    });
    this.#executor = executor;
    this.#session = session;
    return session;
  }

  #drain(): void {
    this.#stopping = true;
    this.#executor?.drain();
    this.#session?.drain();
  }

  #logFailure(job: Readonly<Record<string, unknown>>, outcome: Outcome): void {
    if (outcome === "ack" || outcome.error === undefined) return;
    const { type: errorType, message: error } = outcome.error;
    const kind = NackKind[outcome.nack].toLowerCase();
    this.#log({ level: "warn", event: "job failed", fields: { ...job, kind, errorType, error } });
  }
}
