import type { GenEnum, GenFile, GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { ErrorReason } from "./errors_pb.js";
import type { Job, JobError, JobSpec, JobState } from "./job_pb.js";
import type { Message } from "@bufbuild/protobuf";
/**
 * Describes the file relay/v1/queue_service.proto.
 */
export declare const file_relay_v1_queue_service: GenFile;
/**
 * One job for one queue.
 *
 * @generated from message relay.v1.EnqueueRequest
 */
export type EnqueueRequest = Message<"relay.v1.EnqueueRequest"> & {
    /**
     * Name of the queue: [A-Za-z0-9._-]{1,128}, not "." or "..". Required. The queue is created when first used.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * The job. Required.
     *
     * @generated from field: relay.v1.JobSpec job = 2;
     */
    job?: JobSpec | undefined;
};
/**
 * Describes the message relay.v1.EnqueueRequest.
 * Use `create(EnqueueRequestSchema)` to create a new message.
 */
export declare const EnqueueRequestSchema: GenMessage<EnqueueRequest>;
/**
 * Where the job is now known.
 *
 * @generated from message relay.v1.EnqueueResponse
 */
export type EnqueueResponse = Message<"relay.v1.EnqueueResponse"> & {
    /**
     * Id of the job: the one sent, the one minted, or with deduplicated the one that holds the idempotency key.
     *
     * @generated from field: string job_id = 1;
     */
    jobId: string;
    /**
     * True when the idempotency key was taken and nothing was created.
     *
     * @generated from field: bool deduplicated = 2;
     */
    deduplicated: boolean;
};
/**
 * Describes the message relay.v1.EnqueueResponse.
 * Use `create(EnqueueResponseSchema)` to create a new message.
 */
export declare const EnqueueResponseSchema: GenMessage<EnqueueResponse>;
/**
 * Several jobs for one queue.
 *
 * @generated from message relay.v1.EnqueueBatchRequest
 */
export type EnqueueBatchRequest = Message<"relay.v1.EnqueueBatchRequest"> & {
    /**
     * Name of the queue: [A-Za-z0-9._-]{1,128}, not "." or "..". Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * 1 to 500 jobs, at most 3 MiB in all. Required.
     *
     * @generated from field: repeated relay.v1.JobSpec jobs = 2;
     */
    jobs: JobSpec[];
    /**
     * Names this request, so that a repeat is recognised for 60 s. Optional, at most 64 bytes; SDKs send a UUID.
     *
     * @generated from field: string request_id = 3;
     */
    requestId: string;
};
/**
 * Describes the message relay.v1.EnqueueBatchRequest.
 * Use `create(EnqueueBatchRequestSchema)` to create a new message.
 */
export declare const EnqueueBatchRequestSchema: GenMessage<EnqueueBatchRequest>;
/**
 * One result for each job, in the order of the request.
 *
 * @generated from message relay.v1.EnqueueBatchResponse
 */
export type EnqueueBatchResponse = Message<"relay.v1.EnqueueBatchResponse"> & {
    /**
     * As many as jobs were sent.
     *
     * @generated from field: repeated relay.v1.EnqueueResult results = 1;
     */
    results: EnqueueResult[];
};
/**
 * Describes the message relay.v1.EnqueueBatchResponse.
 * Use `create(EnqueueBatchResponseSchema)` to create a new message.
 */
export declare const EnqueueBatchResponseSchema: GenMessage<EnqueueBatchResponse>;
/**
 * What became of one job of a batch.
 *
 * @generated from message relay.v1.EnqueueResult
 */
export type EnqueueResult = Message<"relay.v1.EnqueueResult"> & {
    /**
     * Id of the job; with deduplicated or IDEMPOTENCY_MISMATCH the one that holds the idempotency key.
     *
     * @generated from field: string job_id = 1;
     */
    jobId: string;
    /**
     * True when the idempotency key was taken and nothing was created.
     *
     * @generated from field: bool deduplicated = 2;
     */
    deduplicated: boolean;
    /**
     * Why the job was refused: IDEMPOTENCY_MISMATCH or QUEUE_FULL. Unspecified: it was accepted.
     *
     * @generated from field: relay.v1.ErrorReason reason = 3;
     */
    reason: ErrorReason;
};
/**
 * Describes the message relay.v1.EnqueueResult.
 * Use `create(EnqueueResultSchema)` to create a new message.
 */
export declare const EnqueueResultSchema: GenMessage<EnqueueResult>;
/**
 * Opens or reopens a worker's session.
 *
 * @generated from message relay.v1.ClaimRequest
 */
export type ClaimRequest = Message<"relay.v1.ClaimRequest"> & {
    /**
     * 1 to 32 queues. Required.
     *
     * @generated from field: repeated relay.v1.QueueWeight queues = 1;
     */
    queues: QueueWeight[];
    /**
     * Name of the worker for people: host and process. Required, 1 to 128 bytes.
     *
     * @generated from field: string worker_id = 2;
     */
    workerId: string;
    /**
     * Unsettled jobs allowed on the session, over all its queues: 1 to 10 000. Required.
     *
     * @generated from field: int32 max_in_flight = 3;
     */
    maxInFlight: number;
    /**
     * How long a lease lasts without Extend: 1 s to 1 h. Optional; unset means 30 s.
     *
     * @generated from field: google.protobuf.Duration lease = 4;
     */
    lease?: Duration | undefined;
    /**
     * When the stream ends without Drain, leases of the session that were not extended since are expired after this time: 0 s to 1 h.
     * Optional; zero or unset means never (they run out by themselves).
     *
     * @generated from field: google.protobuf.Duration disconnect_grace = 5;
     */
    disconnectGrace?: Duration | undefined;
    /**
     * On reconnection: the session_id that Started gave. Optional.
     *
     * @generated from field: string session_id = 6;
     */
    sessionId: string;
    /**
     * On reconnection: jobs received and not settled. Zero on a first connection.
     *
     * @generated from field: int32 in_flight = 7;
     */
    inFlight: number;
    /**
     * On reconnection: all leases still held, those whose settle was not answered among them; the answer's first Cancel names those already
     * lost. A job of a frame that broke off with the former stream and is not named here was never received, and is given to others at once.
     * At most 10 000 jobs. Optional; a client that names fewer than in_flight leaves what it does not name under its lease.
     *
     * @generated from field: repeated relay.v1.LeaseGroup leases = 8;
     */
    leases: LeaseGroup[];
    /**
     * What the client is, for the list of workers: "relay-python/0.1.0". Optional, at most 64 bytes.
     *
     * @generated from field: string client_version = 9;
     */
    clientVersion: string;
};
/**
 * Describes the message relay.v1.ClaimRequest.
 * Use `create(ClaimRequestSchema)` to create a new message.
 */
export declare const ClaimRequestSchema: GenMessage<ClaimRequest>;
/**
 * A queue and its share.
 *
 * @generated from message relay.v1.QueueWeight
 */
export type QueueWeight = Message<"relay.v1.QueueWeight"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Share of the window when several queues have jobs: 1 to 100. Optional; 0 means 1.
     *
     * @generated from field: int32 weight = 2;
     */
    weight: number;
};
/**
 * Describes the message relay.v1.QueueWeight.
 * Use `create(QueueWeightSchema)` to create a new message.
 */
