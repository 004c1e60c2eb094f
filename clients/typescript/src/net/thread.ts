/** The network thread of a worker: wires its parts, and owns the order in which they start and stop.
 *
 * It is a thread because a handler may block the event loop it runs on: leases are extended, losses seen, settles sent
 * and the drain timed all the same.
 */

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Jobs, LeaseOutcome, NackKind } from "../../gen/relay/v1/queue_service_pb.js";
import { Rotation } from "../rotation.js";
import { failureOf, MaxRuntimeExceeded, type Outcome, RELEASE, type StopReason } from "../worker/outcome.js";
import { Claims } from "./claims.js";
import { LeaseKeeper } from "./leases.js";
import { log, logTo } from "./log.js";
import type { FromNet, NetConfig, Settled, ToNet } from "./messages.js";
import { type HeldJob, received } from "./model.js";
import { Settler } from "./settle.js";
import { Window } from "./window.js";

/** After the grace, handlers have this long to stop. */
const STOP_MS = 1_000;
const FLUSH_MS = 5_000;
const TICK_MS_MAX = 500;
const TICK_MS_MIN = 5;
const HEALTH_EVERY_MS = 1_000;
const LOST: ReadonlySet<LeaseOutcome> = new Set([LeaseOutcome.LEASE_LOST, LeaseOutcome.GONE]);

class NetThread {
  readonly #port: MessagePort;
  readonly #config: NetConfig;
  readonly #rotations: Rotation[];
  readonly #window: Window;
  readonly #leases: LeaseKeeper;
  readonly #settler: Settler;
  readonly #claims: Claims;
  /** Jobs whose handlers have not ended, by key. */
  readonly #busy = new Map<number, HeldJob>();
  readonly #settled: Settled[] = [];
  #pulse: NodeJS.Timeout | undefined;
  #healthAt = 0;
  #draining = false;
  #quiet: (() => void) | undefined;

