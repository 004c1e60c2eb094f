/** Checks what a worker or a claim is told, and turns it into the network thread's configuration. */
import type { Connection, ConnectionOptions } from "../connection.js";
import { type DurationLike } from "../durations.js";
import type { LogEntry, NetConfig } from "../net/messages.js";
/** One queue, several, or names with their shares (1 to 100). */
export type Queues = string | readonly string[] | Readonly<Record<string, number>>;
export interface SessionOptions extends ConnectionOptions {
    /** How long a lease lasts: 1 s to 1 h, default 30 s; extended every third of it. */
    readonly lease?: DurationLike;
    /** How long jobs under way may finish once told to stop. */
    readonly grace?: DurationLike;
    /** Name of the worker for people, 1 to 128 bytes; host and process id when left out. */
    readonly workerId?: string;
    /** Gets every entry of the log; warnings and errors go to the console when left out. */
    readonly log?: (entry: LogEntry) => void;
}
export interface SessionDefaults {
    readonly window: number;
    readonly graceMs: number;
    readonly reportSettles: boolean;
    readonly drainFlag?: Int32Array | undefined;
    readonly maxRuntimeMs?: Readonly<Record<string, number>>;
}
/** RangeError names the option and its range. */
export declare function netConfig(where: Connection, queues: Queues, options: SessionOptions, defaults: SessionDefaults): NetConfig;
/** The log of those who gave none. */
export declare function toConsole({ level, event, fields }: LogEntry): void;