export declare const QueueWeightSchema: GenMessage<QueueWeight>;
/**
 * One frame of a Claim stream.
 *
 * @generated from message relay.v1.ClaimResponse
 */
export type ClaimResponse = Message<"relay.v1.ClaimResponse"> & {
    /**
     * What the frame says. A client ignores a frame it does not know.
     *
     * @generated from oneof relay.v1.ClaimResponse.frame
     */
    frame: {
        /**
         * Always first.
         *
         * @generated from field: relay.v1.Started started = 1;
         */
        value: Started;
        case: "started";
    } | {
        /**
         * Jobs to run.
         *
         * @generated from field: relay.v1.Jobs jobs = 2;
         */
        value: Jobs;
        case: "jobs";
    } | {
        /**
         * Nothing happened for a while; the stream is alive.
         *
         * @generated from field: relay.v1.KeepAlive keep_alive = 3;
         */
        value: KeepAlive;
        case: "keepAlive";
    } | {
        /**
         * Stop these jobs.
         *
         * @generated from field: relay.v1.Cancel cancel = 4;
         */
        value: Cancel;
        case: "cancel";
    } | {
        /**
         * The stream will end; reconnect.
         *
         * @generated from field: relay.v1.Drain drain = 5;
         */
        value: Drain;
        case: "drain";
    } | {
        case: undefined;
        value?: undefined;
    };
};
/**
 * Describes the message relay.v1.ClaimResponse.
 * Use `create(ClaimResponseSchema)` to create a new message.
 */
