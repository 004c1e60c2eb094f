/** The messages between the two threads of a worker: plain data only, for it is copied. Times in ms. */

import type { LeaseOutcome } from "../../gen/relay/v1/queue_service_pb.js";
import type { Connection } from "../connection.js";
import type { Outcome, StopReason } from "../worker/outcome.js";

/** What the network thread is started with. */
export interface NetConfig {
  readonly connection: Connection;
  readonly queues: Readonly<Record<string, number>>;
  readonly workerId: string;
  /** Unsettled jobs at once. */
  readonly maxInFlight: number;
  readonly leaseMs: number;
  readonly graceMs: number;
  /** Longest run by job type, for the types that have a limit of their own. */
  readonly maxRuntimeMs: Readonly<Record<string, number>>;
  /** Shared with other threads: nonzero at index 0 begins the drain. */
  readonly drainFlag?: Int32Array | undefined;
  /** Report every settle, not only those that failed. */
  readonly reportSettles: boolean;
}

/** A job on its way to its handler. `key` names this lease of it between the threads. */
export interface JobData {
  readonly key: number;
  readonly id: string;
  readonly queue: string;
  readonly type: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly epoch: bigint;
  readonly idempotencyKey: string;
}

export type Level = "info" | "warn" | "error";

export interface LogEntry {
  readonly level: Level;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What became of a settle; outcome UNSPECIFIED: it was given up unanswered. */
export interface Settled {
  readonly key: number;
  readonly outcome: LeaseOutcome;
}

/** How the worker does: silent for more than `silenceLimitMs` means that the stream is dead. */
export interface Health {
  readonly silenceMs: number;
  readonly silenceLimitMs: number;
}

export type FromNet =
  | { readonly kind: "jobs"; readonly jobs: readonly JobData[] }
  | { readonly kind: "stop"; readonly key: number; readonly why: StopReason }
  | { readonly kind: "settled"; readonly settled: readonly Settled[] }
  | { readonly kind: "health"; readonly health: Health }
  | { readonly kind: "log"; readonly entry: LogEntry }
  /** Draining was begun by the network thread: the server refused the worker for good, or, without an error, its flag was set. */
  | { readonly kind: "draining"; readonly error: string }
  | { readonly kind: "stopped"; readonly unsettled: number };

export type ToNet =
  | { readonly kind: "ended"; readonly ended: readonly { readonly key: number; readonly outcome: Outcome }[] }
  | { readonly kind: "progress"; readonly key: number; readonly fraction: number; readonly note: string }
  | { readonly kind: "drain" };
