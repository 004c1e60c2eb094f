import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { Message } from "@bufbuild/protobuf";
/**
 * Describes the file relay/v1/job.proto.
 */
export declare const file_relay_v1_job: GenFile;
/**
 * How a failed job is tried again: after a uniform random delay in
 * [0, min(max_backoff, initial_backoff * multiplier ^ (attempt - 1))] ("full jitter").
 *
 * @generated from message relay.v1.RetryPolicy
 */
export type RetryPolicy = Message<"relay.v1.RetryPolicy"> & {
    /**
     * Attempts in all, the first one included: 1 to 1000. Optional; 0 means 20.
     *
     * @generated from field: int32 max_attempts = 1;
     */
    maxAttempts: number;
    /**
     * Upper bound of the delay after the first failure: 0 s to 7 d. Optional; unset means 1 s.
     *
     * @generated from field: google.protobuf.Duration initial_backoff = 2;
     */
    initialBackoff?: Duration | undefined;
    /**
     * Upper bound of any delay: 0 s to 7 d. Optional; unset means 10 min.
     *
     * @generated from field: google.protobuf.Duration max_backoff = 3;
     */
    maxBackoff?: Duration | undefined;
    /**
     * Growth per attempt: 1 to 100. Optional; 0 means 2.
     *
     * @generated from field: double multiplier = 4;
     */
    multiplier: number;
};
/**
 * Describes the message relay.v1.RetryPolicy.
 * Use `create(RetryPolicySchema)` to create a new message.
 */
export declare const RetryPolicySchema: GenMessage<RetryPolicy>;
/**
 * A job as a producer describes it.
 *
 * Fields 1 to 13 have the same numbers and types as in Job.
 *
 * @generated from message relay.v1.JobSpec
 */
export type JobSpec = Message<"relay.v1.JobSpec"> & {
    /**
     * UUID of the job, version 7 recommended. Optional: without it the server mints one, and a repeated call is then a
     * second job, unless it is a batch with a request_id. With it a repeat is recognised and answered as the first call was.
     *
     * @generated from field: string id = 1;
     */
    id: string;
    /**
     * What the job is, chosen by the application; workers pick their handler by it. Required, 1 to 128 bytes.
     *
     * @generated from field: string type = 2;
     */
    type: string;
    /**
     * The arguments, opaque to the server. Optional; at most 1 MiB by default (GetServerInfo.limits).
     *
     * @generated from field: bytes payload = 3;
     */
    payload: Uint8Array;
    /**
     * Media type of the payload. Optional, at most 128 bytes; empty means application/json.
     *
     * @generated from field: string content_type = 4;
     */
    contentType: string;
    /**
     * Application metadata, such as traceparent. Optional; at most 32 entries and 8 KiB, names and values together.
     *
     * @generated from field: map<string, string> headers = 5;
     */
    headers: {
        [key: string]: string;
    };
    /**
     * -9 to 9; higher is served earlier, as a head start of priority_step for each point. Zero is normal.
     *
     * @generated from field: sint32 priority = 6;
     */
    priority: number;
    /**
     * How failures are retried. Optional.
     *
     * @generated from field: relay.v1.RetryPolicy retry = 7;
     */
    retry?: RetryPolicy | undefined;
    /**
     * Longest time one attempt may run, from its claim: 0 s to 7 d. The worker stops the handler; the server stops extending the
     * lease 10 s later. Optional; zero or unset means no limit.
     *
     * @generated from field: google.protobuf.Duration max_runtime = 8;
     */
    maxRuntime?: Duration | undefined;
    /**
     * A job still waiting at this time becomes a dead letter (reason EXPIRED) instead of running. Optional; within 1 year.
     *
     * @generated from field: google.protobuf.Timestamp expires_at = 9;
     */
    expiresAt?: Timestamp | undefined;
    /**
     * Business key: a second job with the same key in the same queue within the window is not created; the first one's id is
     * returned. Optional, at most 256 bytes.
     *
     * @generated from field: string idempotency_key = 10;
     */
    idempotencyKey: string;
    /**
     * How long the key is held, from this call, whether or not the job still exists: 1 s to 30 d. Optional; unset means 24 h.
     *
     * @generated from field: google.protobuf.Duration idempotency_window = 11;
     */
    idempotencyWindow?: Duration | undefined;
    /**
     * When the job may start. Optional; unset, zero or past means at once.
     *
     * @generated from oneof relay.v1.JobSpec.schedule
     */
    schedule: {
        /**
         * This long after the server receives it: 0 s to 1 year.
         *
         * @generated from field: google.protobuf.Duration delay = 14;
         */
        value: Duration;
        case: "delay";
    } | {
        /**
         * At this time: at most 1 year ahead. A past time means at once.
         *
         * @generated from field: google.protobuf.Timestamp run_at = 15;
         */
        value: Timestamp;
        case: "runAt";
    } | {
        case: undefined;
        value?: undefined;
    };
};
/**
 * Describes the message relay.v1.JobSpec.
 * Use `create(JobSpecSchema)` to create a new message.
 */