export declare const ClaimResponseSchema: GenMessage<ClaimResponse>;
/**
 * The session is open.
 *
 * @generated from message relay.v1.Started
 */
export type Started = Message<"relay.v1.Started"> & {
    /**
     * Names the session in WindowReport and on reconnection.
     *
     * @generated from field: string session_id = 1;
     */
    sessionId: string;
    /**
     * The lease in force.
     *
     * @generated from field: google.protobuf.Duration lease = 2;
     */
    lease?: Duration | undefined;
    /**
     * How often to extend: a third of the lease.
     *
     * @generated from field: google.protobuf.Duration extend_every = 3;
     */
    extendEvery?: Duration | undefined;
    /**
     * Longest silence of the stream; a stream silent for twice this is dead.
     *
     * @generated from field: google.protobuf.Duration keep_alive = 4;
     */
    keepAlive?: Duration | undefined;
    /**
     * The window in force.
     *
     * @generated from field: int32 max_in_flight = 5;
     */
    maxInFlight: number;
    /**
     * Version of the server.
     *
     * @generated from field: string server_version = 6;
     */
    serverVersion: string;
    /**
     * Names this stream among those of the session: repeat it in WindowReport. Not 0; zero only from servers that know no such number.
     *
     * @generated from field: int32 stream = 7;
     */
    stream: number;
};
/**
 * Describes the message relay.v1.Started.
 * Use `create(StartedSchema)` to create a new message.
 */
export declare const StartedSchema: GenMessage<Started>;
/**
 * Up to 64 jobs and 256 KiB, or one larger job, of one queue under one token.
 *
 * @generated from message relay.v1.Jobs
 */
export type Jobs = Message<"relay.v1.Jobs"> & {
    /**
     * The queue they come from.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * 16 random bytes; settles and extends these jobs.
     *
     * @generated from field: bytes lease_token = 2;
     */
    leaseToken: Uint8Array;
    /**
     * When the lease ends, by the store's clock. For people: workers time it by lease_remaining.
     *
     * @generated from field: google.protobuf.Timestamp lease_deadline = 3;
     */
    leaseDeadline?: Timestamp | undefined;
    /**
     * How long the lease lasts from the moment this frame was written.
     *
     * @generated from field: google.protobuf.Duration lease_remaining = 4;
     */
    leaseRemaining?: Duration | undefined;
    /**
     * The jobs, in the order of the queue.
     *
     * @generated from field: repeated relay.v1.ClaimedJob jobs = 5;
     */
    jobs: ClaimedJob[];
};
/**
 * Describes the message relay.v1.Jobs.
 * Use `create(JobsSchema)` to create a new message.
 */
export declare const JobsSchema: GenMessage<Jobs>;
/**
 * A job with what this lease adds.
 *
 * @generated from message relay.v1.ClaimedJob
 */
export type ClaimedJob = Message<"relay.v1.ClaimedJob"> & {
    /**
     * The job.
     *
     * @generated from field: relay.v1.Job job = 1;
     */
    job?: Job | undefined;
    /**
     * Number of this attempt, from 1.
     *
     * @generated from field: int32 attempt = 2;
     */
    attempt: number;
    /**
     * Attempts allowed.
     *
     * @generated from field: int32 max_attempts = 3;
     */
    maxAttempts: number;
    /**
     * Rises with every claim of the job, also after a requeue; about the time of the claim in ms. Write it beside side effects in another
     * store to fence off late writers.
     *
     * @generated from field: int64 epoch = 4;
     */
    epoch: bigint;
};
/**
 * Describes the message relay.v1.ClaimedJob.
 * Use `create(ClaimedJobSchema)` to create a new message.
 */
export declare const ClaimedJobSchema: GenMessage<ClaimedJob>;
/**
 * Sent after keep_alive of silence.
 *
 * @generated from message relay.v1.KeepAlive
 */
