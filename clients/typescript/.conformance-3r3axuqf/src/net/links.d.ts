/** Which errors of a call another server may not have. */
import type { RelayError } from "../errors.js";
/** True when the next target may do better. */
export declare function mayMoveOn(error: RelayError): boolean;
