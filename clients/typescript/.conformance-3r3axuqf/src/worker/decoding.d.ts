/** Turns a payload into what a handler takes. */
/**
 * How a payload reaches its handler. "auto": JSON and text are decoded, anything else comes as it is. "json": nothing
 * but JSON is taken. "bytes": as it is, whatever the content type.
 */
export type PayloadKind = "auto" | "json" | "bytes";
/** The payload as `kind` asks for it, run through `parse` when there is one. Throws UndecodablePayload. */
export declare function decode(payload: Uint8Array, contentType: string, kind: PayloadKind, parse?: (value: unknown) => unknown): unknown;