export type KeepAlive = Message<"relay.v1.KeepAlive"> & {
    /**
     * Unsettled jobs of the session as the server counts them. A worker that counts differently restates its window at once.
     *
     * @generated from field: int32 unsettled = 1;
     */
    unsettled: number;
};
/**
 * Describes the message relay.v1.KeepAlive.
 * Use `create(KeepAliveSchema)` to create a new message.
 */
export declare const KeepAliveSchema: GenMessage<KeepAlive>;
/**
 * These jobs must stop: the lease is lost, or an operator cancelled the job.
 *
 * @generated from message relay.v1.Cancel
 */
export type Cancel = Message<"relay.v1.Cancel"> & {
    /**
     * At most 500 a frame.
     *
     * @generated from field: repeated relay.v1.CancelledJob jobs = 1;
     */
    jobs: CancelledJob[];
};
/**
 * Describes the message relay.v1.Cancel.
 * Use `create(CancelSchema)` to create a new message.
 */
export declare const CancelSchema: GenMessage<Cancel>;
/**
 * One job to stop.
 *
 * @generated from message relay.v1.CancelledJob
 */
export type CancelledJob = Message<"relay.v1.CancelledJob"> & {
    /**
     * The queue it is in.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * UUID of the job.
     *
     * @generated from field: string job_id = 2;
     */
    jobId: string;
    /**
     * LEASE_LOST, GONE or CANCELLED.
     *
     * @generated from field: relay.v1.LeaseOutcome outcome = 3;
     */
    outcome: LeaseOutcome;
};
/**
 * Describes the message relay.v1.CancelledJob.
 * Use `create(CancelledJobSchema)` to create a new message.
 */
export declare const CancelledJobSchema: GenMessage<CancelledJob>;
/**
 * The server is going away, or wants its streams spread anew. Keep working, keep extending, reconnect.
 *
 * @generated from message relay.v1.Drain
 */
export type Drain = Message<"relay.v1.Drain"> & {
    /**
     * Wait this long before reconnecting, so that not all come at once.
     *
     * @generated from field: google.protobuf.Duration reconnect_after = 1;
     */
    reconnectAfter?: Duration | undefined;
};
/**
 * Describes the message relay.v1.Drain.
 * Use `create(DrainSchema)` to create a new message.
 */
export declare const DrainSchema: GenMessage<Drain>;
/**
 * Leases of one queue under one token.
 *
 * @generated from message relay.v1.LeaseGroup
 */
export type LeaseGroup = Message<"relay.v1.LeaseGroup"> & {
    /**
     * The queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * The token that came with the jobs: 16 bytes. Required.
     *
     * @generated from field: bytes lease_token = 2;
     */
    leaseToken: Uint8Array;
    /**
     * UUIDs of the jobs. Required, at least one.
     *
     * @generated from field: repeated string job_ids = 3;
     */
    jobIds: string[];
};
/**
 * Describes the message relay.v1.LeaseGroup.
 * Use `create(LeaseGroupSchema)` to create a new message.
 */
export declare const LeaseGroupSchema: GenMessage<LeaseGroup>;
/**
 * The worker's own statement of its window: unsettled = in_flight + (sent - received).
 *
 * @generated from message relay.v1.WindowReport
 */
export type WindowReport = Message<"relay.v1.WindowReport"> & {
    /**
     * The session. Required.
     *
     * @generated from field: string session_id = 1;
     */
    sessionId: string;
    /**
     * Jobs received on the current stream so far.
     *
     * @generated from field: int64 received = 2;
     */
    received: bigint;
    /**
     * Jobs received and not settled, those of the carrying request no longer counted.
     *
     * @generated from field: int32 in_flight = 3;
     */
    inFlight: number;
    /**
     * Rises with every report of the session; an older one is ignored.
     *
     * @generated from field: int64 seq = 4;
     */
    seq: bigint;
    /**
     * The stream that received counts, as Started named it; a report for another stream than the session's current one is ignored.
     * Optional; 0 is taken for the current stream.
     *
     * @generated from field: int32 stream = 5;
     */
    stream: number;
};
/**
 * Describes the message relay.v1.WindowReport.
 * Use `create(WindowReportSchema)` to create a new message.
 */
