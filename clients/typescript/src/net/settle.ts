/** Settles jobs: sends Acks and Nacks, repeated until they are answered or their leases are over. */

import { create } from "@bufbuild/protobuf";
import {
  AckRequestSchema,
  LeaseOutcome,
  type NackedJob,
  NackedJobSchema,
  NackRequestSchema,
  type WindowReport,
} from "../../gen/relay/v1/queue_service_pb.js";
import { toDuration } from "../durations.js";
import { RelayError, Unavailable } from "../errors.js";
import { BATCH_JOBS_MAX } from "../limits.js";
import { mayMoveOn, type Rotation } from "../rotation.js";
import type { Stub } from "../rpc.js";
import { grouped, type LeaseKeeper } from "./leases.js";
import { log } from "./log.js";
import type { HeldJob } from "./model.js";
import { Outbox } from "./outbox.js";
import type { Window } from "./window.js";

/** Each Nack may carry 8 KiB of error; a request must stay far below gRPC's 4 MiB. */
const NACKS_PER_CALL_MAX = 128;
const CALL_MS_MIN = 500;
const CALL_MS_MAX = 5_000;
/** A worker that ends has little time to try again. */
const CLOSING_PAUSE_MS = 100;

/** Repeating cannot help: the request itself was refused. */
const REFUSED: ReadonlySet<string> = new Set([
  "INVALID_ARGUMENT",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
  // The channel was closed on this side.
  "CANCELLED",
]);

export type OnSettled = (job: HeldJob, outcome: LeaseOutcome) => void;

export class Settler {
  readonly #stubs: Rotation;
  readonly #window: Window;
  readonly #leases: LeaseKeeper;
  readonly #onSettled: OnSettled;
  readonly #callMs: number;
  readonly #acks = new Map<string, Outbox>();
  readonly #nacks = new Map<string, Outbox>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #closingAt = Number.POSITIVE_INFINITY;
  #givenUp = 0;
  #quiet: (() => void) | undefined;

  constructor(stubs: Rotation, window: Window, leases: LeaseKeeper, leaseMs: number, onSettled: OnSettled) {
    this.#stubs = stubs;
    this.#window = window;
    this.#leases = leases;
    this.#onSettled = onSettled;
    this.#callMs = Math.min(CALL_MS_MAX, Math.max(CALL_MS_MIN, leaseMs / 3));
  }

  /** Takes jobs whose `outcome` is "ack" or a Nack. `idle`: no other job runs that could share its call. */
  add(jobs: readonly HeldJob[], idle: boolean): void {
    const now = performance.now();
    for (const job of jobs) this.#outboxOf(job).add(job, now);
    this.#run(idle);
  }

