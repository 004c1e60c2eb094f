/** Decides, as a pure function, what a handler's result or error means for its job: Ack or Nack. */
import { NackKind } from "../../gen/relay/v1/queue_service_pb.js";
import { type DurationLike } from "../durations.js";
import type { StopReason } from "../net/messages.js";
export declare const ERROR_BYTES_MAX: number;
export declare const ERROR_TYPE_BYTES_MAX = 128;
export interface AfterOptions extends ErrorOptions {
    /** "30s", or milliseconds; the job's own backoff, or the server's default, when left out. */
    readonly after?: DurationLike;
}
/** Thrown by a handler: try this job again, after `after` or its own backoff. Its `cause` is what operators see. */
export declare class RetryLater extends Error {
    readonly afterMs: number | undefined;
    constructor(reason?: string, options?: AfterOptions);
}
/** Thrown by a handler: this job cannot succeed; make it a dead letter now, with this reason. */
export declare class Reject extends Error {
    constructor(reason: string, options?: ErrorOptions);
}
/** Thrown by a handler: something the job needs is over its limit; later, without using up an attempt. */
export declare class Throttled extends Error {
    readonly afterMs: number | undefined;
    constructor(reason?: string, options?: AfterOptions);
}
/** The handler ran longer than its maxRuntime, or its job's. */
export declare class MaxRuntimeExceeded extends Error {
    readonly name = "MaxRuntimeExceeded";
}
/** No handler of this worker knows the job's type. */
export declare class UnknownJobType extends Error {
    readonly name = "UnknownJobType";
}
/** The payload is not what the handler asks for. A handler may throw it as well. */
export declare class UndecodablePayload extends Error {
    readonly name = "UndecodablePayload";
}
/** An error as the contract carries it: type at most 128 bytes, message and stack at most 8 KiB together. */
export interface JobFailure {
    readonly type: string;
    readonly message: string;
    readonly stack: string;
}
export interface Nack {
    readonly nack: NackKind;
    /** Unset leaves it to the server. */
    readonly afterMs?: number | undefined;
    readonly error?: JobFailure | undefined;
}
/** "ack", or how the job is given back. */
export type Outcome = "ack" | Nack;
export declare const RELEASE: Nack;
/**
 * What becomes of a job whose handler threw `error`, or returned (then `error` is undefined).
 *
 * `stop` says why the handler had been told to stop, if it was, and `noticed` whether it looked at its signal. One that
 * noticed and returned may have left work undone, so its job is released: running twice is allowed, not running is not.
 */
export declare function outcomeOf(error: {
    readonly thrown: unknown;
} | undefined, stop?: StopReason, noticed?: boolean): Outcome;
/** What was thrown, as data, within the limits of the contract, whatever it is. */
export declare function failureOf(thrown: unknown, withStack?: boolean): JobFailure;
/** The start of the text, at most `bytesMax` bytes of UTF-8. */
export declare function cutEnd(text: string, bytesMax: number): string;
