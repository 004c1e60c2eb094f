/** Natural batching: calls to one queue that run at the same time share RPCs, without a timer. */
import type { JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { type Result } from "./batches.js";
import type { Enqueued } from "./jobs.js";
/** Makes one call for these jobs, or throws RelayError for all of them. */
export type Send = (queue: string, jobs: WireJob[], deadline: number) => Promise<Result[]>;
export declare class Coalescer {
    #private;
    constructor(send: Send);
    /**
     * Sends the job, alone or with others. Rejects with RelayError when it was not accepted.
     *
     * The RPC is not the caller's own: an aborted caller takes its job out of the line if it was not sent yet, and
     * changes nothing for the others.
     */
    enqueue(queue: string, job: WireJob, deadline: number, signal?: AbortSignal): Promise<Enqueued>;
    /** Refuses what was not sent, and ends the waiting for what was. */
    close(): void;
}
