/** Decides when the finished jobs of one queue are sent, and how many in a call: a queue in trouble holds up no other. No I/O. */
import type { HeldJob } from "./model.js";
export declare const BATCH_JOBS = 64;
export declare const LINGER_MS = 5;
/** One queue's acks, or its nacks. One call at a time: what finishes meanwhile waits for its answer and shares the next. */
export declare class Lane {
    #private;
    constructor(callMax: number, random?: () => number);
    /** How many jobs wait or are on their way. */
    get unsettled(): number;
    add(job: HeldJob, now: number): void;
    /** When a call is to be sent, if nothing else happens; Infinity: not before a job comes or the call is answered. */
    dueAt(hurry: boolean): number;
    /** The jobs of the next call. */
    take(): HeldJob[];
    /** Takes out the jobs that failed before and whose leases are over: trying again would be vain. */
    takeOver(now: number): HeldJob[];
    /** Takes out whatever waits. */
    takeAll(): HeldJob[];
    /** The call was answered, or refused for good. */
    answered(): void;
    /** The call was not answered: its jobs are due again after a pause with full jitter. */
    failed(jobs: readonly HeldJob[], now: number): void;
    /** Whether the last call failed: the first failure is worth a word, its repeats are not. */
    get failing(): boolean;
    /** No pause lasts longer than `until`. */
    hurry(until: number): void;
}
