/** Decides, as a pure function, the outcome of a job from its handler's result or error: Ack or Nack. */

import { NackKind } from "../../gen/relay/v1/queue_service_pb.js";
import { type DurationLike, parseDuration } from "../durations.js";
import { DELAY_MS_MAX, ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX } from "../limits.js";

/** The message is one sentence; the rest of the room is worth more to the stack. */
const ERROR_MESSAGE_BYTES_MAX = 2 * 1024;

/** Why a handler is to stop: the lease is lost, an operator cancelled the job, it ran too long, or the worker ends. */
export type StopReason = "lost" | "cancelled" | "max_runtime" | "shutdown";

export interface AfterOptions extends ErrorOptions {
  /** "30s", or milliseconds; the job's own backoff, or the server's default, when left out. */
  readonly after?: DurationLike;
}

/** Thrown by a handler: try this job again, after `after` or its own backoff. Its `cause` is what operators see. */
export class RetryLater extends Error {
  readonly afterMs: number | undefined;
  constructor(reason = "the handler asked for another attempt", options: AfterOptions = {}) {
    super(reason, options);
    this.name = "RetryLater";
    this.afterMs = afterMs(options.after);
  }
}

/** Thrown by a handler: this job cannot succeed; make it a dead letter now, with this reason. */
export class Reject extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "Rejected";
  }
}

/** Thrown by a handler: something the job needs is over its limit; later, without using up an attempt. */
export class Throttled extends Error {
  readonly afterMs: number | undefined;
  constructor(reason = "throttled", options: AfterOptions = {}) {
    super(reason, options);
    this.name = "Throttled";
    this.afterMs = afterMs(options.after);
  }
}

/** The handler ran longer than its maxRuntime, or its job's. */
export class MaxRuntimeExceeded extends Error {
  override readonly name = "MaxRuntimeExceeded";
}

/** No handler of this worker knows the job's type. */
export class UnknownJobType extends Error {
  override readonly name = "UnknownJobType";
}

/** The payload is not what the handler asks for. A handler may throw it as well. */
export class UndecodablePayload extends Error {
  override readonly name = "UndecodablePayload";
}

/** An error as the contract carries it: type at most 128 bytes, message and stack at most 8 KiB together. */
export interface JobFailure {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
}

export interface Nack {
  readonly nack: NackKind;
  /** Unset leaves it to the server. */
  readonly afterMs?: number | undefined;
  readonly error?: JobFailure | undefined;
}

/** "ack", or the kind of nack. */
export type Outcome = "ack" | Nack;

export const RELEASE: Nack = { nack: NackKind.RELEASE };

/**
 * The outcome of a job whose handler threw `error`, or returned (then `error` is undefined).
 *
 * `stop` is set when the handler was to stop. Returning means done, even then; a handler that leaves work undone throws,
 * as `signal.throwIfAborted()` and functions that take the signal do.
 */
export function outcomeOf(error: { readonly thrown: unknown } | undefined, stop?: StopReason): Outcome {
  if (error === undefined) return "ack";
  const { thrown } = error;
  if (thrown instanceof Reject) return { nack: NackKind.DEAD, error: failureOf(thrown, false) };
  if (thrown instanceof UndecodablePayload) return { nack: NackKind.DEAD, error: failureOf(thrown, false) };
  if (thrown instanceof RetryLater) {
    return { nack: NackKind.RETRY, afterMs: thrown.afterMs, error: failureOf(thrown.cause ?? thrown) };
  }
  if (thrown instanceof Throttled) return { nack: NackKind.THROTTLED, afterMs: thrown.afterMs };
  if (stop !== undefined) return RELEASE;
  // A worker of another version may know the type, and a hung run may pass next time: both are retried.
  const ours = thrown instanceof UnknownJobType || thrown instanceof MaxRuntimeExceeded;
  return { nack: NackKind.RETRY, error: failureOf(thrown, !ours) };
}

/** What was thrown, as data, within the limits of the contract, whatever it is. */
export function failureOf(thrown: unknown, withStack = true): JobFailure {
  const type = cutEnd(
    guarded(() => typeName(thrown), "Error"),
    ERROR_TYPE_BYTES_MAX,
  );
  const unreadable = "(the error's text could not be read)";
  const message = cutEnd(
    guarded(() => textOf(thrown), unreadable),
    ERROR_MESSAGE_BYTES_MAX,
  );
  const stack = withStack && thrown instanceof Error ? guarded(() => stackOf(thrown), "") : "";
  return { type, message, stack: cutEnd(stack, ERROR_BYTES_MAX - Buffer.byteLength(message)) };
}

function typeName(thrown: unknown): string {
  if (!(thrown instanceof Error)) return thrown === null ? "null" : typeof thrown;
  // A subclass that set no name has "Error" for one; its class says more.
  return thrown.name !== "Error" ? thrown.name : thrown.constructor.name || "Error";
}

function textOf(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : "") || String(thrown);
}

function stackOf(error: Error): string {
  const parts = [String(error.stack ?? "")];
  // Bounded: a chain may be a ring.
  for (
    let cause = error.cause, depth = 0;
    cause instanceof Error && depth < 4;
    cause = cause.cause, depth++
  ) {
    parts.push(`caused by: ${cause.stack ?? cause.message}`);
  }
  return parts.join("\n");
}

function guarded(read: () => string, otherwise: string): string {
  try {
    return String(read());
  } catch {
    return otherwise; // getters and toString of what was thrown are the user's
  }
}

/** The start of the text, at most `bytesMax` bytes of UTF-8. */
export function cutEnd(text: string, bytesMax: number): string {
  // By way of bytes: half a surrogate pair, which no message can carry, becomes a replacement character.
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return bytes.toString();
  if (bytesMax < 3) return "";
  let end = bytesMax - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end).toString()}…`;
}

function afterMs(after: DurationLike | undefined): number | undefined {
  if (after === undefined) return undefined;
  const ms = parseDuration(after, "after");
  if (ms > DELAY_MS_MAX)
    throw new RangeError(`after: ${JSON.stringify(after)} is not between 0 s and 1 year`);
  return ms;
}
