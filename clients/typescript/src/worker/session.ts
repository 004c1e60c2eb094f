/** The handlers' side of the network thread: starts it, takes its messages, and sends it the outcomes of jobs. */

import { Worker as Thread } from "node:worker_threads";
import type { FromNet, Health, JobData, LogEntry, NetConfig, Settled, ToNet } from "../net/messages.js";
import type { Outcome, StopReason } from "./outcome.js";

export interface SessionEvents {
  readonly onJobs: (jobs: readonly JobData[]) => void;
  readonly onStop: (key: number, why: StopReason) => void;
  readonly onSettled?: (settled: readonly Settled[]) => void;
  /** No more jobs will come: the server refused the worker for good, or, without an error, its flag was set. */
  readonly onDraining: (error: string) => void;
  readonly onLog: (entry: LogEntry) => void;
}

export class Session {
  /** Resolves, once nothing is held any more, to how many jobs stayed unsettled. Rejects when the thread failed. */
  readonly stopped: Promise<number>;
  readonly #thread: Thread;
  readonly #events: SessionEvents;
  #ended: { key: number; outcome: Outcome }[] = [];
  #health: Health = { silenceMs: 0, silenceLimitMs: 30_000 };
  #healthAt = performance.now();
  #unsettled = 0;

  constructor(config: NetConfig, events: SessionEvents) {
    this.#events = events;
    this.#thread = new Thread(new URL("../net/thread.js", import.meta.url), {
      workerData: config,
      name: "relay",
    });
    this.stopped = new Promise((resolve, reject) => {
      this.#thread.on("message", (message: FromNet) => this.#onMessage(message));
      this.#thread.on("error", reject);
      this.#thread.on("exit", () => resolve(this.#unsettled));
    });
    // A caller that awaits it sees the failure; until then Node must not take it for unhandled.
    this.stopped.catch(() => undefined);
  }

  /** The handler of a job has ended, or is waited for no longer. */
  ended(key: number, outcome: Outcome): void {
    this.#ended.push({ key, outcome });
    if (this.#ended.length > 1) return;
    // Jobs that end in one turn share a message; a turn that blocks comes after it.
    queueMicrotask(() => this.#post({ kind: "ended", ended: this.#ended.splice(0) }));
  }

  progress(key: number, fraction: number, note: string): void {
    this.#post({ kind: "progress", key, fraction, note });
  }

  /** Begins to drain; may be repeated. */
  drain(): void {
    this.#post({ kind: "drain" });
  }

  /** The health that the thread last reported; its silence counts as silence of the server. */
  health(): Health {
    const sinceMs = performance.now() - this.#healthAt;
    return { ...this.#health, silenceMs: this.#health.silenceMs + sinceMs };
  }

  #post(message: ToNet): void {
    this.#thread.postMessage(message);
  }

  #onMessage(message: FromNet): void {
    switch (message.kind) {
      case "jobs":
        this.#events.onJobs(message.jobs);
        break;
      case "stop":
        this.#events.onStop(message.key, message.why);
        break;
      case "settled":
        this.#events.onSettled?.(message.settled);
        break;
      case "health":
        this.#health = message.health;
        this.#healthAt = performance.now();
        break;
      case "log":
        this.#events.onLog(message.entry);
        break;
      case "draining":
        this.#events.onDraining(message.error);
        break;
      case "stopped":
        this.#unsettled = message.unsettled;
        break;
    }
  }
}
