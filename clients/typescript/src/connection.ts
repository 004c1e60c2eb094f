/** How a server is reached: parses targets and holds gRPC options, credentials and call metadata. Plain data: it crosses threads. */

import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { MESSAGE_BYTES_MAX } from "./limits.js";
import { CLIENT_VERSION } from "./version.js";

export const DEFAULT_PORT = 50051;

/** How servers are reached: encryption and credentials. */
export interface ConnectionOptions {
  /** Encrypt, and check the server against `caFile` or the authorities that Node knows. */
  readonly tls?: boolean;
  /** PEM file of the authorities to trust. */
  readonly caFile?: string;
  /** PEM file of a client certificate; needs `keyFile`. */
  readonly certFile?: string;
  /** PEM file of the client certificate's private key. */
  readonly keyFile?: string;
  /** Bearer token, sent with every call; refused without TLS unless every target is on this machine. */
  readonly token?: string;
}

/** Everything needed to open channels; targets are in the order to try them. */
export interface Connection {
  readonly targets: readonly string[];
  readonly local: boolean;
  readonly tls:
    | { readonly ca?: Uint8Array; readonly key?: Uint8Array; readonly cert?: Uint8Array }
    | undefined;
  readonly token: string | undefined;
}

/**
 * Checks the target and the options of a client. RangeError names the option and what to change.
 *
 * `target` is "host:port", several separated by commas, "dns:///name:port" or "unix:path"; port 50051 may be left out.
 */
export function connection(target: string, options: ConnectionOptions = {}): Connection {
  const targets = parseTargets(target);
  const local = targets.every(isLocal);
  const tls = readTls(options);
  const { token } = options;
  if (token !== undefined) {
    if (!/^[!-~]+$/.test(token)) {
      throw new RangeError("token: must be one or more printable ASCII characters without spaces");
    }
    if (tls === undefined && !local) {
      throw new RangeError("token: would be sent in the clear to another machine; set tls: true");
    }
  }
  // Shuffled, so that clients spread over the servers of one list.
  return { targets: shuffled(targets), local, tls, token };
}

/** Splits a target into gRPC targets, in the order written. RangeError says what is wrong with it. */
export function parseTargets(target: string): string[] {
  return [...new Set(target.split(",").map((part) => parseTarget(part.trim())))];
}

function parseTarget(text: string): string {
  if (text.startsWith("unix:")) {
    if (/^unix:\/*$/.test(text)) {
      throw new RangeError(`target: "${text}" names no socket; write "unix:/run/relay.sock"`);
    }
    return text;
  }
  const scheme = text.startsWith("dns:///") ? "dns:///" : "";
  const address = text.slice(scheme.length);
  if (address === "" || /[/\s]/.test(address)) {
    throw new RangeError(
      `target: "${text}" is not a target; write "host:port", "h1:p1,h2:p2", "dns:///name:port" or "unix:path"`,
    );
  }
  const [host, port] = splitPort(address);
  if (host === "") throw new RangeError(`target: "${text}" has no host; write "localhost:${port}"`);
  if (!/^\d+$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    throw new RangeError(`target: "${text}" has port "${port}"; a port is a number from 1 to 65535`);
  }
  return `${scheme}${host}:${port}`;
}

function splitPort(address: string): [host: string, port: string] {
  if (address.startsWith("[")) {
    const end = address.indexOf("]") + 1;
    return [address.slice(0, end), address.slice(end).replace(/^:/, "") || String(DEFAULT_PORT)];
  }
  const [host = "", port, ...more] = address.split(":");
  if (more.length > 0) {
    throw new RangeError(
      `target: write the IPv6 address "${address}" in brackets: "[${address}]:${DEFAULT_PORT}"`,
    );
  }
  return [host, port ?? String(DEFAULT_PORT)];
}

function isLocal(target: string): boolean {
  if (target.startsWith("unix:")) return true;
  const host = splitPort(target.replace("dns:///", ""))[0].replace(/[[\]]/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function readTls(options: ConnectionOptions): Connection["tls"] {
  const { caFile, certFile, keyFile } = options;
  if (!options.tls) {
    for (const [name, value] of Object.entries({ caFile, certFile, keyFile })) {
      if (value !== undefined) throw new RangeError(`${name}: has no effect without TLS; set tls: true`);
    }
    return undefined;
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new RangeError("certFile and keyFile: a client certificate needs both");
  }
  const tls = {
    ...(caFile === undefined ? {} : { ca: read("caFile", caFile) }),
    ...(keyFile === undefined ? {} : { key: read("keyFile", keyFile) }),
    ...(certFile === undefined ? {} : { cert: read("certFile", certFile) }),
  };
  try {
    tlsCredentials(tls);
  } catch (error) {
    // Now, and not when a channel is opened, which is later and in another thread.
    throw new RangeError(`caFile, certFile or keyFile: cannot be used: ${(error as Error).message}`);
  }
  return tls;
}

function read(name: string, path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new RangeError(`${name}: cannot read ${path}: ${(error as Error).message}`);
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  const left = [...values];
  for (let at = left.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [left[at], left[other]] = [left[other] as T, left[at] as T];
  }
  return left;
}

/** The credentials of a connection's channels. */
export function channelCredentials({ tls }: Connection): ChannelCredentials {
  return tls === undefined ? credentials.createInsecure() : tlsCredentials(tls);
}

function tlsCredentials(tls: NonNullable<Connection["tls"]>): ChannelCredentials {
  const buffer = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : Buffer.from(bytes));
  return credentials.createSsl(buffer(tls.ca), buffer(tls.key), buffer(tls.cert));
}

/** The metadata of every call. */
export function callMetadata({ token }: Connection): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** The options of a connection's channels. */
export function channelOptions({ local }: Connection): ChannelOptions {
  return {
    "grpc.primary_user_agent": CLIENT_VERSION,
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    "grpc.service_config_disable_resolution": 1,
    // The SDK repeats calls itself (see retry.ts); both layers together would multiply attempts.
    "grpc.enable_retries": 0,
    // The server lets clients ping every 5 s.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    // By default a failed connect is tried again only after 1 s to 2 min, and calls fail meanwhile.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.dns_min_time_between_resolutions_ms": 5_000,
    // Otherwise channels to one target share a connection, and the heartbeat would wait behind other traffic.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": 16 << 20,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    // An http_proxy in the environment is never meant for this machine.
    ...(local ? { "grpc.enable_http_proxy": 0 } : {}),
  };
}
