/** Makes the calls: generated messages over grpc-js, with deadlines, AbortSignals and typed errors. */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  type ClientReadableStream,
  Client as GrpcClient,
  type Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { QueueService } from "../gen/relay/v1/queue_service_pb.js";
import { type Connection, callMetadata, channelCredentials, channelOptions } from "./connection.js";
import { Aborted, fromServiceError, type RelayError } from "./errors.js";

type Methods = typeof QueueService.method;
type Unary = { [K in keyof Methods]: Methods[K] extends { methodKind: "unary" } ? K : never }[keyof Methods];
export type Request<K extends keyof Methods> = MessageShape<Methods[K]["input"]>;
export type Response<K extends keyof Methods> = MessageShape<Methods[K]["output"]>;

export interface CallOptions {
  /** Longest time of this call, in ms. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** One channel to one target. It connects at the first call. */
export class Stub {
  readonly #grpc: GrpcClient;
  readonly #metadata: Metadata;

  constructor(where: Connection, target: string) {
    this.#grpc = new GrpcClient(target, channelCredentials(where), channelOptions(where));
    this.#metadata = callMetadata(where);
  }

  /** A unary call of QueueService. Rejects with a RelayError. */
  unary<K extends Unary>(name: K, request: Request<K>, options: CallOptions): Promise<Response<K>> {
    const { path, serialize, deserialize } = codec(name);
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) {
        reject(aborted(signal));
        return;
      }
      const call = this.#grpc.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        this.#metadata,
        { deadline: Date.now() + options.timeoutMs },
        (error: ServiceError | null, response?: Response<K>) => {
          signal?.removeEventListener("abort", cancel);
          if (response !== undefined && error === null) resolve(response);
          else reject(signal?.aborted ? aborted(signal) : fromServiceError(error as ServiceError));
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** A Claim stream: emits "data", then "error" or "end". Ends only when the server ends it or it is cancelled. */
  claim(request: Request<"claim">): ClientReadableStream<Response<"claim">> {
    const { path, serialize, deserialize } = codec("claim");
    return this.#grpc.makeServerStreamRequest(path, serialize, deserialize, request, this.#metadata, {});
  }

  /** Closes the channel; calls still open on it are not waited for. */
  close(): void {
    this.#grpc.close();
  }
}

function codec<K extends keyof Methods>(name: K) {
  const method = QueueService.method[name];
  return {
    path: `/${QueueService.typeName}/${method.name}`,
    serialize: (message: Request<K>) =>
      Buffer.from(toBinary(method.input as DescMessage, message as MessageShape<DescMessage>)),
    deserialize: (bytes: Buffer) => fromBinary(method.output as DescMessage, bytes) as Response<K>,
  };
}

/** The error of a call that its signal gave up. */
export function aborted(signal: AbortSignal): RelayError {
  const { reason } = signal;
  const text = reason instanceof Error ? reason.message : String(reason ?? "aborted");
  return new Aborted(`the call was given up: ${text}`, { code: "CANCELLED", cause: reason });
}
