/** The producer: enqueues jobs, alone or in bulk, and opens claims for those who want no Worker. */
import { type Result } from "./batches.js";
import { Claimed, type ClaimOptions } from "./claim.js";
import { type ConnectionOptions } from "./connection.js";
import type { DurationLike } from "./durations.js";
import { type Enqueued, type JobOptions, type JobSpec } from "./jobs.js";
export interface ClientOptions extends ConnectionOptions {
    /** Total time of a call with its repeats: below 30 s, default 20 s. */
    readonly timeout?: DurationLike;
}
export interface CallControls {
    readonly timeout?: DurationLike | undefined;
    readonly signal?: AbortSignal | undefined;
}
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
export declare class Client implements AsyncDisposable {
    #private;
    /** `target`: "host:port", several separated by commas, "dns:///name:port" or "unix:path". */
    constructor(target?: string, options?: ClientOptions);
    /**
     * Adds one job to a queue. Calls that run at the same time share RPCs.
     *
     * Rejects with a RelayError; with TypeError or RangeError when an option cannot be sent. An aborted call is not
     * sent, or, if it is on its way, may still be accepted.
     */
    enqueue(queue: string, type: string, payload?: unknown, options?: JobOptions & CallControls): Promise<Enqueued>;
    /**
     * Adds many jobs to a queue, one result for each, in their order: the accepted job, or why it was refused.
     *
     * The timeout is that of each call. The first call that fails as a whole stops the run: its jobs and those after it
     * carry that error.
     */
    enqueueBatch(queue: string, jobs: Iterable<JobSpec>, options?: BatchOptions): Promise<Result[]>;
    /**
     * Claims jobs for a loop of your own: `for await (const job of relay.claim("emails")) { …; await job.ack(); }`.
     *
     * Leases are kept alive in a thread until a job is settled. Leaving the loop, or aborting the signal, gives back
     * what was not yielded. Most programs want a Worker.
     */
    claim(queues: string | readonly string[] | Readonly<Record<string, number>>, options?: ClaimOptions): Claimed;
    /** Ends claims and closes the connections. Calls in flight reject with Aborted. May be repeated. */
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
