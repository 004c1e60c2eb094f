/** Counts what the worker holds, and states it to the server: the only source of WindowReports. */
import { create } from "@bufbuild/protobuf";
import { WindowReportSchema } from "../../gen/relay/v1/queue_service_pb.js";
/** The session's window. A job counts from its receipt until its settle is sent and its handler has ended. */
export class Window {
    #limit;
    #sessionId = "";
    #stream = 0;
    #received = 0;
    #inFlight = 0;
    #seq = 0n;
    #inTransit = 0;
    #closed = false;
    constructor(limit) {
        this.#limit = limit;
    }
    get sessionId() {
        return this.#sessionId;
    }
    get inFlight() {
        return this.#inFlight;
    }
    /** The server named the session, which may be another than asked for, and numbered the stream. */
    opened(sessionId, stream) {
        this.#sessionId = sessionId;
        this.#stream = stream;
    }
    /** A new stream is about to be asked for: receipts count from zero again. */
    newStream() {
        this.#received = 0;
    }
    /** Jobs arrived on the stream; `fresh` of them were not held already. */
    took(count, fresh) {
        this.#received += count;
        this.#inFlight += fresh;
    }
    /** These jobs are about to be settled: takes them out, and gives the report to send along. */
    settleBegins(jobs) {
        this.gone(jobs);
        this.#inTransit += 1;
        return this.#report();
    }
    /** The settle was answered. */
    settleEnded() {
        this.#inTransit -= 1;
    }
    /** The settle was not answered: its jobs count again until it is repeated. */
    settleFailed(jobs) {
        for (const job of jobs) {
            job.sent = false;
            if (!job.busy)
                this.#inFlight += 1;
        }
        this.#inTransit -= 1;
    }
    /** No settle will be sent for these jobs (again). They no longer count once their handlers have ended. */
    gone(jobs) {
        for (const job of jobs) {
            job.sent = true;
            if (!job.busy)
                this.#inFlight -= 1;
        }
    }
    /** A handler that outlived its job's settle has ended. True when no settle will say so: restate the window. */
    slotFree(job) {
        job.busy = false;
        if (job.sent)
            this.#inFlight -= 1;
        return job.sent;
    }
    /** The window as it is now; undefined while a settle is on its way, which states it itself. */
    restatement() {
        // Overtaking a settle would name its jobs as in flight with a newer seq, and stall the stream.
        return this.#inTransit > 0 ? undefined : this.#report();
    }
    /** Whether the server counts otherwise, as far as can be known now. */
    differs(unsettled) {
        return this.#inTransit === 0 && !this.#closed && unsettled !== this.#inFlight;
    }
    /** From now on every report says that the window is full: no further jobs are wanted. */
    close() {
        this.#closed = true;
    }
    #report() {
        if (this.#sessionId === "")
            return undefined;
        this.#seq += 1n;
        return create(WindowReportSchema, {
            sessionId: this.#sessionId,
            stream: this.#stream,
            received: BigInt(this.#received),
            inFlight: this.#closed ? Math.max(this.#inFlight, this.#limit) : this.#inFlight,
            seq: this.#seq,
        });
    }
}
