/** W3C trace context: what a handler enqueues goes on in the trace of its job. */

import { AsyncLocalStorage } from "node:async_hooks";

const current = new AsyncLocalStorage<string>();

/** Runs a handler in the trace of its job, if that has one. */
export function inTrace<T>(traceparent: string | undefined, run: () => T): T {
  return traceparent === undefined ? run() : current.run(traceparent, run);
}

/** The traceparent of the job whose handler is running; undefined outside of one. */
export function currentTraceparent(): string | undefined {
  return current.getStore();
}
