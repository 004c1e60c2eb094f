/** Owns the Claim stream: opens it, reads it, watches over it, and opens it again whenever it ends. */

import { create } from "@bufbuild/protobuf";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import {
  type ClaimRequest,
  ClaimRequestSchema,
  type ClaimResponse,
  ExtendRequestSchema,
  type Jobs,
  type Started,
} from "../../gen/relay/v1/queue_service_pb.js";
import { durationMs, toDuration } from "../durations.js";
import { type Code, fromServiceError, RelayError } from "../errors.js";
import { pause } from "../retry.js";
import type { Rotation } from "../rotation.js";
import { CLIENT_VERSION } from "../version.js";
import type { LeaseKeeper } from "./leases.js";
import { log } from "./log.js";
import type { Health, NetConfig } from "./messages.js";
import type { Window } from "./window.js";

/** A least wait under the full jitter: a server that refuses at once is not asked without pause. */
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** Until Started brings the server's own interval. */
const KEEP_ALIVE_DEFAULT_MS = 15_000;
/** Longest wait for Started on a connection that was accepted. */
const STARTED_WITHIN_MS = 10_000;
/** After the window is closed, frames that are on the wire already have this long to arrive. */
const LAST_FRAMES_MS = 100;

const HOPELESS: Partial<Record<Code, string>> = {
  INVALID_ARGUMENT: "the server refused the claim",
};
/** Hopeless until the first stream. Later, a new token may still arrive, and a proxy get its servers back. */
const HOPELESS_FIRST: Partial<Record<Code, string>> = {
  UNIMPLEMENTED: "this is not a Relay server, or a much older one",
  UNAUTHENTICATED: "the server wants credentials, or others",
  PERMISSION_DENIED: "these credentials may not claim from these queues",
};

type Stream = ClientReadableStream<ClaimResponse>;

export interface ClaimsEvents {
  readonly onJobs: (frame: Jobs, now: number) => void;
  readonly onFatal: (error: string) => void;
}

export class Claims {
  readonly #stubs: Rotation;
  readonly #window: Window;
  readonly #leases: LeaseKeeper;
  readonly #config: NetConfig;
  readonly #events: ClaimsEvents;
  readonly #stopping = new AbortController();
  #stream: Stream | undefined;
  #cutAt = Number.POSITIVE_INFINITY;
  #whyCut = "";
  #drainMs: number | undefined;
  #target = "";
  #failures = 0;
  #everStarted = false;
  #keepAliveMs = KEEP_ALIVE_DEFAULT_MS;
  #lastFrameAt = performance.now();
  #connected = false;

  constructor(stubs: Rotation, window: Window, leases: LeaseKeeper, config: NetConfig, events: ClaimsEvents) {
    this.#stubs = stubs;
    this.#window = window;
    this.#leases = leases;
    this.#config = config;
    this.#events = events;
  }

