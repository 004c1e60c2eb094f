/** The plain data that the parts of the network thread hand to one another. Times are ms of performance.now(). */
import type { Jobs } from "../../gen/relay/v1/queue_service_pb.js";
import type { Outcome } from "../worker/outcome.js";
import type { JobData, StopReason } from "./messages.js";
/** Jobs that came under one token. */
export interface LeaseGroup {
    readonly queue: string;
    readonly token: Uint8Array;
    readonly jobs: Map<string, HeldJob>;
    extendAt: number;
    /** The earliest end of its jobs' leases. */
    deadline: number;
}
/** A job this worker holds a lease on, from receipt until it is settled or lost. */
export interface HeldJob {
    readonly key: number;
    readonly group: LeaseGroup;
    readonly id: string;
    readonly type: string;
    readonly epoch: bigint;
    deadline: number;
    /** When its run has lasted too long; Infinity without a limit. */
    readonly runtimeEndsAt: number;
    stop: StopReason | undefined;
    outcome: Outcome | "drop" | undefined;
    /** Its handler still occupies a slot; it may outlive the settle, for nothing can stop a promise. */
    busy: boolean;
    /** The settle is on its way or answered, so the server no longer counts the job. */
    sent: boolean;
    /** A settle of it was not answered, and may have been applied. */
    tried: boolean;
    progress: {
        readonly fraction: number;
        readonly note: string;
    } | undefined;
}
/** A frame as the thread keeps it, and as the handlers' thread gets it, without the jobs that are `held` already. */
export declare function received(frame: Jobs, now: number, extendEveryMs: number, maxRuntimeMs: Readonly<Record<string, number>>, held: (jobId: string) => boolean): {
    group: LeaseGroup;
    data: JobData[];
};