export declare const JobSpecSchema: GenMessage<JobSpec>;
/**
 * A job as a worker or an operator sees it: what the producer said, and when. It never changes.
 *
 * @generated from message relay.v1.Job
 */
export type Job = Message<"relay.v1.Job"> & {
    /**
     * UUID of the job. Always set.
     *
     * @generated from field: string id = 1;
     */
    id: string;
    /**
     * What the job is. Always set.
     *
     * @generated from field: string type = 2;
     */
    type: string;
    /**
     * The arguments, byte for byte as enqueued.
     *
     * @generated from field: bytes payload = 3;
     */
    payload: Uint8Array;
    /**
     * Media type of the payload; empty means application/json.
     *
     * @generated from field: string content_type = 4;
     */
    contentType: string;
    /**
     * Application metadata as enqueued.
     *
     * @generated from field: map<string, string> headers = 5;
     */
    headers: {
        [key: string]: string;
    };
    /**
     * -9 to 9; zero is normal.
     *
     * @generated from field: sint32 priority = 6;
     */
    priority: number;
    /**
     * The retry policy as enqueued; unset parts have the defaults given there.
     *
     * @generated from field: relay.v1.RetryPolicy retry = 7;
     */
    retry?: RetryPolicy | undefined;
    /**
     * Longest time one attempt may run, from its claim; zero or unset means no limit.
     *
     * @generated from field: google.protobuf.Duration max_runtime = 8;
     */
    maxRuntime?: Duration | undefined;
    /**
     * When a waiting job is dropped to the dead letters; unset means never.
     *
     * @generated from field: google.protobuf.Timestamp expires_at = 9;
     */
    expiresAt?: Timestamp | undefined;
    /**
     * Business key as enqueued; may be empty.
     *
     * @generated from field: string idempotency_key = 10;
     */
    idempotencyKey: string;
    /**
     * How long the key is held; unset means 24 h.
     *
     * @generated from field: google.protobuf.Duration idempotency_window = 11;
     */
    idempotencyWindow?: Duration | undefined;
    /**
     * When the server accepted the job, by the server's clock.
     *
     * @generated from field: google.protobuf.Timestamp enqueue_time = 16;
     */
    enqueueTime?: Timestamp | undefined;
};
/**
 * Describes the message relay.v1.Job.
 * Use `create(JobSchema)` to create a new message.
 */
export declare const JobSchema: GenMessage<Job>;
/**
 * What went wrong in one attempt, as the worker tells it.
 *
 * @generated from message relay.v1.JobError
 */
export type JobError = Message<"relay.v1.JobError"> & {
    /**
     * Class or kind of the error; dead letters are grouped by it. Optional, at most 128 bytes.
     *
     * @generated from field: string type = 1;
     */
    type: string;
    /**
     * One readable sentence. Optional, at most 8 KiB together with the stack.
     *
     * @generated from field: string message = 2;
     */
    message: string;
    /**
     * Stack trace. Optional, at most 8 KiB together with the message.
     *
     * @generated from field: string stack = 3;
     */
    stack: string;
};
/**
 * Describes the message relay.v1.JobError.
 * Use `create(JobErrorSchema)` to create a new message.
 */
