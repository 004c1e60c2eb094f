import type { GenFile, GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { JobSummary } from "./job_pb.js";
import type { Message } from "@bufbuild/protobuf";
/**
 * Describes the file relay/v1/dead_letter_service.proto.
 */
export declare const file_relay_v1_dead_letter_service: GenFile;
/**
 * Which dead letters. Conditions are combined with "and".
 *
 * @generated from message relay.v1.DeadJobFilter
 */
export type DeadJobFilter = Message<"relay.v1.DeadJobFilter"> & {
    /**
     * Exact job type. Optional.
     *
     * @generated from field: string type = 1;
     */
    type: string;
    /**
     * Exact error type. Optional.
     *
     * @generated from field: string error_type = 2;
     */
    errorType: string;
    /**
     * Died at or after. Optional.
     *
     * @generated from field: google.protobuf.Timestamp died_after = 3;
     */
    diedAfter?: Timestamp | undefined;
    /**
     * Died before. Optional.
     *
     * @generated from field: google.protobuf.Timestamp died_before = 4;
     */
    diedBefore?: Timestamp | undefined;
    /**
     * Must be true to choose all dead letters with no other condition.
     *
     * @generated from field: bool all = 5;
     */
    all: boolean;
};
/**
 * Describes the message relay.v1.DeadJobFilter.
 * Use `create(DeadJobFilterSchema)` to create a new message.
 */
export declare const DeadJobFilterSchema: GenMessage<DeadJobFilter>;
/**
 * Jobs by id.
 *
 * @generated from message relay.v1.JobIds
 */
export type JobIds = Message<"relay.v1.JobIds"> & {
    /**
     * 1 to 10 000 UUIDs. Required.
     *
     * @generated from field: repeated string ids = 1;
     */
    ids: string[];
};
/**
 * Describes the message relay.v1.JobIds.
 * Use `create(JobIdsSchema)` to create a new message.
 */
export declare const JobIdsSchema: GenMessage<JobIds>;
/**
 * A page of dead letters.
 *
 * @generated from message relay.v1.ListDeadJobsRequest
 */
export type ListDeadJobsRequest = Message<"relay.v1.ListDeadJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Which ones. Optional: without it all.
     *
     * @generated from field: relay.v1.DeadJobFilter filter = 2;
     */
    filter?: DeadJobFilter | undefined;
    /**
     * 1 to 500; larger values are cut. Optional; 0 means 50.
     *
     * @generated from field: int32 page_size = 3;
     */
    pageSize: number;
    /**
     * next_page_token of the page before. Optional.
     *
     * @generated from field: string page_token = 4;
     */
    pageToken: string;
};
/**
 * Describes the message relay.v1.ListDeadJobsRequest.
 * Use `create(ListDeadJobsRequestSchema)` to create a new message.
 */
export declare const ListDeadJobsRequestSchema: GenMessage<ListDeadJobsRequest>;
/**
 * A page of dead letters.
 *
 * @generated from message relay.v1.ListDeadJobsResponse
 */
export type ListDeadJobsResponse = Message<"relay.v1.ListDeadJobsResponse"> & {
    /**
     * Newest death first.
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
     * Dead letters in the queue, without the filter.
     *
     * @generated from field: int64 total = 3;
     */
    total: bigint;
};
/**
 * Describes the message relay.v1.ListDeadJobsResponse.
 * Use `create(ListDeadJobsResponseSchema)` to create a new message.
 */
export declare const ListDeadJobsResponseSchema: GenMessage<ListDeadJobsResponse>;
/**
 * Which queue to group.
 *
 * @generated from message relay.v1.GroupDeadJobsRequest
 */
export type GroupDeadJobsRequest = Message<"relay.v1.GroupDeadJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
};
/**
 * Describes the message relay.v1.GroupDeadJobsRequest.
 * Use `create(GroupDeadJobsRequestSchema)` to create a new message.
 */
export declare const GroupDeadJobsRequestSchema: GenMessage<GroupDeadJobsRequest>;
/**
 * Groups of dead letters.
 *
 * @generated from message relay.v1.GroupDeadJobsResponse
 */
export type GroupDeadJobsResponse = Message<"relay.v1.GroupDeadJobsResponse"> & {
    /**
     * Largest first.
     *
     * @generated from field: repeated relay.v1.DeadJobGroup groups = 1;
     */
    groups: DeadJobGroup[];
    /**
     * How many of the newest dead letters were counted.
     *
     * @generated from field: int64 counted = 2;
     */
    counted: bigint;
    /**
     * Dead letters in the queue.
     *
     * @generated from field: int64 total = 3;
     */
    total: bigint;
};
/**
 * Describes the message relay.v1.GroupDeadJobsResponse.
 * Use `create(GroupDeadJobsResponseSchema)` to create a new message.
 */
export declare const GroupDeadJobsResponseSchema: GenMessage<GroupDeadJobsResponse>;
/**
 * Dead letters of one job type and one error type.
 *
 * @generated from message relay.v1.DeadJobGroup
 */
