/** How a server is reached: parses targets and holds gRPC options, credentials and call metadata. Plain data: it crosses threads. */
import { type ChannelCredentials, type ChannelOptions, Metadata } from "@grpc/grpc-js";
export declare const DEFAULT_PORT = 50051;
export interface ConnectionOptions {
    /** Encrypt, and check the server against `caFile` or the authorities that Node knows. */
    readonly tls?: boolean;
    /** PEM file of the authorities to trust. */
    readonly caFile?: string;
    /** PEM file of a client certificate; needs `keyFile`. */
    readonly certFile?: string;
    readonly keyFile?: string;
    /** Bearer token, sent with every call; refused without TLS unless every target is on this machine. */
    readonly token?: string;
}
/** Everything needed to open channels; targets are in the order to try them. */
export interface Connection {
    readonly targets: readonly string[];
    readonly local: boolean;
    readonly tls: {
        readonly ca?: Uint8Array;
        readonly key?: Uint8Array;
        readonly cert?: Uint8Array;
    } | undefined;
    readonly token: string | undefined;
}
/**
 * Checks the target and the options of a client. RangeError names the option and what to change.
 *
 * `target` is "host:port", several separated by commas, "dns:///name:port" or "unix:path"; port 50051 may be left out.
 */
export declare function connection(target: string, options?: ConnectionOptions): Connection;
/** Splits a target into gRPC targets, in the order written. RangeError says what is wrong with it. */
export declare function parseTargets(target: string): string[];
/** The credentials of a connection's channels. */
export declare function channelCredentials({ tls }: Connection): ChannelCredentials;
/** The metadata of every call. */
export declare function callMetadata({ token }: Connection): Metadata;
/** The options of a connection's channels. */
export declare function channelOptions({ local }: Connection): ChannelOptions;
