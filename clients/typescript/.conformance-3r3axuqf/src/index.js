/** The TypeScript SDK: what a producer or worker needs to talk to a Relay server. */
export { Client } from "./client.js";
export { Aborted, DeadlineExceeded, Draining, IdempotencyMismatch, Internal, InvalidField, JobCancelled, JobGone, JobNotFound, LeaseLost, Overloaded, PermissionDenied, QueueFull, QueueNotFound, RelayError, StoreOutOfMemory, StoreUnavailable, TooLarge, Unauthenticated, Unavailable, WrongState, } from "./errors.js";
export { VERSION } from "./version.js";
export { Reject, RetryLater, Throttled, UndecodablePayload } from "./worker/outcome.js";
export { Worker, WorkerFailed, } from "./worker/worker.js";