export type DeadJobGroup = Message<"relay.v1.DeadJobGroup"> & {
    /**
     * Job type.
     *
     * @generated from field: string type = 1;
     */
    type: string;
    /**
     * Error type; may be empty.
     *
     * @generated from field: string error_type = 2;
     */
    errorType: string;
    /**
     * How many.
     *
     * @generated from field: int64 count = 3;
     */
    count: bigint;
    /**
     * Oldest death counted.
     *
     * @generated from field: google.protobuf.Timestamp first_time = 4;
     */
    firstTime?: Timestamp | undefined;
    /**
     * Newest death counted.
     *
     * @generated from field: google.protobuf.Timestamp last_time = 5;
     */
    lastTime?: Timestamp | undefined;
};
/**
 * Describes the message relay.v1.DeadJobGroup.
 * Use `create(DeadJobGroupSchema)` to create a new message.
 */
export declare const DeadJobGroupSchema: GenMessage<DeadJobGroup>;
/**
 * Which dead letters to requeue.
 *
 * @generated from message relay.v1.RequeueDeadJobsRequest
 */
export type RequeueDeadJobsRequest = Message<"relay.v1.RequeueDeadJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Which ones. Required.
     *
     * @generated from oneof relay.v1.RequeueDeadJobsRequest.selection
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
         * @generated from field: relay.v1.DeadJobFilter filter = 3;
         */
        value: DeadJobFilter;
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
 * Describes the message relay.v1.RequeueDeadJobsRequest.
 * Use `create(RequeueDeadJobsRequestSchema)` to create a new message.
 */
export declare const RequeueDeadJobsRequestSchema: GenMessage<RequeueDeadJobsRequest>;
/**
 * Progress, then the final state.
 *
 * @generated from message relay.v1.RequeueDeadJobsResponse
 */
export type RequeueDeadJobsResponse = Message<"relay.v1.RequeueDeadJobsResponse"> & {
    /**
     * Dead letters looked at so far.
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
     * Of those, how many were requeued; zero on a dry run.
     *
     * @generated from field: int64 requeued = 3;
     */
    requeued: bigint;
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
 * Describes the message relay.v1.RequeueDeadJobsResponse.
 * Use `create(RequeueDeadJobsResponseSchema)` to create a new message.
 */
export declare const RequeueDeadJobsResponseSchema: GenMessage<RequeueDeadJobsResponse>;
/**
 * Which dead letters to delete.
 *
 * @generated from message relay.v1.PurgeDeadJobsRequest
 */
export type PurgeDeadJobsRequest = Message<"relay.v1.PurgeDeadJobsRequest"> & {
    /**
     * Name of the queue. Required.
     *
     * @generated from field: string queue = 1;
     */
    queue: string;
    /**
     * Which ones. Required.
     *
     * @generated from oneof relay.v1.PurgeDeadJobsRequest.selection
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
         * @generated from field: relay.v1.DeadJobFilter filter = 3;
         */
        value: DeadJobFilter;
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
 * Describes the message relay.v1.PurgeDeadJobsRequest.
 * Use `create(PurgeDeadJobsRequestSchema)` to create a new message.
 */
export declare const PurgeDeadJobsRequestSchema: GenMessage<PurgeDeadJobsRequest>;
/**
 * Progress, then the final state.
 *
 * @generated from message relay.v1.PurgeDeadJobsResponse
 */
export type PurgeDeadJobsResponse = Message<"relay.v1.PurgeDeadJobsResponse"> & {
    /**
     * Dead letters looked at so far.
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
     * Of those, how many were deleted; zero on a dry run.
     *
     * @generated from field: int64 purged = 3;
     */
    purged: bigint;
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
 * Describes the message relay.v1.PurgeDeadJobsResponse.
 * Use `create(PurgeDeadJobsResponseSchema)` to create a new message.
 */
export declare const PurgeDeadJobsResponseSchema: GenMessage<PurgeDeadJobsResponse>;
/**
 * What operators do with jobs that failed for good.
 *
 * @generated from service relay.v1.DeadLetterService
 */
export declare const DeadLetterService: GenService<{
    /**
     * Lists the dead letters of a queue, newest death first, a page at a time.
     *
     * @generated from rpc relay.v1.DeadLetterService.ListDeadJobs
     */
    listDeadJobs: {
        methodKind: "unary";
        input: typeof ListDeadJobsRequestSchema;
        output: typeof ListDeadJobsResponseSchema;
    };
    /**
     * Counts the newest 10 000 dead letters by job type and error type.
     *
     * @generated from rpc relay.v1.DeadLetterService.GroupDeadJobs
     */
    groupDeadJobs: {
        methodKind: "unary";
        input: typeof GroupDeadJobsRequestSchema;
        output: typeof GroupDeadJobsResponseSchema;
    };
    /**
     * Sends dead letters back to ready with attempts and expirations reset. Works on those that were dead when it started and
     * streams its progress; stopping it keeps what is done, and running it again goes on.
     *
     * @generated from rpc relay.v1.DeadLetterService.RequeueDeadJobs
     */
    requeueDeadJobs: {
        methodKind: "server_streaming";
        input: typeof RequeueDeadJobsRequestSchema;
        output: typeof RequeueDeadJobsResponseSchema;
    };
    /**
     * Deletes dead letters for good, in the same way.
     *
     * @generated from rpc relay.v1.DeadLetterService.PurgeDeadJobs
     */
    purgeDeadJobs: {
        methodKind: "server_streaming";
        input: typeof PurgeDeadJobsRequestSchema;
        output: typeof PurgeDeadJobsResponseSchema;
    };
}>;