export declare const WindowReportSchema: GenMessage<WindowReport>;
/**
 * Jobs that are finished.
 *
 * @generated from message relay.v1.AckRequest
 */
export type AckRequest = Message<"relay.v1.AckRequest"> & {
    /**
     * 1 to 500 jobs in all. Required.
     *
     * @generated from field: repeated relay.v1.LeaseGroup leases = 1;
     */
    leases: LeaseGroup[];
    /**
     * The window after these jobs. Optional.
     *
     * @generated from field: relay.v1.WindowReport window = 2;
     */
    window?: WindowReport | undefined;
};
/**
 * Describes the message relay.v1.AckRequest.
 * Use `create(AckRequestSchema)` to create a new message.
 */
export declare const AckRequestSchema: GenMessage<AckRequest>;
/**
 * One outcome for each job.
 *
 * @generated from message relay.v1.AckResponse
 */
export type AckResponse = Message<"relay.v1.AckResponse"> & {
    /**
     * In the order of the request, group by group.
     *
     * @generated from field: repeated relay.v1.LeaseOutcome outcomes = 1;
     */
    outcomes: LeaseOutcome[];
};
/**
 * Describes the message relay.v1.AckResponse.
 * Use `create(AckResponseSchema)` to create a new message.
 */
export declare const AckResponseSchema: GenMessage<AckResponse>;
/**
 * Jobs that are given back.
 *
 * @generated from message relay.v1.NackRequest
 */
export type NackRequest = Message<"relay.v1.NackRequest"> & {
    /**
     * 1 to 500 jobs. Required.
     *
     * @generated from field: repeated relay.v1.NackedJob jobs = 1;
     */
    jobs: NackedJob[];
    /**
     * The window after these jobs. Optional.
     *
     * @generated from field: relay.v1.WindowReport window = 2;
     */
    window?: WindowReport | undefined;
};
/**
 * Describes the message relay.v1.NackRequest.
 * Use `create(NackRequestSchema)` to create a new message.
 */
export declare const NackRequestSchema: GenMessage<NackRequest>;
/**
 * One job given back.
 *
 * @generated from message relay.v1.NackedJob
 */
export type NackedJob = Message<"relay.v1.NackedJob"> & {
    /**
     * The queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * UUID of the job. Required.
     *
     * @generated from field: string job_id = 2;
     */
    jobId: string;
    /**
     * The token that came with the job: 16 bytes. Required.
     *
     * @generated from field: bytes lease_token = 3;
     */
    leaseToken: Uint8Array;
    /**
     * What is to become of it. Required.
     *
     * @generated from field: relay.v1.NackKind kind = 4;
     */
    kind: NackKind;
    /**
     * When it may run again: 0 s to 1 year. Optional; unset means the backoff of its policy for RETRY, 1 s for RELEASE and THROTTLED.
     * RELEASE waits at least 1 s, THROTTLED at least 100 ms.
     *
     * @generated from field: google.protobuf.Duration after = 5;
     */
    after?: Duration | undefined;
    /**
     * What went wrong, for RETRY and DEAD. Optional.
     *
     * @generated from field: relay.v1.JobError error = 6;
     */
    error?: JobError | undefined;
};
/**
 * Describes the message relay.v1.NackedJob.
 * Use `create(NackedJobSchema)` to create a new message.
 */
export declare const NackedJobSchema: GenMessage<NackedJob>;
/**
 * One result for each job.
 *
 * @generated from message relay.v1.NackResponse
 */
export type NackResponse = Message<"relay.v1.NackResponse"> & {
    /**
     * In the order of the request.
     *
     * @generated from field: repeated relay.v1.NackResult results = 1;
     */
    results: NackResult[];
};
/**
 * Describes the message relay.v1.NackResponse.
 * Use `create(NackResponseSchema)` to create a new message.
 */
export declare const NackResponseSchema: GenMessage<NackResponse>;
/**
 * What became of one job given back.
 *
 * @generated from message relay.v1.NackResult
 */
