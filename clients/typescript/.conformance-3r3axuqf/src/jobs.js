/** What a producer says about a job, and its form on the wire. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { JobSpecSchema, RetryPolicySchema } from "../gen/relay/v1/job_pb.js";
import { parseDuration, toDuration } from "./durations.js";
import { newId } from "./ids.js";
/**
 * The job as it is sent, with an id minted when the spec has none.
 *
 * RangeError or TypeError names the field that cannot be sent; ranges are the server's to check.
 */
export function toWire(spec) {
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
        throw new RangeError(`priority: ${priority} is not a whole number from -9 to 9`);
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
    if (spec.runAt !== undefined)
        wire.schedule = { case: "runAt", value: timestamp(spec.runAt, "runAt") };
    if (spec.expiresAt !== undefined)
        wire.expiresAt = timestamp(spec.expiresAt, "expiresAt");
    if (spec.maxRuntime !== undefined)
        wire.maxRuntime = toDuration(parseDuration(spec.maxRuntime, "maxRuntime"));
    if (spec.idempotencyWindow !== undefined) {
        wire.idempotencyWindow = toDuration(parseDuration(spec.idempotencyWindow, "idempotencyWindow"));
    }
    if (spec.retry !== undefined)
        wire.retry = retryPolicy(spec.retry);
    return wire;
}
/** The payload's bytes and its content type; an empty content type means JSON. */
export function encodePayload(value, contentType) {
    if (value instanceof Uint8Array)
        return { payload: value, contentType: contentType ?? "application/octet-stream" };
    if (contentType && !isJson(contentType)) {
        if (typeof value !== "string") {
            throw new TypeError(`payload: ${typeof value} cannot be sent as ${contentType}; encode it to a Uint8Array yourself`);
        }
        return { payload: Buffer.from(value), contentType };
    }
    let text;
    try {
        text = JSON.stringify(value ?? null);
    }
    catch (error) {
        throw new TypeError(`payload: cannot be written as JSON: ${error.message}`);
    }
    if (text === undefined)
        throw new TypeError(`payload: ${typeof value} is not JSON; convert it, or send bytes`);
    return { payload: Buffer.from(text), contentType: contentType ?? "" };
}
/** Whether a media type is JSON; an empty one is. */
export function isJson(contentType) {
    const media = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
    return media === "" || media === "application/json" || media.endsWith("+json");
}
function headersOf(spec) {
    const headers = { ...spec.headers };
    for (const [name, value] of Object.entries(headers)) {
        if (typeof value !== "string")
            throw new TypeError(`headers: the value of "${name}" is ${typeof value}, not a string`);
    }
    if (spec.traceparent !== undefined)
        headers.traceparent = spec.traceparent;
    return headers;
}
function timestamp(value, field) {
    if (!(value instanceof Date))
        throw new TypeError(`${field}: ${typeof value}; give a Date`);
    if (Number.isNaN(value.getTime()))
        throw new RangeError(`${field}: is an invalid Date`);
    return timestampFromMs(value.getTime());
}
function retryPolicy(policy) {
    const { maxAttempts, multiplier, initialBackoff, maxBackoff } = policy;
    // On the wire zero means "the default", which is not what somebody who writes 0 expects.
    if (maxAttempts !== undefined && !(Number.isInteger(maxAttempts) && maxAttempts >= 1)) {
        throw new RangeError(`retry.maxAttempts: ${maxAttempts}; must be 1 to 1000`);
    }
    if (multiplier !== undefined && !(multiplier >= 1)) {
        throw new RangeError(`retry.multiplier: ${multiplier}; must be 1 to 100`);
    }
    const wire = create(RetryPolicySchema, { maxAttempts: maxAttempts ?? 0, multiplier: multiplier ?? 0 });
    if (initialBackoff !== undefined) {
        wire.initialBackoff = toDuration(parseDuration(initialBackoff, "retry.initialBackoff"));
    }
    if (maxBackoff !== undefined)
        wire.maxBackoff = toDuration(parseDuration(maxBackoff, "retry.maxBackoff"));
    return wire;
}
