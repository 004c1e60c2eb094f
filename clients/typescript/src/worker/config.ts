/** Checks the options of a worker or a claim, and turns them into the network thread's configuration. */

import { hostname } from "node:os";
import type { Connection, ConnectionOptions } from "../connection.js";
import { type DurationLike, parseDuration } from "../durations.js";
import {
  IN_FLIGHT_MAX,
  LEASE_MS_DEFAULT,
  LEASE_MS_MAX,
  LEASE_MS_MIN,
  QUEUES_PER_CLAIM_MAX,
  WEIGHT_MAX,
  WORKER_ID_BYTES_MAX,
} from "../limits.js";
import type { LogEntry, NetConfig } from "../net/messages.js";

const GRACE_MS_MAX = 86_400_000;

/** One queue, several, or names with their shares (1 to 100). */
export type Queues = string | readonly string[] | Readonly<Record<string, number>>;

/** What a worker and a claim have in common. */
export interface SessionOptions extends ConnectionOptions {
  /** How long a lease lasts: 1 s to 1 h, default 30 s; extended every third of it. */
  readonly lease?: DurationLike;
  /** How long jobs under way may finish after stop(): 0 s to 1 d, default 20 s for a Worker, 0 for a claim. */
  readonly grace?: DurationLike;
  /** Name of the worker for people, 1 to 128 bytes; host and process id when left out. */
  readonly workerId?: string;
  /** Gets every entry of the log; warnings and errors go to the console when left out. */
  readonly log?: (entry: LogEntry) => void;
}

export interface SessionDefaults {
  readonly maxInFlight: number;
  readonly graceMs: number;
  readonly reportSettles: boolean;
  readonly drainFlag?: Int32Array | undefined;
  readonly maxRuntimeMs?: Readonly<Record<string, number>>;
}

/** RangeError names the option and its range. */
export function netConfig(
  where: Connection,
  queues: Queues,
  options: SessionOptions,
  defaults: SessionDefaults,
): NetConfig {
  const leaseMs = options.lease === undefined ? LEASE_MS_DEFAULT : parseDuration(options.lease, "lease");
  const graceMs = options.grace === undefined ? defaults.graceMs : parseDuration(options.grace, "grace");
  const workerId = options.workerId ?? `${hostname()}:${process.pid}`.slice(-WORKER_ID_BYTES_MAX);
  const { maxInFlight } = defaults;
  if (!Number.isInteger(maxInFlight) || maxInFlight < 1 || maxInFlight > IN_FLIGHT_MAX) {
    throw new RangeError(`concurrency: ${maxInFlight} is not 1 to ${IN_FLIGHT_MAX}`);
  }
  if (leaseMs < LEASE_MS_MIN || leaseMs > LEASE_MS_MAX)
    throw new RangeError(`lease: ${leaseMs} ms is not 1 s to 1 h`);
  if (graceMs > GRACE_MS_MAX) throw new RangeError(`grace: ${graceMs} ms is not 0 s to 1 d`);
  if (defaults.drainFlag !== undefined && !(defaults.drainFlag.buffer instanceof SharedArrayBuffer)) {
    throw new TypeError("drainFlag: must be on a SharedArrayBuffer, or no other thread can set it");
  }
  const idBytes = Buffer.byteLength(workerId);
  if (idBytes < 1 || idBytes > WORKER_ID_BYTES_MAX)
    throw new RangeError(`workerId: must be 1 to ${WORKER_ID_BYTES_MAX} bytes`);
  return {
    connection: where,
    queues: weights(queues),
    workerId,
    maxInFlight,
    leaseMs,
    graceMs,
    maxRuntimeMs: defaults.maxRuntimeMs ?? {},
    drainFlag: defaults.drainFlag,
    reportSettles: defaults.reportSettles,
  };
}

function weights(queues: Queues): Record<string, number> {
  const names = typeof queues === "string" ? [queues] : queues;
  const named = Array.isArray(names)
    ? Object.fromEntries(names.map((name: string) => [name, 1]))
    : { ...names };
  const count = Object.keys(named).length;
  if (count < 1 || count > QUEUES_PER_CLAIM_MAX)
    throw new RangeError(`queues: name 1 to ${QUEUES_PER_CLAIM_MAX} queues, not ${count}`);
  for (const [name, weight] of Object.entries(named)) {
    if (!Number.isInteger(weight) || Number(weight) < 1 || Number(weight) > WEIGHT_MAX) {
      throw new RangeError(`queues: the weight of "${name}" is ${weight}; it must be 1 to ${WEIGHT_MAX}`);
    }
  }
  return named as Record<string, number>;
}

/** Where a log goes: to the user's function, or to the console. One that throws costs no job its outcome. */
export function logger(log: (entry: LogEntry) => void = toConsole): (entry: LogEntry) => void {
  return (entry) => {
    try {
      log(entry);
    } catch {
      // Its failure has nowhere to be logged.
    }
  };
}

function toConsole({ level, event, fields }: LogEntry): void {
  if (level === "info") return;
  const text = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  console.warn(["relay:", level, event, ...text].join(" "));
}
