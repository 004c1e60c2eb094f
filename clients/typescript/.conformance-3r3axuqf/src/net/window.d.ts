/** Counts what the worker holds, and states it to the server: the only source of WindowReports. */
import { type WindowReport } from "../../gen/relay/v1/queue_service_pb.js";
import type { HeldJob } from "./model.js";
/** The session's window. A job counts from its receipt until its settle is sent and its handler has ended. */
export declare class Window {
    #private;
    constructor(limit: number);
    get sessionId(): string;
    get inFlight(): number;
    /** The server named the session, which may be another than asked for, and numbered the stream. */
    opened(sessionId: string, stream: number): void;
    /** A new stream is about to be asked for: receipts count from zero again. */
    newStream(): void;
    /** Jobs arrived on the stream; `fresh` of them were not held already. */
    took(count: number, fresh: number): void;
    /** These jobs are about to be settled: takes them out, and gives the report to send along. */
    settleBegins(jobs: Iterable<HeldJob>): WindowReport | undefined;
    /** The settle was answered. */
    settleEnded(): void;
    /** The settle was not answered: its jobs count again until it is repeated. */
    settleFailed(jobs: Iterable<HeldJob>): void;
    /** No settle will be sent for these jobs (again). They no longer count once their handlers have ended. */
    gone(jobs: Iterable<HeldJob>): void;
    /** A handler that outlived its job's settle has ended. True when no settle will say so: restate the window. */
    slotFree(job: HeldJob): boolean;
    /** The window as it is now; undefined while a settle is on its way, which states it itself. */
    restatement(): WindowReport | undefined;
    /** Whether the server counts otherwise, as far as can be known now. */
    differs(unsettled: number): boolean;
    /** From now on every report says that the window is full: no further jobs are wanted. */
    close(): void;
}