  constructor(port: MessagePort, config: NetConfig) {
    this.#port = port;
    this.#config = config;
    this.#window = new Window(config.maxInFlight);
    // One for each part: none waits behind another's traffic.
    this.#rotations = [1, 2, 3].map(() => new Rotation(config.connection));
    const [forLeases, forSettles, forClaims] = this.#rotations as [Rotation, Rotation, Rotation];
    this.#leases = new LeaseKeeper(forLeases, this.#window, config.leaseMs, (job, outcome) =>
      this.#stop(job, outcome === LeaseOutcome.CANCELLED ? "cancelled" : "lost"),
    );
    this.#settler = new Settler(forSettles, this.#window, this.#leases, config.leaseMs, (job, outcome) =>
      this.#onSettled(job, outcome),
    );
    this.#claims = new Claims(forClaims, this.#window, this.#leases, config, {
      onJobs: (frame, now) => this.#received(frame, now),
      onFatal: (error) => this.#endItself(error),
    });
  }

  start(): void {
    logTo((entry) => this.#post({ kind: "log", entry }));
    this.#port.on("message", (message: ToNet) => this.#onMessage(message));
    this.#beat();
    void this.#claims.run();
  }

  #post(message: FromNet, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  #onMessage(message: ToNet): void {
    switch (message.kind) {
      case "ended":
        this.#ended(message.ended);
        break;
      case "progress": {
        const job = this.#busy.get(message.key);
        if (job !== undefined && job.outcome === undefined) {
          this.#leases.progress(job, message.fraction, message.note);
        }
        break;
      }
      case "drain":
        void this.#drain();
        break;
    }
  }

  #beat(): void {
    const now = performance.now();
    const { drainFlag } = this.#config;
    if (!this.#draining && drainFlag !== undefined && Atomics.load(drainFlag, 0) !== 0) this.#endItself("");
    let waitMs = Math.min(TICK_MS_MAX, this.#config.leaseMs / 20);
    waitMs = Math.min(waitMs, this.#leases.runOnce(now), this.#claims.watch(now), this.#watchRuntimes(now));
    if (now >= this.#healthAt) {
      this.#healthAt = now + HEALTH_EVERY_MS;
      this.#post({ kind: "health", health: this.#claims.health(now) });
    }
    this.#pulse = setTimeout(() => this.#beat(), Math.max(TICK_MS_MIN, waitMs));
  }

  #received(frame: Jobs, now: number): void {
    const { queue, leaseToken } = frame;
    const held = (jobId: string) => this.#leases.holds(queue, leaseToken, jobId);
    const { group, data } = received(frame, now, this.#leases.extendEveryMs, this.#config.maxRuntimeMs, held);
    this.#window.took(frame.jobs.length, data.length);
    if (data.length < frame.jobs.length) this.#leases.restateWindow();
    if (data.length === 0) return;
    this.#leases.add(group);
    for (const job of group.jobs.values()) this.#busy.set(job.key, job);
    this.#post(
      { kind: "jobs", jobs: data },
      data.map((job) => job.payload.buffer as ArrayBuffer),
    );
  }

  #ended(ended: readonly { readonly key: number; readonly outcome: Outcome }[]): void {
    const jobs: HeldJob[] = [];
    for (const { key, outcome } of ended) {
      const job = this.#busy.get(key);
      if (job === undefined) continue;
      this.#busy.delete(key);
      if (job.outcome !== undefined) {
        if (this.#window.slotFree(job)) this.#leases.restateWindow();
        continue;
      }
      job.busy = false;
      job.outcome = job.stop === "lost" ? "drop" : outcome;
      if (job.outcome === "drop") this.#drop(job);
      else jobs.push(job);
    }
    if (jobs.length > 0) this.#settler.add(jobs, this.#busy.size === 0);
    if (this.#busy.size === 0) this.#quiet?.();
  }

  #drop(job: HeldJob): void {
    this.#leases.remove([job]);
    this.#window.gone([job]);
    this.#leases.restateWindow();
    this.#report(job, LeaseOutcome.LEASE_LOST);
  }

  #stop(job: HeldJob, why: StopReason): void {
    if (job.stop === "lost" || job.stop === why) return;
    job.stop = why;
    if (why !== "shutdown") {
      log("warn", "job stopped", { jobId: job.id, queue: job.group.queue, jobType: job.type, why });
    }
    this.#post({ kind: "stop", key: job.key, why });
  }

  /** Settles the jobs whose handlers run too long. Their slots stay taken until the handlers end. */
  #watchRuntimes(now: number): number {
    let next = now + 1_000;
    const over: HeldJob[] = [];
    for (const job of this.#busy.values()) {
      if (job.outcome !== undefined || job.stop === "lost") continue;
      if (job.runtimeEndsAt > now) next = Math.min(next, job.runtimeEndsAt);
      else over.push(job);
    }
    for (const job of over) {
      this.#stop(job, "max_runtime");
      const error = new MaxRuntimeExceeded(
        `${job.type}: the handler ran longer than its maxRuntime and was stopped`,
      );
      job.outcome = { nack: NackKind.RETRY, error: failureOf(error, false) };
    }
    if (over.length > 0) this.#settler.add(over, true);
    return next - now;
  }

  #onSettled(job: HeldJob, outcome: LeaseOutcome): void {
    if (LOST.has(outcome)) {
      log("warn", "settled too late", {
        jobId: job.id,
        queue: job.group.queue,
        outcome: LeaseOutcome[outcome],
      });
    }
    this.#report(job, outcome);
  }

  #report(job: HeldJob, outcome: LeaseOutcome): void {
    if (!this.#config.reportSettles) return;
    this.#settled.push({ key: job.key, outcome });
    if (this.#settled.length > 1) return;
    // The jobs of one call are settled in one turn: one message for all of them.
    queueMicrotask(() => this.#post({ kind: "settled", settled: this.#settled.splice(0) }));
  }

  /** Drains of the thread's own accord: the server refused the worker (`error` says why), or the flag was set. */
  #endItself(error: string): void {
    this.#post({ kind: "draining", error });
    void this.#drain();
  }

  async #drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const graceEnds = performance.now() + this.#config.graceMs;
    log("info", "draining", { inFlight: this.#window.inFlight, graceMs: this.#config.graceMs });
    await this.#claims.stop();
    if (!(await this.#allEnded(graceEnds - performance.now()))) {
      for (const job of this.#busy.values()) this.#stop(job, "shutdown");
      await this.#allEnded(STOP_MS);
      this.#releaseBusy();
    }
    const unsettled = await this.#settler.close(FLUSH_MS);
    clearTimeout(this.#pulse);
    this.#leases.close();
    for (const rotation of this.#rotations) rotation.close();
    log("info", "stopped", { unsettled });
    this.#post({ kind: "stopped", unsettled });
    this.#port.close();
  }

  #allEnded(withinMs: number): Promise<boolean> {
    if (this.#busy.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, withinMs));
      this.#quiet = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  #releaseBusy(): void {
    const left = [...this.#busy.values()].filter((job) => job.outcome === undefined && job.stop !== "lost");
    for (const job of left) job.outcome = RELEASE;
    if (left.length === 0) return;
    log("warn", "handlers did not stop; their jobs were released", { handlers: left.length });
    this.#settler.add(left, true);
  }
}

if (parentPort === null)
  throw new Error("this module is the network thread of a worker; import the package instead");
new NetThread(parentPort, workerData as NetConfig).start();