export declare const JobErrorSchema: GenMessage<JobError>;
/**
 * One failed attempt, kept with the job (the newest 10).
 *
 * @generated from message relay.v1.AttemptFailure
 */
export type AttemptFailure = Message<"relay.v1.AttemptFailure"> & {
    /**
     * Number of the attempt, from 1.
     *
     * @generated from field: int32 attempt = 1;
     */
    attempt: number;
    /**
     * How it ended.
     *
     * @generated from field: relay.v1.FailureKind kind = 2;
     */
    kind: FailureKind;
    /**
     * When it ended, by the store's clock.
     *
     * @generated from field: google.protobuf.Timestamp time = 3;
     */
    time?: Timestamp | undefined;
    /**
     * Who had the lease.
     *
     * @generated from field: string worker_id = 4;
     */
    workerId: string;
    /**
     * What the worker said; unset when the lease expired.
     *
     * @generated from field: relay.v1.JobError error = 5;
     */
    error?: JobError | undefined;
};
/**
 * Describes the message relay.v1.AttemptFailure.
 * Use `create(AttemptFailureSchema)` to create a new message.
 */
export declare const AttemptFailureSchema: GenMessage<AttemptFailure>;
/**
 * A job in a list: enough for a table row, with a bounded preview of the payload.
 *
 * @generated from message relay.v1.JobSummary
 */
export type JobSummary = Message<"relay.v1.JobSummary"> & {
    /**
     * UUID of the job.
     *
     * @generated from field: string id = 1;
     */
    id: string;
    /**
     * The queue it is in.
     *
     * @generated from field: string queue = 2;
     */
    queue: string;
    /**
     * What the job is.
     *
     * @generated from field: string type = 3;
     */
    type: string;
    /**
     * Where it is.
     *
     * @generated from field: relay.v1.JobState state = 4;
     */
    state: JobState;
    /**
     * -9 to 9; zero is normal.
     *
     * @generated from field: sint32 priority = 5;
     */
    priority: number;
    /**
     * Attempts begun so far.
     *
     * @generated from field: int32 attempt = 6;
     */
    attempt: number;
    /**
     * Attempts allowed.
     *
     * @generated from field: int32 max_attempts = 7;
     */
    maxAttempts: number;
    /**
     * Leases that ran out since enqueue or requeue.
     *
     * @generated from field: int32 expirations = 8;
     */
    expirations: number;
    /**
     * By state: ready since, due at, lease deadline, or time of death. Store's clock.
     *
     * @generated from field: google.protobuf.Timestamp state_time = 9;
     */
    stateTime?: Timestamp | undefined;
    /**
     * When the server accepted it; unset where a list leaves the payload out.
     *
     * @generated from field: google.protobuf.Timestamp enqueue_time = 10;
     */
    enqueueTime?: Timestamp | undefined;
    /**
     * The worker that has, or last had, the lease; may be empty.
     *
     * @generated from field: string worker_id = 11;
     */
    workerId: string;
    /**
     * Why it is dead; unset in other states.
     *
     * @generated from field: relay.v1.DeadReason dead_reason = 12;
     */
    deadReason: DeadReason;
    /**
     * Type of the last error; may be empty.
     *
     * @generated from field: string error_type = 13;
     */
    errorType: string;
    /**
     * First 256 bytes of the last error's message; may be empty.
     *
     * @generated from field: string error_message = 14;
     */
    errorMessage: string;
    /**
     * First 256 bytes of the payload. A list leaves it out for jobs of more than 16 KiB, and after 1 MiB a page.
     *
     * @generated from field: bytes payload_preview = 15;
     */
    payloadPreview: Uint8Array;
    /**
     * Size of the whole payload, in bytes; of the whole stored job where a list leaves the payload out.
     *
     * @generated from field: int64 payload_bytes = 16;
     */
    payloadBytes: bigint;
    /**
     * Media type of the payload; empty means application/json, or left out as the payload is.
     *
     * @generated from field: string content_type = 17;
     */
    contentType: string;
    /**
     * True when an operator cancelled the job while it was in flight and the worker has not answered yet.
     *
     * @generated from field: bool cancelled = 18;
     */
    cancelled: boolean;
    /**
     * Last progress reported with Extend, 0 to 1.
     *
     * @generated from field: double progress = 19;
     */
    progress: number;
    /**
     * Note sent with the last progress.
     *
     * @generated from field: string progress_note = 20;
     */
    progressNote: string;
};
/**
 * Describes the message relay.v1.JobSummary.
 * Use `create(JobSummarySchema)` to create a new message.
 */
