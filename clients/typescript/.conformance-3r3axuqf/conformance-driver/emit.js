/** Writes events, from any thread: at once, so that an event is out before what the SDK does next is seen on the wire. */
import { writeSync } from "node:fs";
export function emit(event, fields = {}) {
    const line = Buffer.from(`${JSON.stringify({ event, ...fields })}\n`);
    for (let at = 0; at < line.length;)
        at += writeSync(1, line, at);
}
