/** The TypeScript SDK: what a producer or worker needs to talk to a Relay server. */

export type { Result } from "./batches.js";
export type { Claimed, ClaimedJob, ClaimOptions, NackOptions } from "./claim.js";
export { type BatchOptions, type CallControls, Client, type ClientOptions } from "./client.js";
export type { ConnectionOptions } from "./connection.js";
export type { DurationLike } from "./durations.js";
export {
  Aborted,
  type Code,
  DeadlineExceeded,
  Draining,
  IdempotencyMismatch,
  Internal,
  InvalidField,
  JobCancelled,
  JobGone,
  JobNotFound,
  LeaseLost,
  Overloaded,
  PermissionDenied,
  QueueFull,
  QueueNotFound,
  QuotaExceeded,
  RelayError,
  type RelayErrorDetails,
  StoreOutOfMemory,
  StoreUnavailable,
  TooLarge,
  Unauthenticated,
  Unavailable,
  type Violation,
  WrongState,
} from "./errors.js";
export type { Enqueued, JobOptions, JobSpec, RetryPolicy } from "./jobs.js";
export type { LogEntry } from "./net/messages.js";
export { VERSION } from "./version.js";
export type { Queues, SessionOptions } from "./worker/config.js";
export type { Context } from "./worker/context.js";
export type { PayloadKind } from "./worker/decoding.js";
export { type AfterOptions, Reject, RetryLater, Throttled, UndecodablePayload } from "./worker/outcome.js";
export {
  type Handler,
  type HandlerOptions,
  Worker,
  WorkerFailed,
  type WorkerOptions,
} from "./worker/worker.js";
