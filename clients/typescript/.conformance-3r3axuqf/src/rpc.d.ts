/** Makes the calls: generated messages over grpc-js, with deadlines, AbortSignals and typed errors. */
import { type MessageShape } from "@bufbuild/protobuf";
import { type ClientReadableStream } from "@grpc/grpc-js";
import { QueueService } from "../gen/relay/v1/queue_service_pb.js";
import { type Connection } from "./connection.js";
import { type RelayError } from "./errors.js";
type Methods = typeof QueueService.method;
type Unary = {
    [K in keyof Methods]: Methods[K] extends {
        methodKind: "unary";
    } ? K : never;
}[keyof Methods];
export type Request<K extends keyof Methods> = MessageShape<Methods[K]["input"]>;
export type Response<K extends keyof Methods> = MessageShape<Methods[K]["output"]>;
export interface CallOptions {
    /** Longest time of this call, in ms. */
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
}
/** One channel to one target. It connects at the first call. */
export declare class Link {
    #private;
    constructor(where: Connection, target: string);
    /** A unary call of QueueService. Rejects with a RelayError. */
    unary<K extends Unary>(name: K, request: Request<K>, options: CallOptions): Promise<Response<K>>;
    /** A Claim stream: emits "data", then "error" or "end". Ends only when the server ends it or it is cancelled. */
    claim(request: Request<"claim">): ClientReadableStream<Response<"claim">>;
    /** Closes the channel; calls still open on it are not waited for. */
    close(): void;
}
/** The error of a call that its signal gave up. */
export declare function aborted(signal: AbortSignal): RelayError;
export {};
