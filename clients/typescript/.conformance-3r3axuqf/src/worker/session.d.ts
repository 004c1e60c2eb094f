/** The handlers' side of the network thread: starts it, passes on what it says, and tells it what became of jobs. */
import type { Health, JobData, LogEntry, NetConfig, Settled, StopReason } from "../net/messages.js";
import type { Outcome } from "./outcome.js";
export interface SessionEvents {
    readonly onJobs: (jobs: readonly JobData[]) => void;
    readonly onStop: (key: number, why: StopReason) => void;
    readonly onSettled?: (settled: readonly Settled[]) => void;
    /** No more jobs will come: the server refused the worker for good, or, without an error, its flag was set. */
    readonly onDraining: (error: string) => void;
    readonly onLog: (entry: LogEntry) => void;
}
export declare class Session {
    #private;
    /** Resolves, once nothing is held any more, to how many jobs stayed unsettled. Rejects when the thread failed. */
    readonly stopped: Promise<number>;
    constructor(config: NetConfig, events: SessionEvents);
    /** The handler of a job has ended, or is waited for no longer. */
    ended(key: number, outcome: Outcome): void;
    progress(key: number, fraction: number, note: string): void;
    /** Begins to drain; may be repeated. */
    drain(): void;
    /** How the thread did when it last said so; its silence counts as silence of the server. */
    health(): Health;
}