  health(now: number): Health {
    return { silenceMs: now - this.#lastFrameAt, silenceLimitMs: 2 * this.#keepAliveMs };
  }

  /** Claims until stopped. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const waitMs = this.#backoff(await this.#oneStream());
      await pause(waitMs, signal).catch(() => undefined);
    }
  }

  /** Cuts a stream that was silent too long, or whose drain time has come. Returns ms until the next look. */
  watch(now: number): number {
    if (this.#stream === undefined) return 1_000;
    if (now < this.#cutAt) return this.#cutAt - now;
    log("warn", "stream cut", { why: this.#whyCut, target: this.#target });
    this.#stream.cancel();
    return 1_000;
  }

  /** Stops claiming without losing frames that are on the wire: closes the window first, then the stream. */
  async stop(): Promise<void> {
    this.#window.close();
    const report = this.#window.restatement();
    if (this.#connected && report !== undefined) {
      try {
        const request = create(ExtendRequestSchema, { window: report });
        await this.#stubs.current().stub.unary("extend", request, { timeoutMs: 1_000 });
        await pause(LAST_FRAMES_MS);
      } catch {
        // Then jobs of frames that nobody reads come back when their leases end.
      }
    }
    this.#stopping.abort();
    this.#stream?.cancel();
  }

  /** Milliseconds until the next try, with the pause that the server asked for. */
  #backoff(error: RelayError | undefined): number {
    if (error === undefined) return 0;
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (this.#failures + 1));
    this.#failures = Math.min(this.#failures + 1, 10);
    return (error.retryAfterMs ?? 0) + BACKOFF_MIN_MS + Math.random() * (ceiling - BACKOFF_MIN_MS);
  }

  /** One stream from its request to its end. Undefined when the end was orderly. */
  async #oneStream(): Promise<RelayError | undefined> {
    let stream: Stream;
    try {
      const { target, stub } = this.#stubs.current();
      this.#target = target;
      stream = stub.claim(this.#request());
    } catch (error) {
      // Trying again would not help: what a channel is made of does not change.
      this.#stopping.abort();
      this.#events.onFatal(`no channel can be opened: ${String(error)}`);
      return undefined;
    }
    this.#stream = stream;
    this.#drainMs = undefined;
    this.#cut(performance.now() + STARTED_WITHIN_MS, "no Started frame");
    const error = await this.#read(stream);
    const leftMs = this.#cutAt - performance.now();
    this.#stream = undefined;
    this.#connected = false;
    if (this.#stopping.signal.aborted) return undefined;
    if (this.#drainMs !== undefined) {
      this.#stubs.moveOn(this.#target);
      await pause(Math.max(0, leftMs), this.#stopping.signal).catch(() => undefined);
      return undefined;
    }
    this.#failed(error);
    return error ?? new RelayError("the stream ended without Drain");
  }

  #read(stream: Stream): Promise<RelayError | undefined> {
    return new Promise((resolve) => {
      stream.on("data", (frame: ClaimResponse) => this.#take(frame));
      stream.on("error", (error: ServiceError) => resolve(fromServiceError(error)));
      stream.on("end", () => resolve(undefined));
    });
  }

  #failed(error: RelayError | undefined): void {
    if (error !== undefined) {
      const hopeless = HOPELESS[error.code] ?? (this.#everStarted ? undefined : HOPELESS_FIRST[error.code]);
      if (hopeless !== undefined) {
        this.#stopping.abort();
        this.#events.onFatal(`${this.#target}: ${hopeless}: ${error.message}`);
        return;
      }
    }
    log("warn", "stream ended", { target: this.#target, error: error?.message ?? "closed by the server" });
    // Try another server, whatever ended the stream; with a single target this changes nothing.
    this.#stubs.moveOn(this.#target);
  }

  #request(): ClaimRequest {
    const { queues, workerId, maxInFlight, leaseMs } = this.#config;
    this.#window.newStream();
    const { sessionId, inFlight } = this.#window;
    return create(ClaimRequestSchema, {
      queues: Object.entries(queues).map(([queue, weight]) => ({ queue, weight })),
      workerId,
      maxInFlight,
      lease: toDuration(leaseMs),
      // A killed worker's jobs run elsewhere after this; a live one extends every third and is never touched.
      disconnectGrace: toDuration(leaseMs / 2),
      sessionId,
      inFlight,
      leases: sessionId === "" ? [] : this.#leases.held(),
      clientVersion: CLIENT_VERSION,
    });
  }

  #take({ frame }: ClaimResponse): void {
    const now = performance.now();
    this.#lastFrameAt = now;
    switch (frame.case) {
      case "started":
        this.#started(frame.value);
        break;
      case "jobs":
        this.#events.onJobs(frame.value, now);
        break;
      case "keepAlive":
        if (this.#window.differs(frame.value.unsettled)) this.#leases.restateWindow();
        break;
      case "cancel":
        this.#leases.stop(frame.value.jobs);
        break;
      case "drain":
        this.#drainMs = durationMs(frame.value.reconnectAfter);
        log("info", "stream drains", { target: this.#target, reconnectAfterMs: this.#drainMs });
        this.#cut(now + this.#drainMs, "drained");
        break;
      default:
        break; // a frame of a later version; it still shows that the stream lives
    }
    if (this.#drainMs === undefined) this.#cut(now + 2 * this.#keepAliveMs, "two keep-alives missed");
  }

  #started(started: Started): void {
    const again = this.#window.sessionId !== "";
    this.#window.opened(started.sessionId, started.stream);
    this.#keepAliveMs = durationMs(started.keepAlive) || KEEP_ALIVE_DEFAULT_MS;
    this.#leases.extendEveryMs = durationMs(started.extendEvery) || this.#config.leaseMs / 3;
    this.#everStarted = true;
    this.#connected = true;
    this.#failures = 0;
    log("info", "stream open", {
      target: this.#target,
      session: started.sessionId,
      server: started.serverVersion,
    });
    // Settles on their way during the reconnection named the old stream, and the server did not count them.
    if (again) this.#leases.restateWindow();
  }

  #cut(at: number, why: string): void {
    this.#cutAt = at;
    this.#whyCut = why;
  }
}
