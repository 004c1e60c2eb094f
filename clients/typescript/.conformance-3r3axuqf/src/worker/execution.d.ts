/** Runs handlers, never more at once than there are slots, and stops those that must stop. */
import type { JobData, StopReason } from "../net/messages.js";
import { Context } from "./context.js";
import { type PayloadKind } from "./decoding.js";
import { type Outcome } from "./outcome.js";
/** A registered handler. */
export interface Registered {
    readonly run: (payload: unknown, context: Context) => unknown;
    readonly payload: PayloadKind;
    readonly parse: ((value: unknown) => unknown) | undefined;
}
export interface ExecutorEvents {
    readonly onEnded: (job: JobData, outcome: Outcome) => void;
    readonly progress: (job: JobData, fraction: number, note: string) => void;
}
export declare class Executor {
    #private;
    constructor(handlers: ReadonlyMap<string, Registered>, slots: number, events: ExecutorEvents);
    /** Starts jobs. What finds no slot waits: a server that keeps to the window sends none such. */
    start(jobs: readonly JobData[]): void;
    /** The job's handler is to stop. */
    stop(key: number, why: StopReason): void;
    /** Gives back what has not started. */
    drain(): void;
}
