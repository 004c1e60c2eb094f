/** Which errors of a call another server may not have. */
const MOVE_ON = new Set([
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    // The server is stopping; of our own channel, the rotation says so.
    "CANCELLED",
]);
/** True when the next target may do better. */
export function mayMoveOn(error) {
    return MOVE_ON.has(error.code);
}
