import type { GenEnum, GenFile, GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { JobIds } from "./dead_letter_service_pb.js";
import type { AttemptFailure, Job, JobState, JobSummary } from "./job_pb.js";
import type { QueueWeight } from "./queue_service_pb.js";
import type { Message } from "@bufbuild/protobuf";
/**
 * Describes the file relay/v1/admin_service.proto.
 */
export declare const file_relay_v1_admin_service: GenFile;
/**
 * What a queue can be told. On update a field that is not set stays as it is.
 *
 * @generated from message relay.v1.QueueSettings
 */
export type QueueSettings = Message<"relay.v1.QueueSettings"> & {
    /**
     * Claims a second, as a token bucket: 0 to 1 000 000. Zero: no limit.
     *
     * @generated from field: optional double rate = 1;
     */
    rate?: number | undefined;
    /**
     * Claims that may come at once after a quiet time: 1 to 1 000 000. Zero: the rate, at least 1.
     *
     * @generated from field: optional int32 burst = 2;
     */
    burst?: number | undefined;
    /**
     * Head start of one point of priority: 0 s to 7 d. Default 1 h. Affects jobs that become ready from then on.
     *
     * @generated from field: optional google.protobuf.Duration priority_step = 3;
     */
    priorityStep?: Duration | undefined;
    /**
     * Jobs the queue may hold, in all states: 0 to 1 000 000 000. Zero: no limit.
     *
     * @generated from field: optional int64 max_jobs = 4;
     */
    maxJobs?: bigint | undefined;
    /**
     * Lease expirations that bury a job as POISON: 1 to 1000. Default 3.
     *
     * @generated from field: optional int32 max_expirations = 5;
     */
    maxExpirations?: number | undefined;
};
/**
 * Describes the message relay.v1.QueueSettings.
 * Use `create(QueueSettingsSchema)` to create a new message.
 */
export declare const QueueSettingsSchema: GenMessage<QueueSettings>;
/**
 * Totals since the queue was created.
 *
 * @generated from message relay.v1.QueueCounters
 */
export type QueueCounters = Message<"relay.v1.QueueCounters"> & {
    /**
     * Jobs created.
     *
     * @generated from field: int64 enqueued = 1;
     */
    enqueued: bigint;
    /**
     * Enqueues that found their idempotency key taken.
     *
     * @generated from field: int64 deduplicated = 2;
     */
    deduplicated: bigint;
    /**
     * Leases given.
     *
     * @generated from field: int64 claimed = 3;
     */
    claimed: bigint;
    /**
     * Jobs finished.
     *
     * @generated from field: int64 acked = 4;
     */
    acked: bigint;
    /**
     * Failures that were retried.
     *
     * @generated from field: int64 retried = 5;
     */
    retried: bigint;
    /**
     * Jobs given back by workers without using an attempt.
     *
     * @generated from field: int64 released = 6;
     */
    released: bigint;
    /**
     * Leases that ran out.
     *
     * @generated from field: int64 expired = 7;
     */
    expired: bigint;
    /**
     * Jobs buried.
     *
     * @generated from field: int64 dead = 8;
     */
    dead: bigint;
    /**
     * Dead letters sent back.
     *
     * @generated from field: int64 requeued = 9;
     */
    requeued: bigint;
    /**
     * Jobs deleted by purge.
     *
     * @generated from field: int64 purged = 10;
     */
    purged: bigint;
    /**
     * Jobs deleted by cancel.
     *
     * @generated from field: int64 cancelled = 11;
     */
    cancelled: bigint;
    /**
     * Settles and extends refused because the lease was not the current one.
     *
     * @generated from field: int64 stale = 12;
     */
    stale: bigint;
    /**
     * Delayed jobs made ready.
     *
     * @generated from field: int64 promoted = 13;
     */
    promoted: bigint;
    /**
     * Ids found without a body and set aside; always 0 unless the data was damaged.
     *
     * @generated from field: int64 orphaned = 14;
     */
    orphaned: bigint;
    /**
     * Steps of the store's clock back by more than 5 s.
     *
     * @generated from field: int64 clock_steps = 15;
     */
    clockSteps: bigint;
    /**
     * Jobs handed back unsent by servers.
     *
     * @generated from field: int64 unsent = 16;
     */
    unsent: bigint;
};
/**
 * Describes the message relay.v1.QueueCounters.
 * Use `create(QueueCountersSchema)` to create a new message.
 */
export declare const QueueCountersSchema: GenMessage<QueueCounters>;
/**
 * A queue at one moment.
 *
 * @generated from message relay.v1.QueueStats
 */
export type QueueStats = Message<"relay.v1.QueueStats"> & {
    /**
     * Name of the queue.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Jobs waiting to be claimed.
     *
     * @generated from field: int64 ready = 2;
     */
    ready: bigint;
    /**
     * Jobs waiting for their time.
     *
     * @generated from field: int64 delayed = 3;
     */
    delayed: bigint;
    /**
     * Jobs leased to workers.
     *
     * @generated from field: int64 inflight = 4;
     */
    inflight: bigint;
    /**
     * Dead letters.
     *
     * @generated from field: int64 dead = 5;
     */
    dead: bigint;
    /**
     * How long the job at the head has been ready; zero when none is.
     *
     * @generated from field: google.protobuf.Duration oldest_ready_age = 6;
     */
    oldestReadyAge?: Duration | undefined;
    /**
     * True when claims are stopped.
     *
     * @generated from field: bool paused = 7;
     */
    paused: boolean;
    /**
     * Totals since creation.
     *
     * @generated from field: relay.v1.QueueCounters counters = 8;
     */
    counters?: QueueCounters | undefined;
};
/**
 * Describes the message relay.v1.QueueStats.
 * Use `create(QueueStatsSchema)` to create a new message.
 */
export declare const QueueStatsSchema: GenMessage<QueueStats>;
/**
 * Which queues.
 *
 * @generated from message relay.v1.StatsRequest
 */
export type StatsRequest = Message<"relay.v1.StatsRequest"> & {
    /**
     * Name of one queue. Optional; empty means all.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.StatsRequest.
 * Use `create(StatsRequestSchema)` to create a new message.
 */
export declare const StatsRequestSchema: GenMessage<StatsRequest>;
/**
 * A snapshot.
 *
 * @generated from message relay.v1.StatsResponse
 */
export type StatsResponse = Message<"relay.v1.StatsResponse"> & {
    /**
     * By name.
     *
     * @generated from field: repeated relay.v1.QueueStats queues = 1;
     */
    queues: QueueStats[];
    /**
     * When it was taken, by the store's clock.
     *
     * @generated from field: google.protobuf.Timestamp time = 2;
     */
    time?: Timestamp | undefined;
};
/**
 * Describes the message relay.v1.StatsResponse.
 * Use `create(StatsResponseSchema)` to create a new message.
 */
export declare const StatsResponseSchema: GenMessage<StatsResponse>;
/**
 * Which queues.
 *
 * @generated from message relay.v1.WatchStatsRequest
 */
export type WatchStatsRequest = Message<"relay.v1.WatchStatsRequest"> & {
    /**
     * Name of one queue. Optional; empty means all.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.WatchStatsRequest.
 * Use `create(WatchStatsRequestSchema)` to create a new message.
 */
export declare const WatchStatsRequestSchema: GenMessage<WatchStatsRequest>;
/**
 * A snapshot, once a second.
 *
 * @generated from message relay.v1.WatchStatsResponse
 */
export type WatchStatsResponse = Message<"relay.v1.WatchStatsResponse"> & {
    /**
     * By name.
     *
     * @generated from field: repeated relay.v1.QueueStats queues = 1;
     */
    queues: QueueStats[];
    /**
     * When it was taken, by the store's clock.
     *
     * @generated from field: google.protobuf.Timestamp time = 2;
     */
    time?: Timestamp | undefined;
};
/**
 * Describes the message relay.v1.WatchStatsResponse.
 * Use `create(WatchStatsResponseSchema)` to create a new message.
 */
export declare const WatchStatsResponseSchema: GenMessage<WatchStatsResponse>;
/**
 * Which queue and how far back.
 *
 * @generated from message relay.v1.GetHistoryRequest
 */
export type GetHistoryRequest = Message<"relay.v1.GetHistoryRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * How far back: up to 24 h. Optional; unset means 1 h.
     *
     * @generated from field: google.protobuf.Duration span = 2;
     */
    span?: Duration | undefined;
};
/**
 * Describes the message relay.v1.GetHistoryRequest.
 * Use `create(GetHistoryRequestSchema)` to create a new message.
 */
export declare const GetHistoryRequestSchema: GenMessage<GetHistoryRequest>;
/**
 * Minute buckets, oldest first. Minutes in which no server ran are missing.
 *
 * @generated from message relay.v1.GetHistoryResponse
 */
export type GetHistoryResponse = Message<"relay.v1.GetHistoryResponse"> & {
    /**
     * The buckets.
     *
     * @generated from field: repeated relay.v1.HistoryBucket buckets = 1;
     */
    buckets: HistoryBucket[];
};
/**
 * Describes the message relay.v1.GetHistoryResponse.
 * Use `create(GetHistoryResponseSchema)` to create a new message.
 */
export declare const GetHistoryResponseSchema: GenMessage<GetHistoryResponse>;
/**
 * One minute of a queue.
 *
 * @generated from message relay.v1.HistoryBucket
 */
export type HistoryBucket = Message<"relay.v1.HistoryBucket"> & {
    /**
     * Start of the minute.
     *
     * @generated from field: google.protobuf.Timestamp time = 1;
     */
    time?: Timestamp | undefined;
    /**
     * Jobs created in it.
     *
     * @generated from field: int64 enqueued = 2;
     */
    enqueued: bigint;
    /**
     * Jobs finished in it.
     *
     * @generated from field: int64 acked = 3;
     */
    acked: bigint;
    /**
     * Failures in it: retries, expirations and burials.
     *
     * @generated from field: int64 failed = 4;
     */
    failed: bigint;
    /**
     * Jobs buried in it.
     *
     * @generated from field: int64 dead = 5;
     */
    dead: bigint;
    /**
     * Jobs waiting at its end.
     *
     * @generated from field: int64 ready = 6;
     */
    ready: bigint;
    /**
     * Jobs leased at its end.
     *
     * @generated from field: int64 inflight = 7;
     */
    inflight: bigint;
};
/**
 * Describes the message relay.v1.HistoryBucket.
 * Use `create(HistoryBucketSchema)` to create a new message.
 */
export declare const HistoryBucketSchema: GenMessage<HistoryBucket>;
/**
 * A page of queues.
 *
 * @generated from message relay.v1.ListQueuesRequest
 */
export type ListQueuesRequest = Message<"relay.v1.ListQueuesRequest"> & {
    /**
     * Only names that start so. Optional.
     *
     * @generated from field: string prefix = 1;
     */
    prefix: string;
    /**
     * 1 to 500; larger values are cut. Optional; 0 means 100.
     *
     * @generated from field: int32 page_size = 2;
     */
    pageSize: number;
    /**
     * next_page_token of the page before. Optional.
     *
     * @generated from field: string page_token = 3;
     */
    pageToken: string;
};
/**
 * Describes the message relay.v1.ListQueuesRequest.
 * Use `create(ListQueuesRequestSchema)` to create a new message.
 */
export declare const ListQueuesRequestSchema: GenMessage<ListQueuesRequest>;
/**
 * A page of queues.
 *
 * @generated from message relay.v1.ListQueuesResponse
 */
export type ListQueuesResponse = Message<"relay.v1.ListQueuesResponse"> & {
    /**
     * By name.
     *
     * @generated from field: repeated relay.v1.Queue queues = 1;
     */
    queues: Queue[];
    /**
     * Empty on the last page.
     *
     * @generated from field: string next_page_token = 2;
     */
    nextPageToken: string;
};
/**
 * Describes the message relay.v1.ListQueuesResponse.
 * Use `create(ListQueuesResponseSchema)` to create a new message.
 */
export declare const ListQueuesResponseSchema: GenMessage<ListQueuesResponse>;
/**
 * A queue and its settings.
 *
 * @generated from message relay.v1.Queue
 */
export type Queue = Message<"relay.v1.Queue"> & {
    /**
     * Name of the queue.
     *
     * @generated from field: string name = 1;
     */
    name: string;
    /**
     * True when claims are stopped.
     *
     * @generated from field: bool paused = 2;
     */
    paused: boolean;
    /**
     * The settings in force.
     *
     * @generated from field: relay.v1.QueueSettings settings = 3;
     */
    settings?: QueueSettings | undefined;
};
/**
 * Describes the message relay.v1.Queue.
 * Use `create(QueueSchema)` to create a new message.
 */
export declare const QueueSchema: GenMessage<Queue>;
/**
 * New settings.
 *
 * @generated from message relay.v1.UpdateQueueRequest
 */
export type UpdateQueueRequest = Message<"relay.v1.UpdateQueueRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * What changes. Required, at least one field.
     *
     * @generated from field: relay.v1.QueueSettings settings = 2;
     */
    settings?: QueueSettings | undefined;
};
/**
 * Describes the message relay.v1.UpdateQueueRequest.
 * Use `create(UpdateQueueRequestSchema)` to create a new message.
 */
export declare const UpdateQueueRequestSchema: GenMessage<UpdateQueueRequest>;
/**
 * The settings in force.
 *
 * @generated from message relay.v1.UpdateQueueResponse
 */
export type UpdateQueueResponse = Message<"relay.v1.UpdateQueueResponse"> & {
    /**
     * The queue as it is now.
     *
     * @generated from field: relay.v1.Queue queue = 1;
     */
    queue?: Queue | undefined;
};
/**
 * Describes the message relay.v1.UpdateQueueResponse.
 * Use `create(UpdateQueueResponseSchema)` to create a new message.
 */
export declare const UpdateQueueResponseSchema: GenMessage<UpdateQueueResponse>;
/**
 * Which queue to pause.
 *
 * @generated from message relay.v1.PauseQueueRequest
 */
export type PauseQueueRequest = Message<"relay.v1.PauseQueueRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.PauseQueueRequest.
 * Use `create(PauseQueueRequestSchema)` to create a new message.
 */
export declare const PauseQueueRequestSchema: GenMessage<PauseQueueRequest>;
/**
 * The queue is paused.
 *
 * @generated from message relay.v1.PauseQueueResponse
 */
export type PauseQueueResponse = Message<"relay.v1.PauseQueueResponse"> & {
    /**
     * The queue as it is now.
     *
     * @generated from field: relay.v1.Queue queue = 1;
     */
    queue?: Queue | undefined;
};
/**
 * Describes the message relay.v1.PauseQueueResponse.
 * Use `create(PauseQueueResponseSchema)` to create a new message.
 */
export declare const PauseQueueResponseSchema: GenMessage<PauseQueueResponse>;
/**
 * Which queue to resume.
 *
 * @generated from message relay.v1.ResumeQueueRequest
 */
export type ResumeQueueRequest = Message<"relay.v1.ResumeQueueRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.ResumeQueueRequest.
 * Use `create(ResumeQueueRequestSchema)` to create a new message.
 */
export declare const ResumeQueueRequestSchema: GenMessage<ResumeQueueRequest>;
/**
 * The queue is not paused.
 *
 * @generated from message relay.v1.ResumeQueueResponse
 */
export type ResumeQueueResponse = Message<"relay.v1.ResumeQueueResponse"> & {
    /**
     * The queue as it is now.
     *
     * @generated from field: relay.v1.Queue queue = 1;
     */
    queue?: Queue | undefined;
};
/**
 * Describes the message relay.v1.ResumeQueueResponse.
 * Use `create(ResumeQueueResponseSchema)` to create a new message.
 */
export declare const ResumeQueueResponseSchema: GenMessage<ResumeQueueResponse>;
/**
 * Which queue to empty.
 *
 * @generated from message relay.v1.PurgeQueueRequest
 */
export type PurgeQueueRequest = Message<"relay.v1.PurgeQueueRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * The name of the queue again, typed by a person. Required unless dry_run.
     *
     * @generated from field: string confirm = 2;
     */
    confirm: string;
    /**
     * Count; change nothing.
     *
     * @generated from field: bool dry_run = 3;
     */
    dryRun: boolean;
    /**
     * When nothing is left in any state, forget the queue with its settings, counters and history. With jobs left it is FAILED_PRECONDITION.
     *
     * @generated from field: bool forget = 4;
     */
    forget: boolean;
};
/**
 * Describes the message relay.v1.PurgeQueueRequest.
 * Use `create(PurgeQueueRequestSchema)` to create a new message.
 */
