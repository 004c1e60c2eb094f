/** Where the network thread's log goes: to the handlers' thread, which knows the user's logger. */
import type { Level, LogEntry } from "./messages.js";
/** Says, once, where entries go. */
export declare function logTo(to: (entry: LogEntry) => void): void;
export declare function log(level: Level, event: string, fields?: Readonly<Record<string, unknown>>): void;