export type NackResult = Message<"relay.v1.NackResult"> & {
    /**
     * The lease.
     *
     * @generated from field: relay.v1.LeaseOutcome outcome = 1;
     */
    outcome: LeaseOutcome;
    /**
     * Where the job went, when the outcome is OK: READY, DELAYED or DEAD.
     *
     * @generated from field: relay.v1.JobState state = 2;
     */
    state: JobState;
    /**
     * How long it waits, when DELAYED.
     *
     * @generated from field: google.protobuf.Duration delay = 3;
     */
    delay?: Duration | undefined;
};
/**
 * Describes the message relay.v1.NackResult.
 * Use `create(NackResultSchema)` to create a new message.
 */
export declare const NackResultSchema: GenMessage<NackResult>;
/**
 * A heartbeat.
 *
 * @generated from message relay.v1.ExtendRequest
 */
export type ExtendRequest = Message<"relay.v1.ExtendRequest"> & {
    /**
     * 0 to 500 jobs in all.
     *
     * @generated from field: repeated relay.v1.LeaseGroup leases = 1;
     */
    leases: LeaseGroup[];
    /**
     * New length from now: 1 s to 1 h. Optional; unset means as long as the claim asked for.
     *
     * @generated from field: google.protobuf.Duration lease = 2;
     */
    lease?: Duration | undefined;
    /**
     * How far some of these jobs are. Optional.
     *
     * @generated from field: repeated relay.v1.JobProgress progress = 3;
     */
    progress: JobProgress[];
    /**
     * The window. Optional.
     *
     * @generated from field: relay.v1.WindowReport window = 4;
     */
    window?: WindowReport | undefined;
};
/**
 * Describes the message relay.v1.ExtendRequest.
 * Use `create(ExtendRequestSchema)` to create a new message.
 */
export declare const ExtendRequestSchema: GenMessage<ExtendRequest>;
/**
 * How far a job is.
 *
 * @generated from message relay.v1.JobProgress
 */
export type JobProgress = Message<"relay.v1.JobProgress"> & {
    /**
     * UUID of a job named in leases. Required.
     *
     * @generated from field: string job_id = 1;
     */
    jobId: string;
    /**
     * 0 to 1.
     *
     * @generated from field: double fraction = 2;
     */
    fraction: number;
    /**
     * A short note for people. Optional, at most 200 bytes.
     *
     * @generated from field: string note = 3;
     */
    note: string;
};
/**
 * Describes the message relay.v1.JobProgress.
 * Use `create(JobProgressSchema)` to create a new message.
 */
export declare const JobProgressSchema: GenMessage<JobProgress>;
/**
 * One result for each job.
 *
 * @generated from message relay.v1.ExtendResponse
 */
export type ExtendResponse = Message<"relay.v1.ExtendResponse"> & {
    /**
     * In the order of the request, group by group.
     *
     * @generated from field: repeated relay.v1.ExtendResult results = 1;
     */
    results: ExtendResult[];
};
/**
 * Describes the message relay.v1.ExtendResponse.
 * Use `create(ExtendResponseSchema)` to create a new message.
 */
export declare const ExtendResponseSchema: GenMessage<ExtendResponse>;
/**
 * What became of one lease.
 *
 * @generated from message relay.v1.ExtendResult
 */
export type ExtendResult = Message<"relay.v1.ExtendResult"> & {
    /**
     * OK, LEASE_LOST, GONE or CANCELLED (the lease was extended, and the handler should stop).
     *
     * @generated from field: relay.v1.LeaseOutcome outcome = 1;
     */
    outcome: LeaseOutcome;
    /**
     * How long the lease lasts from now. Less than asked for when max_runtime ends it.
     *
     * @generated from field: google.protobuf.Duration lease_remaining = 2;
     */
    leaseRemaining?: Duration | undefined;
};
/**
 * Describes the message relay.v1.ExtendResult.
 * Use `create(ExtendResultSchema)` to create a new message.
 */
export declare const ExtendResultSchema: GenMessage<ExtendResult>;
/**
 * What became of one lease.
 *
 * @generated from enum relay.v1.LeaseOutcome
 */
