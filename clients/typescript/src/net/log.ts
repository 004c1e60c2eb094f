/** Where the network thread's log goes: to the handlers' thread, which knows the user's logger. */

import type { Level, LogEntry } from "./messages.js";

let sink: (entry: LogEntry) => void = () => undefined;

/** Sets, once, where entries go. */
export function logTo(to: (entry: LogEntry) => void): void {
  sink = to;
}

export function log(level: Level, event: string, fields: Readonly<Record<string, unknown>> = {}): void {
  sink({ level, event, fields });
}
