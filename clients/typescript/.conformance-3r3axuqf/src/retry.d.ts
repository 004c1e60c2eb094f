/** When a call is repeated and after what pause: UNAVAILABLE only, with full jitter, under one deadline. */
import { type DurationLike } from "./durations.js";
import type { Rotation } from "./rotation.js";
import { type Link } from "./rpc.js";
export declare const DEFAULT_TIMEOUT_MS = 20000;
/** The total time of a call with its repeats, in ms. RangeError when repeats would not be safe. */
export declare function parseTimeout(value: DurationLike): number;
/** The course of one call: which failures are final, and how long to wait before the next attempt. */
export declare class Attempts {
    #private;
    constructor(targets: number, deadline: number, now?: () => number, random?: () => number);
    /** Milliseconds this attempt may take; throws when there are none. */
    remaining(): number;
    /** Milliseconds to wait before the next attempt; throws `error` when there must be none. */
    pauseAfter(error: unknown): number;
}
/** Runs `attempt(link, timeoutMs)` until it answers, fails for good, or performance.now() would pass `deadline`. */
export declare function repeat<T>(links: Rotation, attempt: (link: Link, timeoutMs: number) => Promise<T>, deadline: number, signal?: AbortSignal): Promise<T>;
/** Waits, or rejects with Aborted when the signal comes first. */
export declare function pause(ms: number, signal?: AbortSignal): Promise<void>;
