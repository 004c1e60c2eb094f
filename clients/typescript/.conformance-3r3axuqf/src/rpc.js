/** Makes the calls: generated messages over grpc-js, with deadlines, AbortSignals and typed errors. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client as GrpcClient, } from "@grpc/grpc-js";
import { QueueService } from "../gen/relay/v1/queue_service_pb.js";
import { callMetadata, channelCredentials, channelOptions } from "./connection.js";
import { Aborted, fromServiceError } from "./errors.js";
/** One channel to one target. It connects at the first call. */
export class Link {
    #grpc;
    #metadata;
    constructor(where, target) {
        this.#grpc = new GrpcClient(target, channelCredentials(where), channelOptions(where));
        this.#metadata = callMetadata(where);
    }
    /** A unary call of QueueService. Rejects with a RelayError. */
    unary(name, request, options) {
        const { path, serialize, deserialize } = codec(name);
        return new Promise((resolve, reject) => {
            const { signal } = options;
            if (signal?.aborted) {
                reject(aborted(signal));
                return;
            }
            const call = this.#grpc.makeUnaryRequest(path, serialize, deserialize, request, this.#metadata, { deadline: Date.now() + options.timeoutMs }, (error, response) => {
                signal?.removeEventListener("abort", cancel);
                if (response !== undefined && error === null)
                    resolve(response);
                else
                    reject(signal?.aborted ? aborted(signal) : fromServiceError(error));
            });
            const cancel = () => call.cancel();
            signal?.addEventListener("abort", cancel, { once: true });
        });
    }
    /** A Claim stream: emits "data", then "error" or "end". Ends only when the server ends it or it is cancelled. */
    claim(request) {
        const { path, serialize, deserialize } = codec("claim");
        return this.#grpc.makeServerStreamRequest(path, serialize, deserialize, request, this.#metadata, {});
    }
    /** Closes the channel; calls still open on it are not waited for. */
    close() {
        this.#grpc.close();
    }
}
function codec(name) {
    const method = QueueService.method[name];
    return {
        path: `/${QueueService.typeName}/${method.name}`,
        serialize: (message) => Buffer.from(toBinary(method.input, message)),
        deserialize: (bytes) => fromBinary(method.output, bytes),
    };
}
/** The error of a call that its signal gave up. */
export function aborted(signal) {
    const { reason } = signal;
    const text = reason instanceof Error ? reason.message : String(reason ?? "aborted");
    return new Aborted(`the call was given up: ${text}`, { code: "CANCELLED", cause: reason });
}
