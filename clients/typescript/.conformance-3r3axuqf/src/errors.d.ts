/** The typed errors: the only place that turns a gRPC status or an ErrorReason into a JavaScript error. */
import { type ServiceError, status } from "@grpc/grpc-js";
import { type Status } from "../gen/google/rpc/status_pb.js";
import { ErrorReason } from "../gen/relay/v1/errors_pb.js";
import { LeaseOutcome } from "../gen/relay/v1/queue_service_pb.js";
/** The name of a gRPC status code. */
export type Code = Exclude<keyof typeof status, number>;
/** One field that was refused: its path in the request, and what is wrong with it. */
export interface Violation {
    readonly field: string;
    readonly description: string;
}
export interface RelayErrorDetails {
    /** The gRPC status code. */
    readonly code?: Code;
    /** Name of the ErrorReason without its prefix ("QUEUE_FULL"); empty when the server gave none. */
    readonly reason?: string;
    /** What the server added to the reason. */
    readonly metadata?: Readonly<Record<string, string>>;
    /** Milliseconds after which the server asks to be called again. */
    readonly retryAfterMs?: number | undefined;
    /** The refused fields, when the reason is INVALID_FIELD. */
    readonly violations?: readonly Violation[];
    readonly cause?: unknown;
}
/** A call, or one job of a batch, that was refused. Its fields are those of RelayErrorDetails. */
export declare class RelayError extends Error {
    readonly code: Code;
    readonly reason: string;
    readonly metadata: Readonly<Record<string, string>>;
    readonly retryAfterMs: number | undefined;
    readonly violations: readonly Violation[];
    constructor(message: string, details?: RelayErrorDetails);
}
/** A field is missing, malformed or out of range; `violations` names each one. */
export declare class InvalidField extends RelayError {
}
/** No queue of this name has ever been seen. */
export declare class QueueNotFound extends RelayError {
}
/** The queue holds no job with this id: it never existed, or it is finished. */
export declare class JobNotFound extends RelayError {
}
/** The idempotency key is held by a job with another type or payload. */
export declare class IdempotencyMismatch extends RelayError {
    /** Id of the job that holds the key. */
    get jobId(): string;
}
/** The queue holds as many jobs as its max_jobs setting allows. */
export declare class QueueFull extends RelayError {
}
/** One payload, or one request, is over its size limit in bytes. */
export declare class TooLarge extends RelayError {
}
/** The server is at its limit of streams or of queued work; come back after `retryAfterMs`. */
export declare class Overloaded extends RelayError {
}
/** No server answered before the deadline. After a call that may have been applied, repeat it with the same ids. */
export declare class Unavailable extends RelayError {
}
/** Redis is down, loading, read-only or cannot write its log. */
export declare class StoreUnavailable extends Unavailable {
}
/** The server is shutting down. */
export declare class Draining extends Unavailable {
}
/** Redis has no memory left for new jobs; finishing jobs still works. */
export declare class StoreOutOfMemory extends RelayError {
}
/** The job is not in a state that allows the call. */
export declare class WrongState extends RelayError {
}
/** No credentials, or credentials that are not valid. */
export declare class Unauthenticated extends RelayError {
}
/** The credentials are valid and do not allow this call on this queue. */
export declare class PermissionDenied extends RelayError {
}
/** A defect in the server; `metadata.request_id` finds it in the server's log. */
export declare class Internal extends RelayError {
}
/** No answer in time. Whether the call was applied is not known; repeating it with the same job id is safe. */
export declare class DeadlineExceeded extends RelayError {
}
/** The call was given up by its AbortSignal, or its client was closed. A job on its way may still be accepted. */
export declare class Aborted extends RelayError {
}
/** The lease expired, or somebody else has the job now: drop the work. */
export declare class LeaseLost extends RelayError {
}
/** The job no longer exists: it was acknowledged, cancelled or purged. */
export declare class JobGone extends RelayError {
}
/** An operator cancelled the job: stop the handler. */
export declare class JobCancelled extends RelayError {
}
type ErrorClass = new (message: string, details?: RelayErrorDetails) => RelayError;
/** One class and one status code for each reason of the contract; a test compares this with the enum. */
export declare const BY_REASON: Readonly<Record<string, readonly [ErrorClass, Code]>>;
/** The typed error for what a gRPC call failed with. */
export declare function fromServiceError(error: ServiceError): RelayError;
/** The typed error for a status code, its message and, when there were any, its google.rpc details. */
export declare function fromStatus(code: Code, message: string, details?: Status, cause?: unknown): RelayError;
/** The typed error for the ErrorReason of one job in a batch; RelayError for one this version does not know. */
export declare function fromReason(value: ErrorReason, message: string, jobId: string): RelayError;
/** The typed error for the LeaseOutcome of a settle; undefined when it was done as asked. */
export declare function fromOutcome(outcome: LeaseOutcome): RelayError | undefined;
export {};