export declare enum LeaseOutcome {
    /**
     * Not set.
     *
     * @generated from enum value: LEASE_OUTCOME_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * Done as asked.
     *
     * @generated from enum value: LEASE_OUTCOME_OK = 1;
     */
    OK = 1,
    /**
     * The token is not the job's current lease: it expired, or somebody else has it. Drop the work; nothing was changed.
     *
     * @generated from enum value: LEASE_OUTCOME_LEASE_LOST = 2;
     */
    LEASE_LOST = 2,
    /**
     * There is no such job: it was acknowledged (perhaps by this very call, repeated), cancelled or purged.
     *
     * @generated from enum value: LEASE_OUTCOME_GONE = 3;
     */
    GONE = 3,
    /**
     * An operator cancelled the job. A settle removed it whatever it asked for; after an Extend, stop the handler and settle.
     *
     * @generated from enum value: LEASE_OUTCOME_CANCELLED = 4;
     */
    CANCELLED = 4
}
/**
 * Describes the enum relay.v1.LeaseOutcome.
 */
export declare const LeaseOutcomeSchema: GenEnum<LeaseOutcome>;
/**
 * How a job is given back.
 *
 * @generated from enum relay.v1.NackKind
 */
export declare enum NackKind {
    /**
     * Not allowed.
     *
     * @generated from enum value: NACK_KIND_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * It failed: try again after its backoff, or bury it when its attempts are used up.
     *
     * @generated from enum value: NACK_KIND_RETRY = 1;
     */
    RETRY = 1,
    /**
     * It cannot succeed: bury it now.
     *
     * @generated from enum value: NACK_KIND_DEAD = 2;
     */
    DEAD = 2,
    /**
     * This worker does not want it: back to the queue after at least 1 s, the attempt given back.
     *
     * @generated from enum value: NACK_KIND_RELEASE = 3;
     */
    RELEASE = 3,
    /**
     * Something it needs is over its limit: later, the attempt given back.
     *
     * @generated from enum value: NACK_KIND_THROTTLED = 4;
     */
    THROTTLED = 4
}
/**
 * Describes the enum relay.v1.NackKind.
 */
export declare const NackKindSchema: GenEnum<NackKind>;
/**
 * What producers and workers use. Every call is safe to repeat.
 *
 * @generated from service relay.v1.QueueService
 */
export declare const QueueService: GenService<{
    /**
     * Adds one job to a queue. Repeating it with the same job id, at any time while the job lives and for 60 s after it was
     * first applied, makes no second job and gives the same answer.
     *
     * @generated from rpc relay.v1.QueueService.Enqueue
     */
    enqueue: {
        methodKind: "unary";
        input: typeof EnqueueRequestSchema;
        output: typeof EnqueueResponseSchema;
    };
    /**
     * Adds 1 to 500 jobs, at most 3 MiB in all, to one queue, with one result for each. A malformed job refuses the whole call and
     * changes nothing. Repeating it with the same request_id within 60 s gives the same answer.
     *
     * @generated from rpc relay.v1.QueueService.EnqueueBatch
     */
    enqueueBatch: {
        methodKind: "unary";
        input: typeof EnqueueBatchRequestSchema;
        output: typeof EnqueueBatchResponseSchema;
    };
    /**
     * Opens a stream of jobs under lease. The first frame is Started. The server never has more than max_in_flight
     * unsettled jobs on the stream's session. The stream ends with Drain when the server wants the worker to
     * reconnect; leases stand whatever happens to the stream.
     *
     * @generated from rpc relay.v1.QueueService.Claim
     */
    claim: {
        methodKind: "server_streaming";
        input: typeof ClaimRequestSchema;
        output: typeof ClaimResponseSchema;
    };
    /**
     * Finishes jobs: they are gone. Lost leases are outcomes in the answer, not errors.
     *
     * @generated from rpc relay.v1.QueueService.Ack
     */
    ack: {
        methodKind: "unary";
        input: typeof AckRequestSchema;
        output: typeof AckResponseSchema;
    };
    /**
     * Gives jobs back: to be retried, buried, released or held off. Lost leases are outcomes in the answer, not errors.
     *
     * @generated from rpc relay.v1.QueueService.Nack
     */
    nack: {
        methodKind: "unary";
        input: typeof NackRequestSchema;
        output: typeof NackResponseSchema;
    };
    /**
     * Moves lease deadlines later (the heartbeat) and says which leases are lost or cancelled. Without leases it only
     * reports the window.
     *
     * @generated from rpc relay.v1.QueueService.Extend
     */
    extend: {
        methodKind: "unary";
        input: typeof ExtendRequestSchema;
        output: typeof ExtendResponseSchema;
    };
}>;
