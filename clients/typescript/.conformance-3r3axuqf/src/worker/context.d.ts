/** What a handler is told about its job, and the few things it may say back while it runs. */
import type { JobData, StopReason } from "../net/messages.js";
/** One attempt of one job. */
export declare class Context {
    #private;
    constructor(job: JobData, report: (fraction: number, note: string) => void);
    get jobId(): string;
    get queue(): string;
    get type(): string;
    /** Number of this attempt, from 1. */
    get attempt(): number;
    get maxAttempts(): number;
    /** Rises with every claim of the job: write it beside side effects in another store to fence off a late run. */
    get epoch(): bigint;
    get idempotencyKey(): string;
    /** The producer's headers. */
    get headers(): Readonly<Record<string, string>>;
    /** W3C trace context of the producer; undefined when it sent none. */
    get traceparent(): string | undefined;
    /** The payload as it came, whatever the handler's first argument is. */
    get rawPayload(): Uint8Array;
    get contentType(): string;
    /** Aborted when the lease is lost, the job was cancelled, it ran too long, or the worker is out of time for it. */
    get signal(): AbortSignal;
    /** Says how far the job is: 0 to 1, and a note of up to 200 bytes. Never waits; shown in a second or two. */
    progress(fraction: number, note?: string): void;
    /** The worker's side: tells the handler to stop. */
    static stop(context: Context, why: StopReason): void;
    /** The worker's side: why the handler was told to stop, and whether it has looked. */
    static stopOf(context: Context): {
        why: StopReason | undefined;
        noticed: boolean;
    };
}
