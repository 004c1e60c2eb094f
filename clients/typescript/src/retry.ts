/** When a call is repeated and after what pause: UNAVAILABLE and OVERLOADED, with full jitter, under one deadline. */

import { type DurationLike, parseDuration } from "./durations.js";
import { DeadlineExceeded, Overloaded, type RelayError, Unavailable } from "./errors.js";
import type { Rotation } from "./rotation.js";
import { aborted, type Stub } from "./rpc.js";

/** Half of the 60 s for which a server recognises a repeated request: a later repeat could make a second job. */
const TIMEOUT_END_MS = 30_000;
export const DEFAULT_TIMEOUT_MS = 20_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;

/** The total time of a call with its repeats, in ms. RangeError when repeats would not be safe. */
export function parseTimeout(value: DurationLike): number {
  const ms = parseDuration(value, "timeout");
  if (ms <= 0 || ms >= TIMEOUT_END_MS) {
    throw new RangeError(
      `timeout: ${ms} ms; must be above 0 and below ${TIMEOUT_END_MS} ms, half of the 60 s for which a server ` +
        "recognises a repeated request",
    );
  }
  return ms;
}

/** Whether the same call may succeed later or at another server; an overloaded one counts if it named a time. */
function passes(error: unknown): error is RelayError {
  return error instanceof Unavailable || (error instanceof Overloaded && error.retryAfterMs !== undefined);
}

/** The course of one call: which failures are final, and how long to wait before the next attempt. */
export class Attempts {
  readonly #deadline: number;
  readonly #now: () => number;
  readonly #random: () => number;
  #untried: number;
  #bound = BACKOFF_FIRST_MS;
  #last: RelayError | undefined;

  constructor(targets: number, deadline: number, now = () => performance.now(), random = Math.random) {
    this.#untried = targets - 1;
    this.#deadline = deadline;
    this.#now = now;
    this.#random = random;
  }

  /** Milliseconds this attempt may take; throws when there are none. */
  remaining(): number {
    const left = this.#deadline - this.#now();
    if (left > 0) return left;
    throw (
      this.#last ??
      new DeadlineExceeded("the timeout passed before a server answered", { code: "DEADLINE_EXCEEDED" })
    );
  }

  /** Milliseconds to wait before the next attempt; throws `error` when there must be none. */
  pauseAfter(error: unknown): number {
    // The last attempt had little time: the error of an earlier one explains more.
    if (error instanceof DeadlineExceeded && this.#last !== undefined) throw this.#last;
    if (!passes(error)) throw error;
    this.#last = error;
    if (this.#untried > 0 && error.retryAfterMs === undefined) {
      this.#untried -= 1;
      return 0;
    }
    // Added to the pause that the server asked for: its clients must not come back all at once.
    const pause = (error.retryAfterMs ?? 0) + this.#random() * this.#bound;
    this.#bound = Math.min(this.#bound * 2, BACKOFF_MAX_MS);
    if (this.#now() + pause >= this.#deadline) throw error;
    return pause;
  }
}

/** Runs `attempt(stub, timeoutMs)` until it answers, fails for good, or performance.now() would pass `deadline`. */
export async function call<T>(
  stubs: Rotation,
  attempt: (stub: Stub, timeoutMs: number) => Promise<T>,
  deadline: number,
  signal?: AbortSignal,
): Promise<T> {
  const attempts = new Attempts(stubs.size, deadline);
  for (;;) {
    const timeoutMs = attempts.remaining();
    const { target, stub } = stubs.current();
    let error: unknown;
    try {
      return await attempt(stub, timeoutMs);
    } catch (raised) {
      error = raised;
    }
    if (passes(error)) stubs.moveOn(target);
    await pause(attempts.pauseAfter(error), signal);
  }
}

/** Waits, or rejects with Aborted when the signal comes first. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(signal));
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", give);
      resolve();
    }, ms);
    const give = () => {
      clearTimeout(timer);
      reject(aborted(signal as AbortSignal));
    };
    signal?.addEventListener("abort", give, { once: true });
  });
}
