/** The description of a job that a producer gives, and its form on the wire. */

import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { JobSpecSchema, RetryPolicySchema, type JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import { type DurationLike, parseDuration, toDuration } from "./durations.js";
import { newId } from "./ids.js";
import { HEADERS_BYTES_MAX, HEADERS_MAX, MAX_ATTEMPTS_MAX, MULTIPLIER_MAX, PRIORITY_MAX } from "./limits.js";
import { currentTraceparent } from "./trace.js";

/** How failures of a job are retried; what is left out has the server's default. */
export interface RetryPolicy {
  /** Attempts in all, the first included: 1 to 1000, default 20. */
  readonly maxAttempts?: number;
  /** Upper bound of the delay after the first failure, default 1 s. */
  readonly initialBackoff?: DurationLike;
  /** Upper bound of any delay, default 10 min. */
  readonly maxBackoff?: DurationLike;
  /** Growth per attempt: 1 to 100, default 2. */
  readonly multiplier?: number;
}

/** The options of a job, beside its type and payload. */
export interface JobOptions {
  /** Start this long after the server has received it. */
  readonly delay?: DurationLike | undefined;
  /** Start at this time; a past one means at once. */
  readonly runAt?: Date | undefined;
  /** -9 to 9, higher is served earlier; 0 is normal. */
  readonly priority?: number | undefined;
  /** A second job with the same key within the window is not created. */
  readonly idempotencyKey?: string | undefined;
  /** How long the key is held: 1 s to 30 d, default 24 h. */
  readonly idempotencyWindow?: DurationLike | undefined;
  /** Application metadata: at most 32 entries and 8 KiB. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** W3C trace context of the caller: becomes the header `traceparent`. In a handler that of its job, when left out. */
  readonly traceparent?: string | undefined;
  readonly retry?: RetryPolicy | undefined;
  /** Longest time one attempt may run. */
  readonly maxRuntime?: DurationLike | undefined;
  /** A job still waiting at this time becomes a dead letter. */
  readonly expiresAt?: Date | undefined;
  /** Media type of the payload; JSON, or application/octet-stream for bytes, when left out. */
  readonly contentType?: string | undefined;
  /** A UUID of your own; the SDK mints a UUIDv7 otherwise. */
  readonly jobId?: string | undefined;
}

/** One job of enqueueBatch. */
export interface JobSpec extends JobOptions {
  readonly type: string;
  readonly payload?: unknown;
}

/** An accepted job: its id, or with `deduplicated` the id of the job that holds the idempotency key. */
export interface Enqueued {
  readonly id: string;
  readonly deduplicated: boolean;
}

/**
 * The job as it is sent, with an id minted when the spec has none.
 *
 * RangeError or TypeError names the field that cannot be sent; ranges are the server's to check.
 */
export function toWire(spec: JobSpec): WireJob {
  if (typeof spec.type !== "string")
    throw new TypeError(`type: ${typeof spec.type}; the type of a job is a string`);
  if (spec.delay !== undefined && spec.runAt !== undefined) {
    throw new RangeError("delay and runAt: give one of them");
  }
  if (spec.idempotencyWindow !== undefined && !spec.idempotencyKey) {
    throw new RangeError("idempotencyWindow: has no effect without idempotencyKey");
  }
  const priority = spec.priority ?? 0;
  if (!Number.isInteger(priority))
    throw new RangeError(
      `priority: ${priority} is not a whole number from -${PRIORITY_MAX} to ${PRIORITY_MAX}`,
    );
  const { payload, contentType } = encodePayload(spec.payload, spec.contentType);
  const wire = create(JobSpecSchema, {
    id: spec.jobId ?? newId(),
    type: spec.type,
    payload,
    contentType,
    priority,
    headers: headersOf(spec),
    idempotencyKey: spec.idempotencyKey ?? "",
  });
  if (spec.delay !== undefined) {
    wire.schedule = { case: "delay", value: toDuration(parseDuration(spec.delay, "delay")) };
  }
  if (spec.runAt !== undefined) wire.schedule = { case: "runAt", value: timestamp(spec.runAt, "runAt") };
  if (spec.expiresAt !== undefined) wire.expiresAt = timestamp(spec.expiresAt, "expiresAt");
  if (spec.maxRuntime !== undefined)
    wire.maxRuntime = toDuration(parseDuration(spec.maxRuntime, "maxRuntime"));
  if (spec.idempotencyWindow !== undefined) {
    wire.idempotencyWindow = toDuration(parseDuration(spec.idempotencyWindow, "idempotencyWindow"));
  }
  if (spec.retry !== undefined) wire.retry = retryPolicy(spec.retry);
  return wire;
}

/** The payload's bytes and its content type; an empty content type means JSON. */
export function encodePayload(
  value: unknown,
  contentType?: string,
): { payload: Uint8Array; contentType: string } {
  if (value instanceof Uint8Array)
    return { payload: value, contentType: contentType ?? "application/octet-stream" };
  if (contentType && !isJson(contentType)) {
    if (typeof value !== "string") {
      throw new TypeError(
        `payload: ${typeof value} cannot be sent as ${contentType}; encode it to a Uint8Array yourself`,
      );
    }
    return { payload: Buffer.from(value), contentType };
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null);
  } catch (error) {
    throw new TypeError(`payload: cannot be written as JSON: ${(error as Error).message}`);
  }
  if (text === undefined)
    throw new TypeError(`payload: ${typeof value} is not JSON; convert it, or send bytes`);
  return { payload: Buffer.from(text), contentType: contentType ?? "" };
}