export declare const PurgeQueueRequestSchema: GenMessage<PurgeQueueRequest>;
/**
 * Progress, then the final state.
 *
 * @generated from message relay.v1.PurgeQueueResponse
 */
export type PurgeQueueResponse = Message<"relay.v1.PurgeQueueResponse"> & {
    /**
     * Jobs deleted so far; on a dry run, jobs that would be.
     *
     * @generated from field: int64 purged = 1;
     */
    purged: bigint;
    /**
     * Ready and delayed jobs when it started.
     *
     * @generated from field: int64 total = 2;
     */
    total: bigint;
    /**
     * True when the queue was forgotten.
     *
     * @generated from field: bool forgotten = 3;
     */
    forgotten: boolean;
    /**
     * True on the last one.
     *
     * @generated from field: bool done = 4;
     */
    done: boolean;
};
/**
 * Describes the message relay.v1.PurgeQueueResponse.
 * Use `create(PurgeQueueResponseSchema)` to create a new message.
 */
export declare const PurgeQueueResponseSchema: GenMessage<PurgeQueueResponse>;
/**
 * A page of jobs.
 *
 * @generated from message relay.v1.ListJobsRequest
 */
export type ListJobsRequest = Message<"relay.v1.ListJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Which state. Required.
     *
     * @generated from field: relay.v1.JobState state = 2;
     */
    state: JobState;
    /**
     * Exact job type. Optional.
     *
     * @generated from field: string type = 3;
     */
    type: string;
    /**
     * Exact job id. Optional.
     *
     * @generated from field: string job_id = 4;
     */
    jobId: string;
    /**
     * 1 to 500; larger values are cut. Optional; 0 means 50.
     *
     * @generated from field: int32 page_size = 5;
     */
    pageSize: number;
    /**
     * next_page_token of the page before. Optional.
     *
     * @generated from field: string page_token = 6;
     */
    pageToken: string;
};
/**
 * Describes the message relay.v1.ListJobsRequest.
 * Use `create(ListJobsRequestSchema)` to create a new message.
 */
