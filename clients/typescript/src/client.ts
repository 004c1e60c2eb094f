/** The producer: enqueues jobs, alone or in bulk, and opens claims for those who want no Worker. */

import { setMaxListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import type { JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { EnqueueRequestSchema } from "../gen/relay/v1/queue_service_pb.js";
import { type Chunk, chunks, type Result, sortOut, toRequest, toResults } from "./batches.js";
import { Claimed, type ClaimOptions } from "./claim.js";
import { Coalescer } from "./coalesce.js";
import { type Connection, type ConnectionOptions, connection } from "./connection.js";
import type { DurationLike } from "./durations.js";
import { Aborted, InvalidField, RelayError } from "./errors.js";
import { type Enqueued, type JobOptions, type JobSpec, toWire } from "./jobs.js";
import { call, DEFAULT_TIMEOUT_MS, parseTimeout } from "./retry.js";
import { Rotation } from "./rotation.js";

/** Calls in flight at once during enqueueBatch: enough to hide the round trip. */
const BULK_CALLS_MAX = 4;

/** How a client reaches its servers, and how long it tries. */
export interface ClientOptions extends ConnectionOptions {
  /** Total time of a call with its repeats: below 30 s, default 20 s. */
  readonly timeout?: DurationLike;
}

/** How long one call is tried, and what gives it up. */
export interface CallControls {
  /** Total time of the call with its repeats: below 30 s; the client's when left out. */
  readonly timeout?: DurationLike | undefined;
  /** Gives the call up: it rejects with Aborted. A job on its way may still be accepted. */
  readonly signal?: AbortSignal | undefined;
}

/** The options of one enqueueBatch. */
export interface BatchOptions extends CallControls {
  /** Called after each answered call with the number of jobs that have a result. */
  readonly progress?: (answered: number) => void;
}

/**
 * A producer. It connects on first use and may be shared by everything in its thread.
 *
 *     await using relay = new Client("localhost:50051");
 *     const job = await relay.enqueue("emails", "welcome", { to: "a@example.com" }, { delay: "5m" });
 */
export class Client implements AsyncDisposable {
  readonly #where: Connection;
  readonly #timeoutMs: number;
  readonly #stubs: Rotation;
  readonly #coalescer: Coalescer;
  readonly #closing = new AbortController();
  readonly #claims = new Set<Claimed>();

  /** `target`: "host:port", several separated by commas, "dns:///name:port" or "unix:path". */
  constructor(target = "localhost:50051", options: ClientOptions = {}) {
    this.#timeoutMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseTimeout(options.timeout);
    this.#where = connection(target, options);
    setMaxListeners(0, this.#closing.signal);
    this.#stubs = new Rotation(this.#where);
    this.#coalescer = new Coalescer((queue, jobs, deadline) =>
      this.#send(queue, jobs, deadline, this.#closing.signal),
    );
  }

  /**
   * Adds one job to a queue. Calls that run at the same time share RPCs.
   *
   * Rejects with a RelayError; with TypeError or RangeError when an option cannot be sent. An aborted call is not
   * sent, or, if it is on its way, may still be accepted.
   */
  async enqueue(
    queue: string,
    type: string,
    payload?: unknown,
    options: JobOptions & CallControls = {},
  ): Promise<Enqueued> {
    const job = toWire({ ...options, type, payload });
    // One signal for a thousand calls is no leak, which Node takes more than ten listeners for.
    if (options.signal !== undefined) setMaxListeners(0, options.signal);
    return this.#coalescer.enqueue(queue, job, performance.now() + this.#timeoutOf(options), options.signal);
  }

  /**
   * Adds many jobs to a queue, one result for each, in their order: the accepted job, or why it was refused.
   *
   * The timeout is that of each call. The first call that fails as a whole stops the run: its jobs and those after it
   * carry that error. Rejects only for what is no job's: a timeout that cannot be, or what `jobs` or `progress` throw.
   */
  async enqueueBatch(queue: string, jobs: Iterable<JobSpec>, options: BatchOptions = {}): Promise<Result[]> {
    const results: Result[] = [];
    const running = new Set<Promise<void>>();
    const signal = options.signal
      ? AbortSignal.any([options.signal, this.#closing.signal])
      : this.#closing.signal;
    setMaxListeners(0, signal);
    const timeoutMs = this.#timeoutOf(options);
    const run = { stopped: undefined as RelayError | undefined, answered: 0 };
    const settle = (chunk: Chunk, outcome: Result[]) => {
      chunk.places.forEach((place, at) => {
        results[place] = outcome[at] as Result;
      });
      run.answered += outcome.length;
      options.progress?.(run.answered);
    };
    const send = async (chunk: Chunk) => {
      let outcome: Result[];
      try {
        outcome = await this.#send(queue, chunk.jobs, performance.now() + timeoutMs, signal);
      } catch (error) {
        const stopped = asRelayError(error);
        run.stopped ??= stopped;
        outcome = chunk.jobs.map(() => stopped);
      }
      settle(chunk, outcome);
    };
    for (const chunk of chunks(this.#encoded(jobs, results))) {
      if (running.size >= BULK_CALLS_MAX) await Promise.race(running);
      const stopped = run.stopped;
      if (stopped !== undefined) {
        settle(
          chunk,
          chunk.jobs.map(() => stopped),
        );
        continue;
      }
      const sending = send(chunk).finally(() => running.delete(sending));
      running.add(sending);
    }
    await Promise.all(running);
    return results;
  }

  /**
   * Claims jobs for a loop of your own: `for await (const job of relay.claim("emails")) { …; await job.ack(); }`.
   *
   * Leases are kept alive in a thread until a job is settled. Leaving the loop, or aborting the signal, releases
   * what was not yielded. Most programs want a Worker.
   */
  claim(
    queues: string | readonly string[] | Readonly<Record<string, number>>,
    options: ClaimOptions = {},
  ): Claimed {
    if (this.#closing.signal.aborted)
      throw new Aborted("this client is closed; make a new one", { code: "CANCELLED" });
    const claimed = new Claimed(this.#where, queues, options);
    this.#claims.add(claimed);
    void claimed.ended.finally(() => this.#claims.delete(claimed));
    return claimed;
  }

  /** Ends claims and closes the connections. Calls in flight reject with Aborted. May be repeated. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the client was closed"));
    this.#coalescer.close();
    await Promise.all([...this.#claims].map((claimed) => claimed.close()));
    this.#stubs.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #timeoutOf({ timeout }: CallControls): number {
    return timeout === undefined ? this.#timeoutMs : parseTimeout(timeout);
  }

  *#encoded(jobs: Iterable<JobSpec>, results: Result[]): Generator<readonly [number, WireJob]> {
    let place = 0;
    for (const spec of jobs) {
      let job: WireJob | undefined;
      try {
        job = toWire(spec);
      } catch (error) {
        // Throwing would hide what became of the jobs already sent.
        results[place] = new InvalidField((error as Error).message, {
          code: "INVALID_ARGUMENT",
          cause: error,
        });
      }
      if (job !== undefined) yield [place, job];
      place += 1;
    }
  }

  /** Enqueues the jobs with as few calls as the server allows. Throws RelayError when a call failed for all of them. */
  async #send(queue: string, jobs: WireJob[], deadline: number, signal: AbortSignal): Promise<Result[]> {
    let sorted: ReturnType<typeof sortOut>;
    try {
      return await this.#sendOnce(queue, jobs, deadline, signal);
    } catch (error) {
      sorted = sortOut(error, jobs.length);
    }
    const results: Result[] = [];
    for (const [at, error] of sorted.refused) results[at] = error;
    for (const group of sorted.groups) {
      const part = group.map((at) => jobs[at] as WireJob);
      const sent = await this.#send(queue, part, deadline, signal).catch((error: unknown) =>
        part.map(() => asRelayError(error)),
      );
      group.forEach((at, index) => {
        results[at] = sent[index] as Result;
      });
    }
    return results;
  }

  async #sendOnce(queue: string, jobs: WireJob[], deadline: number, signal: AbortSignal): Promise<Result[]> {
    const [first] = jobs;
    if (jobs.length === 1 && first !== undefined) {
      const single = create(EnqueueRequestSchema, { queue, job: first });
      const { jobId, deduplicated } = await call(
        this.#stubs,
        (stub, timeoutMs) => stub.unary("enqueue", single, { timeoutMs, signal }),
        deadline,
        signal,
      );
      return [{ id: jobId, deduplicated }];
    }
    const batch = toRequest(queue, jobs);
    const response = await call(
      this.#stubs,
      (stub, timeoutMs) => stub.unary("enqueueBatch", batch, { timeoutMs, signal }),
      deadline,
      signal,
    );
    return toResults(response, jobs);
  }
}

function asRelayError(error: unknown): RelayError {
  return error instanceof RelayError ? error : new RelayError(String(error), { cause: error });
}
