/** Durations as people write them: parses "5m", "1h30m", "250ms" and milliseconds, and turns them into messages. */
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
const UNITS_MS = {
    us: 0.001,
    ms: 1,
    s: 1_000,
    m: 60_000,
    h: 3_600_000,
    d: 86_400_000,
};
const PART = /(\d+(?:\.\d+)?)(us|ms|s|m|h|d)/y;
const EXAMPLES = 'write "250ms", "30s", "5m", "1h30m" or "2d", or milliseconds as a number';
/** Milliseconds of what a person wrote. TypeError or RangeError names `field`. */
export function parseDuration(value, field = "duration") {
    if (typeof value === "string")
        return parseText(value, field);
    if (typeof value !== "number") {
        throw new TypeError(`${field}: ${typeof value} is not a length of time; ${EXAMPLES}`);
    }
    if (!Number.isFinite(value) || value < 0) {
        throw new RangeError(`${field}: ${value} is not a length of time; ${EXAMPLES}`);
    }
    return value;
}
function parseText(text, field) {
    const stripped = text.trim();
    let total = 0;
    let at = 0;
    while (at < stripped.length) {
        PART.lastIndex = at;
        const part = PART.exec(stripped);
        if (part === null)
            break;
        total += Number(part[1]) * (UNITS_MS[part[2] ?? ""] ?? Number.NaN);
        at = PART.lastIndex;
    }
    if (stripped === "" || at !== stripped.length) {
        throw new RangeError(`${field}: ${JSON.stringify(text)} is not a length of time; ${EXAMPLES}`);
    }
    return total;
}
/** A google.protobuf.Duration of this many milliseconds, exact to the microsecond. */
export function toDuration(ms) {
    const micros = Math.round(ms * 1_000);
    const seconds = Math.floor(micros / 1_000_000);
    return create(DurationSchema, { seconds: BigInt(seconds), nanos: (micros - seconds * 1_000_000) * 1_000 });
}
/** Milliseconds of a google.protobuf.Duration; 0 when it is unset. */
export function durationMs(duration) {
    return duration === undefined ? 0 : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}
