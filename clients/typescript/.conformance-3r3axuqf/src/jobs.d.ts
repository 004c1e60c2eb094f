/** What a producer says about a job, and its form on the wire. */
import { type JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { type DurationLike } from "./durations.js";
/** How failures of a job are retried; what is left out has the server's default. */
export interface RetryPolicy {
    /** Attempts in all, the first included: 1 to 1000, default 20. */
    readonly maxAttempts?: number;
    /** Upper bound of the delay after the first failure, default 1 s. */
    readonly initialBackoff?: DurationLike;
    /** Upper bound of any delay, default 10 min. */
    readonly maxBackoff?: DurationLike;
    /** Growth per attempt: 1 to 100, default 2. */
    readonly multiplier?: number;
}
/** What may be said about a job beside its type and payload. */
export interface JobOptions {
    /** Start this long after the server has received it. */
    readonly delay?: DurationLike | undefined;
    /** Start at this time; a past one means at once. */
    readonly runAt?: Date | undefined;
    /** -9 to 9, higher is served earlier; 0 is normal. */
    readonly priority?: number | undefined;
    /** A second job with the same key within the window is not created. */
    readonly idempotencyKey?: string | undefined;
    /** How long the key is held: 1 s to 30 d, default 24 h. */
    readonly idempotencyWindow?: DurationLike | undefined;
    /** Application metadata: at most 32 entries and 8 KiB. */
    readonly headers?: Readonly<Record<string, string>> | undefined;
    /** W3C trace context of the caller: becomes the header `traceparent`. */
    readonly traceparent?: string | undefined;
    readonly retry?: RetryPolicy | undefined;
    /** Longest time one attempt may run. */
    readonly maxRuntime?: DurationLike | undefined;
    /** A job still waiting at this time becomes a dead letter. */
    readonly expiresAt?: Date | undefined;
    /** Media type of the payload; JSON, or application/octet-stream for bytes, when left out. */
    readonly contentType?: string | undefined;
    /** A UUID of your own; the SDK mints a UUIDv7 otherwise. */
    readonly jobId?: string | undefined;
}
/** One job of enqueueBatch. */
export interface JobSpec extends JobOptions {
    readonly type: string;
    readonly payload?: unknown;
}
/** An accepted job: its id, or with `deduplicated` the id of the job that holds the idempotency key. */
export interface Enqueued {
    readonly id: string;
    readonly deduplicated: boolean;
}
/**
 * The job as it is sent, with an id minted when the spec has none.
 *
 * RangeError or TypeError names the field that cannot be sent; ranges are the server's to check.
 */
export declare function toWire(spec: JobSpec): WireJob;
/** The payload's bytes and its content type; an empty content type means JSON. */
export declare function encodePayload(value: unknown, contentType?: string): {
    payload: Uint8Array;
    contentType: string;
};
/** Whether a media type is JSON; an empty one is. */
export declare function isJson(contentType: string): boolean;
