/** Claims for a loop of one's own: an async iterator of jobs, each settled by hand. */
import type { Connection } from "./connection.js";
import { type DurationLike } from "./durations.js";
import type { JobData } from "./net/messages.js";
import { type Queues, type SessionOptions } from "./worker/config.js";
import { Context } from "./worker/context.js";
import { type Outcome } from "./worker/outcome.js";
export interface ClaimOptions extends Pick<SessionOptions, "lease" | "grace" | "workerId" | "log"> {
    /** Unsettled jobs at once: 1 to 10 000, default 1. */
    readonly concurrency?: number;
    /** Ends the loop. */
    readonly signal?: AbortSignal;
}
export interface NackOptions {
    /** "retry" (the default) uses up the attempt, "dead" buries the job, the others give the attempt back. */
    readonly kind?: "retry" | "dead" | "release" | "throttled";
    /** When it may run again; left to the server when left out. */
    readonly after?: DurationLike;
    /** What went wrong: an Error, or anything that was thrown. */
    readonly error?: unknown;
}
type Settle = (outcome: Outcome) => Promise<void>;
/** A job under lease. It is kept alive until it is settled, whatever its loop does. */
export declare class ClaimedJob extends Context {
    #private;
    constructor(job: JobData, report: (fraction: number, note: string) => void, settle: Settle);
    /** The decoded payload: JSON and text are decoded, anything else is bytes. Throws UndecodablePayload. */
    payload<T = unknown>(): T;
    /** The job is finished. Rejects with LeaseLost, JobGone or JobCancelled when it was too late. */
    ack(): Promise<void>;
    /** Gives the job back. Rejects as ack() does. */
    nack({ kind, after, error }?: NackOptions): Promise<void>;
}
/** What Client.claim returns. Iterate it once; it connects when the loop begins. */
export declare class Claimed implements AsyncIterableIterator<ClaimedJob, undefined>, AsyncDisposable {
    #private;
    /** Resolves when nothing is held any more. */
    readonly ended: Promise<void>;
    constructor(where: Connection, queues: Queues, options: ClaimOptions);
    [Symbol.asyncIterator](): this;
    /** The next job; done once the claim was closed. Rejects when the server refuses the claim for good. */
    next(): Promise<IteratorResult<ClaimedJob, undefined>>;
    /** Leaving the loop closes the claim. */
    return(): Promise<IteratorResult<ClaimedJob, undefined>>;
    /** Gives back what was not yielded, waits `grace` for what was, releases the rest. May be repeated. */
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
export {};
