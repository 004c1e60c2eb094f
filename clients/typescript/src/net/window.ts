/** Counts the jobs that the worker holds, and is the only source of WindowReports. */

import { create } from "@bufbuild/protobuf";
import { type WindowReport, WindowReportSchema } from "../../gen/relay/v1/queue_service_pb.js";
import type { HeldJob } from "./model.js";

/** The session's window. A job counts from its receipt until its settle is sent and its handler has ended. */
export class Window {
  readonly #limit: number;
  #sessionId = "";
  #stream = 0;
  #received = 0;
  #inFlight = 0;
  #seq = 0n;
  #inTransit = 0;
  #closed = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Notes the session and the stream that Started named; the session may be another than the one asked for. */
  opened(sessionId: string, stream: number): void {
    this.#sessionId = sessionId;
    this.#stream = stream;
  }

  /** Before a new stream: receipts count from zero again. */
  newStream(): void {
    this.#received = 0;
  }

  /** Jobs arrived on the stream; `fresh` of them were not held already. */
  took(count: number, fresh: number): void {
    this.#received += count;
    this.#inFlight += fresh;
  }

  /** Takes out jobs that are about to be settled, and returns the report for that call. */
  settleBegins(jobs: Iterable<HeldJob>): WindowReport | undefined {
    this.gone(jobs);
    this.#inTransit += 1;
    return this.#report();
  }

  /** The settle was answered. */
  settleEnded(): void {
    this.#inTransit -= 1;
  }

  /** The settle was not answered: its jobs count again until it is repeated. */
  settleFailed(jobs: Iterable<HeldJob>): void {
    for (const job of jobs) {
      job.sent = false;
      if (!job.busy) this.#inFlight += 1;
    }
    this.#inTransit -= 1;
  }

  /** No settle will be sent for these jobs (again). They no longer count once their handlers have ended. */
  gone(jobs: Iterable<HeldJob>): void {
    for (const job of jobs) {
      job.sent = true;
      if (!job.busy) this.#inFlight -= 1;
    }
  }

  /** A handler that outlived its job's settle has ended. True when no later settle reports that. */
  slotFree(job: HeldJob): boolean {
    job.busy = false;
    if (job.sent) this.#inFlight -= 1;
    return job.sent;
  }

  /** A report of the window now; undefined while a settle is on its way, because that carries a report. */
  restatement(): WindowReport | undefined {
    // A report that overtook a settle would count its jobs as in flight, with a newer seq, and stall the stream.
    return this.#inTransit > 0 ? undefined : this.#report();
  }

  /** True when the server's count is wrong, and no settle on its way can explain that. */
  differs(unsettled: number): boolean {
    return this.#inTransit === 0 && !this.#closed && unsettled !== this.#inFlight;
  }

  /** From now on every report shows a full window, so that no further job comes. */
  close(): void {
    this.#closed = true;
  }

  #report(): WindowReport | undefined {
    if (this.#sessionId === "") return undefined;
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
