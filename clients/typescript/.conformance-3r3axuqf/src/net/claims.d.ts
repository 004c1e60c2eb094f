/** Owns the Claim stream: opens it, reads it, watches over it, and opens it again whenever it ends. */
import { type Jobs } from "../../gen/relay/v1/queue_service_pb.js";
import type { Rotation } from "../rotation.js";
import type { LeaseKeeper } from "./leases.js";
import type { NetConfig } from "./messages.js";
import type { Window } from "./window.js";
export interface ClaimsEvents {
    readonly onJobs: (frame: Jobs, now: number) => void;
    readonly onFatal: (error: string) => void;
}
export declare class Claims {
    #private;
    constructor(links: Rotation, window: Window, leases: LeaseKeeper, config: NetConfig, events: ClaimsEvents);
    health(now: number): {
        connected: boolean;
        target: string;
        silenceMs: number;
        silenceLimitMs: number;
    };
    /** Claims until stopped. */
    run(): Promise<void>;
    /** Cuts a stream that was silent too long, or whose drain time has come. Returns ms until the next look. */
    watch(now: number): number;
    /** Stops claiming without losing what is on the wire: closes the window first, then the stream. */
    stop(): Promise<void>;
}