export declare const ListJobsRequestSchema: GenMessage<ListJobsRequest>;
/**
 * A page of jobs.
 *
 * @generated from message relay.v1.ListJobsResponse
 */
export type ListJobsResponse = Message<"relay.v1.ListJobsResponse"> & {
    /**
     * In the order of the state's index: next to run, next due, next to expire, newest death.
     *
     * @generated from field: repeated relay.v1.JobSummary jobs = 1;
     */
    jobs: JobSummary[];
    /**
     * Empty on the last page. A page may be short, even empty, and not the last.
     *
     * @generated from field: string next_page_token = 2;
     */
    nextPageToken: string;
    /**
     * Jobs in this state, without the other conditions.
     *
     * @generated from field: int64 total = 3;
     */
    total: bigint;
};
/**
 * Describes the message relay.v1.ListJobsResponse.
 * Use `create(ListJobsResponseSchema)` to create a new message.
 */
export declare const ListJobsResponseSchema: GenMessage<ListJobsResponse>;
/**
 * Which job.
 *
 * @generated from message relay.v1.GetJobRequest
 */
export type GetJobRequest = Message<"relay.v1.GetJobRequest"> & {
    /**
     * Name of the queue. Required.
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
};
/**
 * Describes the message relay.v1.GetJobRequest.
 * Use `create(GetJobRequestSchema)` to create a new message.
 */
export declare const GetJobRequestSchema: GenMessage<GetJobRequest>;
/**
 * A whole job.
 *
 * @generated from message relay.v1.GetJobResponse
 */
export type GetJobResponse = Message<"relay.v1.GetJobResponse"> & {
    /**
     * Where it is.
     *
     * @generated from field: relay.v1.JobSummary summary = 1;
     */
    summary?: JobSummary | undefined;
    /**
     * What the producer said, the payload included.
     *
     * @generated from field: relay.v1.Job job = 2;
     */
    job?: Job | undefined;
    /**
     * Its failed attempts, oldest first: the newest 10 and at most 32 KiB.
     *
     * @generated from field: repeated relay.v1.AttemptFailure failures = 3;
     */
    failures: AttemptFailure[];
    /**
     * Number of the last claim's epoch; 0 if never claimed.
     *
     * @generated from field: int64 epoch = 4;
     */
    epoch: bigint;
};
/**
 * Describes the message relay.v1.GetJobResponse.
 * Use `create(GetJobResponseSchema)` to create a new message.
 */
export declare const GetJobResponseSchema: GenMessage<GetJobResponse>;
/**
 * Which job to run.
 *
 * @generated from message relay.v1.RunJobNowRequest
 */
export type RunJobNowRequest = Message<"relay.v1.RunJobNowRequest"> & {
    /**
     * Name of the queue. Required.
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
};
/**
 * Describes the message relay.v1.RunJobNowRequest.
 * Use `create(RunJobNowRequestSchema)` to create a new message.
 */
export declare const RunJobNowRequestSchema: GenMessage<RunJobNowRequest>;
/**
 * The job is ready.
 *
 * @generated from message relay.v1.RunJobNowResponse
 */
export type RunJobNowResponse = Message<"relay.v1.RunJobNowResponse"> & {};
/**
 * Describes the message relay.v1.RunJobNowResponse.
 * Use `create(RunJobNowResponseSchema)` to create a new message.
 */
export declare const RunJobNowResponseSchema: GenMessage<RunJobNowResponse>;
/**
 * Which jobs. Conditions are combined with "and".
 *
 * @generated from message relay.v1.JobFilter
 */
export type JobFilter = Message<"relay.v1.JobFilter"> & {
    /**
     * READY, DELAYED or INFLIGHT; unset means all three.
     *
     * @generated from field: relay.v1.JobState state = 1;
     */
    state: JobState;
    /**
     * Exact job type. Optional.
     *
     * @generated from field: string type = 2;
     */
    type: string;
    /**
     * Must be true to choose all jobs with no other condition.
     *
     * @generated from field: bool all = 3;
     */
    all: boolean;
};
/**
 * Describes the message relay.v1.JobFilter.
 * Use `create(JobFilterSchema)` to create a new message.
 */
export declare const JobFilterSchema: GenMessage<JobFilter>;
/**
 * Which jobs to cancel.
 *
 * @generated from message relay.v1.CancelJobsRequest
 */
export type CancelJobsRequest = Message<"relay.v1.CancelJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Which ones. Required.
     *
     * @generated from oneof relay.v1.CancelJobsRequest.selection
     */
    selection: {
        /**
         * These.
         *
         * @generated from field: relay.v1.JobIds ids = 2;
         */
        value: JobIds;
        case: "ids";
    } | {
        /**
         * Those that match.
         *
         * @generated from field: relay.v1.JobFilter filter = 3;
         */
        value: JobFilter;
        case: "filter";
    } | {
        case: undefined;
        value?: undefined;
    };
    /**
     * Count and show a sample; change nothing.
     *
     * @generated from field: bool dry_run = 4;
     */
    dryRun: boolean;
};
/**
 * Describes the message relay.v1.CancelJobsRequest.
 * Use `create(CancelJobsRequestSchema)` to create a new message.
 */
export declare const CancelJobsRequestSchema: GenMessage<CancelJobsRequest>;
/**
 * Progress, then the final state.
 *
 * @generated from message relay.v1.CancelJobsResponse
 */
export type CancelJobsResponse = Message<"relay.v1.CancelJobsResponse"> & {
    /**
     * Jobs looked at so far.
     *
     * @generated from field: int64 examined = 1;
     */
    examined: bigint;
    /**
     * Of those, how many matched.
     *
     * @generated from field: int64 matched = 2;
     */
    matched: bigint;
    /**
     * Of those, how many were deleted or flagged; zero on a dry run.
     *
     * @generated from field: int64 cancelled = 3;
     */
    cancelled: bigint;
    /**
     * How many will be looked at in all.
     *
     * @generated from field: int64 total = 4;
     */
    total: bigint;
    /**
     * Up to 10 that match, on a dry run.
     *
     * @generated from field: repeated relay.v1.JobSummary sample = 5;
     */
    sample: JobSummary[];
    /**
     * True on the last one.
     *
     * @generated from field: bool done = 6;
     */
    done: boolean;
};
/**
 * Describes the message relay.v1.CancelJobsResponse.
 * Use `create(CancelJobsResponseSchema)` to create a new message.
 */
export declare const CancelJobsResponseSchema: GenMessage<CancelJobsResponse>;
/**
 * Nothing to choose.
 *
 * @generated from message relay.v1.ListWorkersRequest
 */
export type ListWorkersRequest = Message<"relay.v1.ListWorkersRequest"> & {};
/**
 * Describes the message relay.v1.ListWorkersRequest.
 * Use `create(ListWorkersRequestSchema)` to create a new message.
 */
export declare const ListWorkersRequestSchema: GenMessage<ListWorkersRequest>;
/**
 * The sessions.
 *
 * @generated from message relay.v1.ListWorkersResponse
 */
export type ListWorkersResponse = Message<"relay.v1.ListWorkersResponse"> & {
    /**
     * By worker id.
     *
     * @generated from field: repeated relay.v1.Worker workers = 1;
     */
    workers: Worker[];
};
/**
 * Describes the message relay.v1.ListWorkersResponse.
 * Use `create(ListWorkersResponseSchema)` to create a new message.
 */
export declare const ListWorkersResponseSchema: GenMessage<ListWorkersResponse>;
/**
 * A session of a worker.
 *
 * @generated from message relay.v1.Worker
 */
export type Worker = Message<"relay.v1.Worker"> & {
    /**
     * Names the session.
     *
     * @generated from field: string session_id = 1;
     */
    sessionId: string;
    /**
     * Name of the worker.
     *
     * @generated from field: string worker_id = 2;
     */
    workerId: string;
    /**
     * Queues it claims from.
     *
     * @generated from field: repeated relay.v1.QueueWeight queues = 3;
     */
    queues: QueueWeight[];
    /**
     * Its window.
     *
     * @generated from field: int32 max_in_flight = 4;
     */
    maxInFlight: number;
    /**
     * Unsettled jobs, at the last heartbeat.
     *
     * @generated from field: int32 in_flight = 5;
     */
    inFlight: number;
    /**
     * The client's own version.
     *
     * @generated from field: string client_version = 6;
     */
    clientVersion: string;
    /**
     * When the stream opened.
     *
     * @generated from field: google.protobuf.Timestamp connect_time = 7;
     */
    connectTime?: Timestamp | undefined;
    /**
     * Last sign of life.
     *
     * @generated from field: google.protobuf.Timestamp seen_time = 8;
     */
    seenTime?: Timestamp | undefined;
    /**
     * The server that holds the stream.
     *
     * @generated from field: string server_id = 9;
     */
    serverId: string;
    /**
     * False when the stream is closed and the session may come back.
     *
     * @generated from field: bool connected = 10;
     */
    connected: boolean;
};
/**
 * Describes the message relay.v1.Worker.
 * Use `create(WorkerSchema)` to create a new message.
 */
export declare const WorkerSchema: GenMessage<Worker>;
/**
 * Which queue to check.
 *
 * @generated from message relay.v1.AuditRequest
 */
export type AuditRequest = Message<"relay.v1.AuditRequest"> & {
    /**
     * Name of one queue. Optional; empty means all.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.AuditRequest.
 * Use `create(AuditRequestSchema)` to create a new message.
 */
export declare const AuditRequestSchema: GenMessage<AuditRequest>;
/**
 * Progress or findings.
 *
 * @generated from message relay.v1.AuditResponse
 */
export type AuditResponse = Message<"relay.v1.AuditResponse"> & {
    /**
     * The queue being checked.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Jobs checked so far in this queue.
     *
     * @generated from field: int64 checked = 2;
     */
    checked: bigint;
    /**
     * What is wrong; empty when nothing is.
     *
     * @generated from field: repeated relay.v1.AuditFinding findings = 3;
     */
    findings: AuditFinding[];
    /**
     * True on the last one of a queue.
     *
     * @generated from field: bool done = 4;
     */
    done: boolean;
};
/**
 * Describes the message relay.v1.AuditResponse.
 * Use `create(AuditResponseSchema)` to create a new message.
 */
export declare const AuditResponseSchema: GenMessage<AuditResponse>;
/**
 * A broken invariant.
 *
 * @generated from message relay.v1.AuditFinding
 */
export type AuditFinding = Message<"relay.v1.AuditFinding"> & {
    /**
     * Id of the invariant: I1, I2 or I13.
     *
     * @generated from field: string invariant = 1;
     */
    invariant: string;
    /**
     * The job concerned; may be empty.
     *
     * @generated from field: string job_id = 2;
     */
    jobId: string;
    /**
     * What is wrong, for people.
     *
     * @generated from field: string detail = 3;
     */
    detail: string;
};
/**
 * Describes the message relay.v1.AuditFinding.
 * Use `create(AuditFindingSchema)` to create a new message.
 */
export declare const AuditFindingSchema: GenMessage<AuditFinding>;
/**
 * Nothing to choose.
 *
 * @generated from message relay.v1.GetServerInfoRequest
 */
export type GetServerInfoRequest = Message<"relay.v1.GetServerInfoRequest"> & {};
/**
 * Describes the message relay.v1.GetServerInfoRequest.
 * Use `create(GetServerInfoRequestSchema)` to create a new message.
 */
export declare const GetServerInfoRequestSchema: GenMessage<GetServerInfoRequest>;
/**
 * A server.
 *
 * @generated from message relay.v1.GetServerInfoResponse
 */
export type GetServerInfoResponse = Message<"relay.v1.GetServerInfoResponse"> & {
    /**
     * Version of Relay.
     *
     * @generated from field: string version = 1;
     */
    version: string;
    /**
     * Version of this protocol; rises when a client can tell.
     *
     * @generated from field: int32 protocol_version = 2;
     */
    protocolVersion: number;
    /**
     * Names of what this server can do beyond the protocol version.
     *
     * @generated from field: repeated string features = 3;
     */
    features: string[];
    /**
     * Names this process.
     *
     * @generated from field: string server_id = 4;
     */
    serverId: string;
    /**
     * When it started.
     *
     * @generated from field: google.protobuf.Timestamp start_time = 5;
     */
    startTime?: Timestamp | undefined;
    /**
     * The limits in force.
     *
     * @generated from field: relay.v1.Limits limits = 6;
     */
    limits?: Limits | undefined;
    /**
     * The store.
     *
     * @generated from field: relay.v1.StoreInfo store = 7;
     */
    store?: StoreInfo | undefined;
    /**
     * Every script, with what it cost on this server.
     *
     * @generated from field: repeated relay.v1.ScriptTiming scripts = 8;
     */
    scripts: ScriptTiming[];
    /**
     * Claim streams open on this server.
     *
     * @generated from field: int32 streams = 9;
     */
    streams: number;
};
/**
 * Describes the message relay.v1.GetServerInfoResponse.
 * Use `create(GetServerInfoResponseSchema)` to create a new message.
 */
export declare const GetServerInfoResponseSchema: GenMessage<GetServerInfoResponse>;
/**
 * The limits in force.
 *
 * @generated from message relay.v1.Limits
 */
export type Limits = Message<"relay.v1.Limits"> & {
    /**
     * Bytes of one payload.
     *
     * @generated from field: int64 payload_bytes_max = 1;
     */
    payloadBytesMax: bigint;
    /**
     * Jobs in one batch.
     *
     * @generated from field: int32 batch_jobs_max = 2;
     */
    batchJobsMax: number;
    /**
     * Bytes of one EnqueueBatch, payloads and all.
     *
     * @generated from field: int64 batch_bytes_max = 3;
     */
    batchBytesMax: bigint;
    /**
     * Unsettled jobs of one session.
     *
     * @generated from field: int32 max_in_flight_max = 4;
     */
    maxInFlightMax: number;
    /**
     * Shortest lease.
     *
     * @generated from field: google.protobuf.Duration lease_min = 5;
     */
    leaseMin?: Duration | undefined;
    /**
     * Longest lease.
     *
     * @generated from field: google.protobuf.Duration lease_max = 6;
     */
    leaseMax?: Duration | undefined;
    /**
     * Claim streams of this server.
     *
     * @generated from field: int32 streams_max = 7;
     */
    streamsMax: number;
};
/**
 * Describes the message relay.v1.Limits.
 * Use `create(LimitsSchema)` to create a new message.
 */
export declare const LimitsSchema: GenMessage<Limits>;
/**
 * The store.
 *
 * @generated from message relay.v1.StoreInfo
 */
export type StoreInfo = Message<"relay.v1.StoreInfo"> & {
    /**
     * "redis" or "valkey".
     *
     * @generated from field: string server = 1;
     */
    server: string;
    /**
     * Its version.
     *
     * @generated from field: string version = 2;
     */
    version: string;
    /**
     * True when this server started it.
     *
     * @generated from field: bool embedded = 3;
     */
    embedded: boolean;
    /**
     * What an acknowledged enqueue survives.
     *
     * @generated from field: relay.v1.Durability durability = 4;
     */
    durability: Durability;
    /**
     * Memory in use, in bytes.
     *
     * @generated from field: int64 used_memory_bytes = 5;
     */
    usedMemoryBytes: bigint;
    /**
     * Memory allowed, in bytes; 0 means no limit.
     *
     * @generated from field: int64 max_memory_bytes = 6;
     */
    maxMemoryBytes: bigint;
    /**
     * What an operator should know; empty when all is well.
     *
     * @generated from field: repeated string warnings = 7;
     */
    warnings: string[];
};
/**
 * Describes the message relay.v1.StoreInfo.
 * Use `create(StoreInfoSchema)` to create a new message.
 */
export declare const StoreInfoSchema: GenMessage<StoreInfo>;
/**
 * One script's cost, as seen from this server.
 *
 * @generated from message relay.v1.ScriptTiming
 */
export type ScriptTiming = Message<"relay.v1.ScriptTiming"> & {
    /**
     * Name of the script, such as "claim".
     *
     * @generated from field: string name = 1;
     */
    name: string;
    /**
     * Calls.
     *
     * @generated from field: int64 calls = 2;
     */
    calls: bigint;
    /**
     * Jobs in those calls.
     *
     * @generated from field: int64 jobs = 3;
     */
    jobs: bigint;
    /**
     * Mean time to the answer.
     *
     * @generated from field: google.protobuf.Duration mean = 4;
     */
    mean?: Duration | undefined;
    /**
     * Longest time to the answer.
     *
     * @generated from field: google.protobuf.Duration max = 5;
     */
    max?: Duration | undefined;
};
/**
 * Describes the message relay.v1.ScriptTiming.
 * Use `create(ScriptTimingSchema)` to create a new message.
 */
export declare const ScriptTimingSchema: GenMessage<ScriptTiming>;
/**
 * What an acknowledged enqueue survives.
 *
 * @generated from enum relay.v1.Durability
 */
export declare enum Durability {
    /**
     * Not known: the store does not tell.
     *
     * @generated from enum value: DURABILITY_UNSPECIFIED = 0;
     */
    UNSPECIFIED = 0,
    /**
     * Power loss: every write is on disk before it is answered.
     *
     * @generated from enum value: DURABILITY_ALWAYS = 1;
     */
    ALWAYS = 1,
    /**
     * The kill of a process; power loss costs the last one or two seconds.
     *
     * @generated from enum value: DURABILITY_EVERYSEC = 2;
     */
    EVERYSEC = 2,
    /**
     * Nothing: the store keeps no log.
     *
     * @generated from enum value: DURABILITY_NONE = 3;
     */
    NONE = 3,
    /**
     * The kill of a process; power loss costs what the operating system had not written yet, up to about 30 s.
     *
     * @generated from enum value: DURABILITY_OS = 4;
     */
    OS = 4
}
/**
 * Describes the enum relay.v1.Durability.
 */
export declare const DurabilitySchema: GenEnum<Durability>;
/**
 * What operators and dashboards use.
 *
 * @generated from service relay.v1.AdminService
 */
export declare const AdminService: GenService<{
    /**
     * One snapshot of one queue, or of all.
     *
     * @generated from rpc relay.v1.AdminService.Stats
     */
    stats: {
        methodKind: "unary";
        input: typeof StatsRequestSchema;
        output: typeof StatsResponseSchema;
    };
    /**
     * The same, once a second.
     *
     * @generated from rpc relay.v1.AdminService.WatchStats
     */
    watchStats: {
        methodKind: "server_streaming";
        input: typeof WatchStatsRequestSchema;
        output: typeof WatchStatsResponseSchema;
    };
    /**
     * Minute buckets of the last 24 hours of a queue.
     *
     * @generated from rpc relay.v1.AdminService.GetHistory
     */
    getHistory: {
        methodKind: "unary";
        input: typeof GetHistoryRequestSchema;
        output: typeof GetHistoryResponseSchema;
    };
    /**
     * Names and settings of the queues, by name, a page at a time.
     *
     * @generated from rpc relay.v1.AdminService.ListQueues
     */
    listQueues: {
        methodKind: "unary";
        input: typeof ListQueuesRequestSchema;
        output: typeof ListQueuesResponseSchema;
    };
    /**
     * Changes settings of a queue; creates the queue when it is new. Fields that are not set stay as they are.
     *
     * @generated from rpc relay.v1.AdminService.UpdateQueue
     */
    updateQueue: {
        methodKind: "unary";
        input: typeof UpdateQueueRequestSchema;
        output: typeof UpdateQueueResponseSchema;
    };
    /**
     * Stops claims from a queue. Jobs in flight go on; enqueues are accepted. Repeating it changes nothing.
     *
     * @generated from rpc relay.v1.AdminService.PauseQueue
     */
    pauseQueue: {
        methodKind: "unary";
        input: typeof PauseQueueRequestSchema;
        output: typeof PauseQueueResponseSchema;
    };
    /**
     * Lets claims go on. Repeating it changes nothing.
     *
     * @generated from rpc relay.v1.AdminService.ResumeQueue
     */
    resumeQueue: {
        methodKind: "unary";
        input: typeof ResumeQueueRequestSchema;
        output: typeof ResumeQueueResponseSchema;
    };
    /**
     * Deletes the ready and delayed jobs of a queue, at most as many as there were at the start. Jobs in flight and dead letters stay.
     *
     * @generated from rpc relay.v1.AdminService.PurgeQueue
     */
    purgeQueue: {
        methodKind: "server_streaming";
        input: typeof PurgeQueueRequestSchema;
        output: typeof PurgeQueueResponseSchema;
    };
    /**
     * Lists jobs of a queue by state, a page at a time, with previews of the payload.
     *
     * @generated from rpc relay.v1.AdminService.ListJobs
     */
    listJobs: {
        methodKind: "unary";
        input: typeof ListJobsRequestSchema;
        output: typeof ListJobsResponseSchema;
    };
    /**
     * One whole job with its failed attempts.
     *
     * @generated from rpc relay.v1.AdminService.GetJob
     */
    getJob: {
        methodKind: "unary";
        input: typeof GetJobRequestSchema;
        output: typeof GetJobResponseSchema;
    };
    /**
     * Makes a delayed job ready now.
     *
     * @generated from rpc relay.v1.AdminService.RunJobNow
     */
    runJobNow: {
        methodKind: "unary";
        input: typeof RunJobNowRequestSchema;
        output: typeof RunJobNowResponseSchema;
    };
    /**
     * Cancels jobs: waiting ones are deleted, those in flight are flagged, their workers told, and deleted when the lease is settled or
     * runs out. A cancelled job never runs again.
     *
     * @generated from rpc relay.v1.AdminService.CancelJobs
     */
    cancelJobs: {
        methodKind: "server_streaming";
        input: typeof CancelJobsRequestSchema;
        output: typeof CancelJobsResponseSchema;
    };
    /**
     * Sessions of workers seen in the last minute, on all servers.
     *
     * @generated from rpc relay.v1.AdminService.ListWorkers
     */
    listWorkers: {
        methodKind: "unary";
        input: typeof ListWorkersRequestSchema;
        output: typeof ListWorkersResponseSchema;
    };
    /**
     * Checks the stored data of one queue, or of all, against the invariants; read-only and bounded per step.
     *
     * @generated from rpc relay.v1.AdminService.Audit
     */
    audit: {
        methodKind: "server_streaming";
        input: typeof AuditRequestSchema;
        output: typeof AuditResponseSchema;
    };
    /**
     * What this server is, allows and runs on.
     *
     * @generated from rpc relay.v1.AdminService.GetServerInfo
     */
    getServerInfo: {
        methodKind: "unary";
        input: typeof GetServerInfoRequestSchema;
        output: typeof GetServerInfoResponseSchema;
    };
}>;
