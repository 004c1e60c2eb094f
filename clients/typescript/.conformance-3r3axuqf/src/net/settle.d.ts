/** Settles jobs: sends Acks and Nacks, repeated until they are answered or their leases are over. */
import { LeaseOutcome } from "../../gen/relay/v1/queue_service_pb.js";
import type { Rotation } from "../rotation.js";
import { type LeaseKeeper } from "./leases.js";
import type { HeldJob } from "./model.js";
import type { Window } from "./window.js";
export type OnSettled = (job: HeldJob, outcome: LeaseOutcome) => void;
export declare class Settler {
    #private;
    constructor(links: Rotation, window: Window, leases: LeaseKeeper, leaseMs: number, onSettled: OnSettled);
    /** Takes jobs whose `outcome` is "ack" or a Nack. `idle`: nothing else runs, so waiting for company is vain. */
    add(jobs: readonly HeldJob[], idle: boolean): void;
    /** Sends what is left, for at most `withinMs`; resolves to how many jobs stayed unsettled. */
    close(withinMs: number): Promise<number>;
}
