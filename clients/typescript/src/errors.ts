/** The typed errors: the only place that turns a gRPC status or an ErrorReason into a JavaScript error. */

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../gen/google/rpc/status_pb.js";
import { ErrorReason } from "../gen/relay/v1/errors_pb.js";
import { LeaseOutcome } from "../gen/relay/v1/queue_service_pb.js";
import { durationMs } from "./durations.js";

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
export class RelayError extends Error {
  readonly code: Code;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly Violation[];

  constructor(message: string, details: RelayErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code ?? "UNKNOWN";
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.retryAfterMs = details.retryAfterMs;
    this.violations = details.violations ?? [];
  }
}

/** A field is missing, malformed or out of range; `violations` names each one. */
export class InvalidField extends RelayError {}
/** No queue of this name has ever been seen. */
export class QueueNotFound extends RelayError {}
/** The queue holds no job with this id: it never existed, or it is finished. */
export class JobNotFound extends RelayError {}
/** The idempotency key is held by a job with another type, payload or content type. */
export class IdempotencyMismatch extends RelayError {
  /** Id of the job that holds the key. */
  get jobId(): string {
    return this.metadata.job_id ?? "";
  }
}
/** The queue holds as many jobs as its max_jobs setting allows. */
export class QueueFull extends RelayError {}
/** One payload, or one request, is over its size limit in bytes. */
export class TooLarge extends RelayError {}
/** The call would make a new queue, and the caller, or the store, has as many as it may; waiting does not help. */
export class QuotaExceeded extends RelayError {}
/** The server is at its limit of streams or of queued work; come back after `retryAfterMs`. */
export class Overloaded extends RelayError {}
/** No server answered before the deadline. After a call that may have been applied, repeat it with the same ids. */
export class Unavailable extends RelayError {}
/** Redis is down, loading, read-only or cannot write its log. */
export class StoreUnavailable extends Unavailable {}
/** The server is shutting down. */
export class Draining extends Unavailable {}
/** Redis has no memory left for new jobs; finishing jobs still works. */
export class StoreOutOfMemory extends RelayError {}
/** The job is not in a state that allows the call. */
export class WrongState extends RelayError {}
/** No credentials, or credentials that are not valid. */
export class Unauthenticated extends RelayError {}
/** The credentials are valid and do not allow this call on this queue. */
export class PermissionDenied extends RelayError {}
/** A defect in the server; `metadata.request_id` finds it in the server's log. */
export class Internal extends RelayError {}
/** No answer in time. Whether the call was applied is not known; repeating it with the same job id is safe. */
export class DeadlineExceeded extends RelayError {}
/** The call was given up by its AbortSignal, or its client was closed. A job on its way may still be accepted. */
export class Aborted extends RelayError {}
/** The lease expired, or somebody else has the job now: drop the work. */
export class LeaseLost extends RelayError {}
/** The job no longer exists: it was acknowledged, cancelled or purged. */
export class JobGone extends RelayError {}
/** An operator cancelled the job: stop the handler. */
export class JobCancelled extends RelayError {}

type ErrorClass = new (message: string, details?: RelayErrorDetails) => RelayError;

/** One class and one status code for each reason of the contract; a test compares this with the enum. */
export const BY_REASON: Readonly<Record<string, readonly [ErrorClass, Code]>> = {
  INVALID_FIELD: [InvalidField, "INVALID_ARGUMENT"],
  QUEUE_NOT_FOUND: [QueueNotFound, "NOT_FOUND"],
  JOB_NOT_FOUND: [JobNotFound, "NOT_FOUND"],
  IDEMPOTENCY_MISMATCH: [IdempotencyMismatch, "ALREADY_EXISTS"],
  QUEUE_FULL: [QueueFull, "RESOURCE_EXHAUSTED"],
  TOO_LARGE: [TooLarge, "RESOURCE_EXHAUSTED"],
  QUOTA_EXCEEDED: [QuotaExceeded, "RESOURCE_EXHAUSTED"],
  OVERLOADED: [Overloaded, "RESOURCE_EXHAUSTED"],
  STORE_UNAVAILABLE: [StoreUnavailable, "UNAVAILABLE"],
  STORE_OUT_OF_MEMORY: [StoreOutOfMemory, "RESOURCE_EXHAUSTED"],
  WRONG_STATE: [WrongState, "FAILED_PRECONDITION"],
  UNAUTHENTICATED: [Unauthenticated, "UNAUTHENTICATED"],
  PERMISSION_DENIED: [PermissionDenied, "PERMISSION_DENIED"],
  DRAINING: [Draining, "UNAVAILABLE"],
  INTERNAL: [Internal, "INTERNAL"],
};

