/** Keeps leases alive: knows every held job, extends its lease in time, and says when one is lost. */
import { type CancelledJob, LeaseOutcome, type LeaseGroup as WireGroup } from "../../gen/relay/v1/queue_service_pb.js";
import type { Rotation } from "../rotation.js";
import type { HeldJob, LeaseGroup } from "./model.js";
import type { Window } from "./window.js";
export declare const JOBS_PER_CALL_MAX = 500;
export type OnStop = (job: HeldJob, outcome: LeaseOutcome) => void;
/** The table of held jobs and their heartbeat. */
export declare class LeaseKeeper {
    #private;
    extendEveryMs: number;
    constructor(links: Rotation, window: Window, leaseMs: number, onStop: OnStop);
    /** Jobs arrived; they are kept alive from now, whether or not a handler has started. */
    add(group: LeaseGroup): void;
    /** These jobs are settled or lost: nothing keeps them alive any longer. */
    remove(jobs: Iterable<HeldJob>): void;
    /** Whether this very lease of a job is held: then the job was delivered twice. */
    holds(queue: string, token: Uint8Array, jobId: string): boolean;
    /** All leases whose settle is unanswered, as a reconnecting stream names them. */
    held(): WireGroup[];
    /** Every held job. */
    jobs(): Generator<HeldJob>;
    /** Goes out with one of the next heartbeats; a later one replaces it. */
    progress(job: HeldJob, fraction: number, note: string): void;
    /** The window is to be told to the server at the next turn. */
    restateWindow(): void;
    /** The server says that these jobs must stop. */
    stop(jobs: Iterable<CancelledJob>): void;
    /** Sends what is due and reports what ran out. Returns ms until it wants to be called again, at most. */
    runOnce(now: number): number;
    /** Gives up the calls that are still out. */
    close(): void;
}
/** The jobs by their leases, as calls name them, and in the order in which answers come. */
export declare function grouped(jobs: readonly HeldJob[]): {
    leases: WireGroup[];
    inOrder: HeldJob[];
};