export declare const JobSummarySchema: GenMessage<JobSummary>;
/**
 * Where a job is. A job is in exactly one state; a finished job is gone and has none.
 *
 * @generated from enum relay.v1.JobState
 */
export declare enum JobState {
    /**
     * Not set.
     *
     * @generated from enum value: JOB_STATE_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * Waiting to be claimed.
     *
     * @generated from enum value: JOB_STATE_READY = 1;
     */
    READY = 1,
    /**
     * Waiting for its time: scheduled, or backing off after a failure.
     *
     * @generated from enum value: JOB_STATE_DELAYED = 2;
     */
    DELAYED = 2,
    /**
     * Leased to a worker.
     *
     * @generated from enum value: JOB_STATE_INFLIGHT = 3;
     */
    INFLIGHT = 3,
    /**
     * A dead letter: kept for an operator to requeue or purge.
     *
     * @generated from enum value: JOB_STATE_DEAD = 4;
     */
    DEAD = 4
}
/**
 * Describes the enum relay.v1.JobState.
 */
export declare const JobStateSchema: GenEnum<JobState>;
/**
 * Why a job became a dead letter.
 *
 * @generated from enum relay.v1.DeadReason
 */
export declare enum DeadReason {
    /**
     * The job is not dead.
     *
     * @generated from enum value: DEAD_REASON_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * It failed on its last allowed attempt.
     *
     * @generated from enum value: DEAD_REASON_ATTEMPTS = 1;
     */
    ATTEMPTS = 1,
    /**
     * A worker rejected it with Nack DEAD.
     *
     * @generated from enum value: DEAD_REASON_REJECTED = 2;
     */
    REJECTED = 2,
    /**
     * Its lease expired max_expirations times: it probably kills its workers.
     *
     * @generated from enum value: DEAD_REASON_POISON = 3;
     */
    POISON = 3,
    /**
     * It was still waiting when its expires_at passed.
     *
     * @generated from enum value: DEAD_REASON_EXPIRED = 4;
     */
    EXPIRED = 4
}
/**
 * Describes the enum relay.v1.DeadReason.
 */
export declare const DeadReasonSchema: GenEnum<DeadReason>;
/**
 * How one attempt of a job ended without success.
 *
 * @generated from enum relay.v1.FailureKind
 */
export declare enum FailureKind {
    /**
     * Not set.
     *
     * @generated from enum value: FAILURE_KIND_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * The worker asked for another try.
     *
     * @generated from enum value: FAILURE_KIND_RETRY = 1;
     */
    RETRY = 1,
    /**
     * The worker rejected the job.
     *
     * @generated from enum value: FAILURE_KIND_REJECTED = 2;
     */
    REJECTED = 2,
    /**
     * The lease expired: the worker died, hung or lost its network.
     *
     * @generated from enum value: FAILURE_KIND_LEASE_EXPIRED = 3;
     */
    LEASE_EXPIRED = 3
}
/**
 * Describes the enum relay.v1.FailureKind.
 */
export declare const FailureKindSchema: GenEnum<FailureKind>;
