/** Turns a payload into what a handler takes. */
import { isJson } from "../jobs.js";
import { UndecodablePayload } from "./outcome.js";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** The payload as `kind` asks for it, run through `parse` when there is one. Throws UndecodablePayload. */
export function decode(payload, contentType, kind, parse) {
    const value = kind === "bytes" ? payload : plain(payload, contentType, kind);
    if (parse === undefined)
        return value;
    try {
        return parse(value);
    }
    catch (error) {
        throw new UndecodablePayload(error instanceof Error ? error.message : String(error), { cause: error });
    }
}
function plain(payload, contentType, kind) {
    if (isJson(contentType)) {
        if (payload.length === 0)
            return undefined;
        try {
            return JSON.parse(text(payload));
        }
        catch (error) {
            throw new UndecodablePayload(`the payload is not JSON: ${error.message}`);
        }
    }
    if (kind === "json") {
        throw new UndecodablePayload(`content type "${contentType}" is not JSON; take the payload as bytes to decode it yourself`);
    }
    return contentType.startsWith("text/") ? text(payload) : payload;
}
function text(payload) {
    try {
        return utf8.decode(payload);
    }
    catch {
        throw new UndecodablePayload("the payload is not UTF-8 text");
    }
}
