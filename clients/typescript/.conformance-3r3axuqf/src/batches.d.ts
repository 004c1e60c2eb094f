/** What goes into one EnqueueBatch, and what its answer or failure means for each job; no I/O. */
import { type JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { type EnqueueBatchRequest, type EnqueueBatchResponse } from "../gen/relay/v1/queue_service_pb.js";
import { RelayError } from "./errors.js";
import type { Enqueued } from "./jobs.js";
export declare const JOBS_MAX = 500;
/** The contract allows 3 MiB with everything; the rest is room for the queue's name and the request id. */
export declare const BULK_BYTES_MAX: number;
/** Smaller, because somebody waits for each of these jobs. */
export declare const COALESCED_BYTES_MAX: number;
export type Result = Enqueued | RelayError;
/** Bytes the job takes inside a request; of a small payload a bound, for encoding a job twice would cost more. */
export declare function sizeOf(job: WireJob): number;
/** A batch with a request id of its own; repeat exactly this message, so that a repeat is recognised. */
export declare function toRequest(queue: string, jobs: readonly WireJob[]): EnqueueBatchRequest;
/** One result for each job. */
export declare function toResults(response: EnqueueBatchResponse, jobs: readonly WireJob[]): Result[];
/**
 * After a batch of `count` jobs was refused: which jobs are to blame, and which groups to send again.
 *
 * Throws `error` when it is about the call and not about a job of it.
 */
export declare function sortOut(error: unknown, count: number): {
    refused: Map<number, RelayError>;
    groups: number[][];
};
/** Jobs of a bulk call that go into one request, with their places in the caller's order. */
export interface Chunk {
    readonly jobs: WireJob[];
    readonly places: number[];
}
/** Cuts jobs into chunks that fit into one call each, lazily: a generator of millions is never held in whole. */
export declare function chunks(jobs: Iterable<readonly [place: number, job: WireJob]>): Generator<Chunk>;
