/** Which errors of a call another server may not have. */

import type { RelayError } from "../errors.js";

const MOVE_ON: ReadonlySet<string> = new Set([
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "RESOURCE_EXHAUSTED",
  // What gRPC makes of the 404 of a proxy without servers.
  "UNIMPLEMENTED",
  // The server is stopping; of our own channel, the rotation says so.
  "CANCELLED",
]);

/** True when the next target may do better. */
export function mayMoveOn(error: RelayError): boolean {
  return MOVE_ON.has(error.code);
}
