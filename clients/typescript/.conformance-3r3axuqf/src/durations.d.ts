/** Durations as people write them: parses "5m", "1h30m", "250ms" and milliseconds, and turns them into messages. */
import { type Duration } from "@bufbuild/protobuf/wkt";
/** A length of time: "250ms", "30s", "5m", "1h30m", "2d", or **milliseconds** as a number, as everywhere in JavaScript. */
export type DurationLike = string | number;
/** Milliseconds of what a person wrote. TypeError or RangeError names `field`. */
export declare function parseDuration(value: DurationLike, field?: string): number;
/** A google.protobuf.Duration of this many milliseconds, exact to the microsecond. */
export declare function toDuration(ms: number): Duration;
/** Milliseconds of a google.protobuf.Duration; 0 when it is unset. */
export declare function durationMs(duration: Duration | undefined): number;