  /** Sends what is left, for at most `withinMs`; resolves to how many jobs stayed unsettled. */
  async close(withinMs: number): Promise<number> {
    const now = performance.now();
    this.#closingAt = now + withinMs;
    for (const [outbox] of this.#outboxes()) outbox.hurry(now + CLOSING_PAUSE_MS);
    const quiet = new Promise<void>((resolve) => {
      this.#quiet = resolve;
    });
    this.#run(true);
    await quiet;
    clearTimeout(this.#timer);
    return this.#givenUp;
  }

  *#outboxes(): Generator<[outbox: Outbox, acks: boolean]> {
    for (const outbox of this.#acks.values()) yield [outbox, true];
    for (const outbox of this.#nacks.values()) yield [outbox, false];
  }

  #outboxOf({ outcome, group: { queue } }: HeldJob): Outbox {
    const outboxes = outcome === "ack" ? this.#acks : this.#nacks;
    let outbox = outboxes.get(queue);
    if (outbox === undefined) {
      outbox = new Outbox(outcome === "ack" ? BATCH_JOBS_MAX : NACKS_PER_CALL_MAX);
      outboxes.set(queue, outbox);
    }
    return outbox;
  }

  #run(idle = false): void {
    const now = performance.now();
    const closing = this.#closingAt < Number.POSITIVE_INFINITY;
    let next = this.#closingAt;
    let unsettled = 0;
    for (const [outbox, acks] of this.#outboxes()) {
      this.#giveUp(now >= this.#closingAt ? outbox.takeAll() : outbox.takeEnded(now));
      if (outbox.dueAt(idle || closing) <= now) void this.#send(outbox, acks);
      next = Math.min(next, outbox.dueAt(closing));
      unsettled += outbox.unsettled;
    }
    if (closing && unsettled === 0) this.#quiet?.();
    else this.#wakeAt(next, now);
  }

  #wakeAt(at: number, now: number): void {
    if (at === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.#run();
      },
      Math.max(1, at - now),
    );
  }

  async #send(outbox: Outbox, acks: boolean): Promise<void> {
    const { leases, inOrder: jobs } = grouped(outbox.take());
    const report = this.#window.settleBegins(jobs);
    let target = "";
    try {
      const current = this.#stubs.current();
      target = current.target;
      const outcomes = acks
        ? await this.#ack(current.stub, leases, report)
        : await this.#nack(current.stub, jobs, report);
      outbox.answered();
      this.#window.settleEnded();
      this.#leases.remove(jobs);
      jobs.forEach((job, at) => {
        const outcome = outcomes[at] ?? LeaseOutcome.UNSPECIFIED;
        // If the first try was applied and its answer lost, the repeat finds no job: that is success.
        this.#onSettled(job, job.tried && outcome === LeaseOutcome.GONE ? LeaseOutcome.OK : outcome);
      });
    } catch (raised) {
      const error = raised instanceof RelayError ? raised : new RelayError(String(raised));
      this.#failed(outbox, jobs, target, error);
    }
    this.#run();
  }

  async #ack(
    stub: Stub,
    leases: ReturnType<typeof grouped>["leases"],
    window: WindowReport | undefined,
  ): Promise<LeaseOutcome[]> {
    const request = create(AckRequestSchema, window === undefined ? { leases } : { leases, window });
    return (await stub.unary("ack", request, { timeoutMs: this.#timeoutMs() })).outcomes;
  }

  async #nack(
    stub: Stub,
    held: readonly HeldJob[],
    window: WindowReport | undefined,
  ): Promise<LeaseOutcome[]> {
    const jobs = held.map(nacked);
    const request = create(NackRequestSchema, window === undefined ? { jobs } : { jobs, window });
    const { results } = await stub.unary("nack", request, { timeoutMs: this.#timeoutMs() });
    return results.map((result) => result.outcome);
  }

  #failed(outbox: Outbox, jobs: readonly HeldJob[], target: string, error: RelayError): void {
    this.#window.settleFailed(jobs);
    const fields = { queue: jobs[0]?.group.queue, jobs: jobs.length, code: error.code, error: error.message };
    // A server that is stopping cancels late calls: that error is Unavailable, and worth another try.
    if (REFUSED.has(error.code) && !(error instanceof Unavailable)) {
      log("error", "settle refused", fields);
      outbox.answered();
      this.#giveUp(jobs);
      return;
    }
    if (!outbox.failing) log("warn", "settle failed, will be repeated", fields);
    if (mayMoveOn(error)) this.#stubs.moveOn(target);
    const now = performance.now();
    outbox.failed(jobs, now);
    if (this.#closingAt < Number.POSITIVE_INFINITY) outbox.hurry(now + CLOSING_PAUSE_MS);
  }

  #giveUp(jobs: readonly HeldJob[]): void {
    if (jobs.length === 0) return;
    this.#givenUp += jobs.length;
    this.#leases.remove(jobs);
    this.#window.gone(jobs);
    this.#leases.restateWindow();
    for (const job of jobs) this.#onSettled(job, LeaseOutcome.UNSPECIFIED);
  }

  #timeoutMs(): number {
    return Math.max(100, Math.min(this.#callMs, this.#closingAt - performance.now()));
  }
}

function nacked({ outcome, group, id }: HeldJob): NackedJob {
  const { nack, afterMs, error } = typeof outcome === "object" ? outcome : { nack: 0 };
  const wire = create(NackedJobSchema, {
    queue: group.queue,
    jobId: id,
    leaseToken: group.token,
    kind: nack,
  });
  if (afterMs !== undefined) wire.after = toDuration(afterMs);
  if (error !== undefined) wire.error = { $typeName: "relay.v1.JobError", ...error };
  return wire;
}