/** Whether a media type is JSON; an empty one is. */
export function isJson(contentType: string): boolean {
  const media = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
  return media === "" || media === "application/json" || media.endsWith("+json");
}

function headersOf(spec: JobSpec): Record<string, string> {
  const headers = { ...spec.headers };
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== "string")
      throw new TypeError(`headers: the value of "${name}" is ${typeof value}, not a string`);
  }
  const named = spec.traceparent ?? headers.traceparent;
  const traceparent = named ?? currentTraceparent();
  // A job must not be refused for the context that was added to it.
  if (traceparent !== undefined && (named !== undefined || hasRoom({ ...headers, traceparent }))) {
    headers.traceparent = traceparent;
  }
  return headers;
}

function hasRoom(headers: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(headers);
  const bytes = entries.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  return entries.length <= HEADERS_MAX && bytes <= HEADERS_BYTES_MAX;
}

function timestamp(value: Date, field: string): Timestamp {
  if (!(value instanceof Date)) throw new TypeError(`${field}: ${typeof value}; give a Date`);
  if (Number.isNaN(value.getTime())) throw new RangeError(`${field}: is an invalid Date`);
  return timestampFromMs(value.getTime());
}

function retryPolicy(policy: RetryPolicy) {
  const { maxAttempts, multiplier, initialBackoff, maxBackoff } = policy;
  // On the wire zero means "the default", which is not what somebody who writes 0 expects.
  if (maxAttempts !== undefined && !(Number.isInteger(maxAttempts) && maxAttempts >= 1)) {
    throw new RangeError(`retry.maxAttempts: ${maxAttempts}; must be 1 to ${MAX_ATTEMPTS_MAX}`);
  }
  if (multiplier !== undefined && !(multiplier >= 1)) {
    throw new RangeError(`retry.multiplier: ${multiplier}; must be 1 to ${MULTIPLIER_MAX}`);
  }
  const wire = create(RetryPolicySchema, { maxAttempts: maxAttempts ?? 0, multiplier: multiplier ?? 0 });
  if (initialBackoff !== undefined) {
    wire.initialBackoff = toDuration(parseDuration(initialBackoff, "retry.initialBackoff"));
  }
  if (maxBackoff !== undefined) wire.maxBackoff = toDuration(parseDuration(maxBackoff, "retry.maxBackoff"));
  return wire;
}