/** For statuses that carry no reason: made by gRPC itself or by a proxy on the way. */
const BY_CODE: Partial<Record<Code, ErrorClass>> = {
  UNAVAILABLE: Unavailable,
  // A server that is stopping cancels calls that reach it late. A client that gave up says so itself.
  CANCELLED: Unavailable,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  UNAUTHENTICATED: Unauthenticated,
  PERMISSION_DENIED: PermissionDenied,
};

const BY_OUTCOME: ReadonlyMap<LeaseOutcome, readonly [ErrorClass, string]> = new Map([
  [LeaseOutcome.LEASE_LOST, [LeaseLost, "the lease is not the job's current one"]],
  [LeaseOutcome.GONE, [JobGone, "the job no longer exists"]],
  [LeaseOutcome.CANCELLED, [JobCancelled, "an operator cancelled the job"]],
]);

/** The typed error for what a gRPC call failed with. */
export function fromServiceError(error: ServiceError): RelayError {
  const code = (status[error.code] as Code | undefined) ?? "UNKNOWN";
  return fromStatus(code, error.details || code, statusDetails(error.metadata), error);
}

/** The typed error for a status code, its message and, when there were any, its google.rpc details. */
export function fromStatus(code: Code, message: string, details?: Status, cause?: unknown): RelayError {
  let reason = "";
  let metadata: Record<string, string> = {};
  let retryAfterMs: number | undefined;
  const violations: Violation[] = [];
  for (const detail of details?.details ?? []) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info?.domain === "relay") {
      reason = info.reason;
      metadata = { ...info.metadata };
    }
    const retry = anyUnpack(detail, RetryInfoSchema);
    if (retry !== undefined) retryAfterMs = durationMs(retry.retryDelay);
    for (const { field, description } of anyUnpack(detail, BadRequestSchema)?.fieldViolations ?? []) {
      violations.push({ field, description });
    }
  }
  const kind = BY_REASON[reason]?.[0] ?? classOf(code, message);
  return new kind(message, { code, reason, metadata, retryAfterMs, violations, cause });
}

/** The typed error for the ErrorReason of one job in a batch; RelayError for one this version does not know. */
export function fromReason(value: ErrorReason, message: string, jobId: string): RelayError {
  const reason = ErrorReason[value] ?? `ERROR_REASON_${value}`;
  const [kind, code] = BY_REASON[reason] ?? [RelayError, "UNKNOWN" as const];
  return new kind(message, { code, reason, metadata: { job_id: jobId } });
}

/** The typed error for the LeaseOutcome of a settle; undefined when it was done as asked. */
export function fromOutcome(outcome: LeaseOutcome): RelayError | undefined {
  if (outcome === LeaseOutcome.OK) return undefined;
  const [kind, message] = BY_OUTCOME.get(outcome) ?? [RelayError, "the outcome of the settle is not known"];
  return new kind(message, { code: "FAILED_PRECONDITION" });
}

function classOf(code: Code, message: string): ErrorClass {
  // gRPC's own size limits answer before any of our code runs, hence with no reason.
  if (code === "RESOURCE_EXHAUSTED" && /message larger than max/i.test(message)) return TooLarge;
  return BY_CODE[code] ?? RelayError;
}

function statusDetails(metadata: Metadata | undefined): Status | undefined {
  const value = metadata?.get("grpc-status-details-bin")[0];
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    return fromBinary(StatusSchema, value);
  } catch {
    return undefined; // a proxy's own details: the code still says enough
  }
}
