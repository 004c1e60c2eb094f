// Keeps the one stream of a tab open: reconnects with jitter, notices a silent server, and stops while the tab is hidden.

import { ApiError, CODE, isAbort, stream } from "../api/http";
import type { WatchStatsResponseJson } from "../gen/relay/v1/admin_service_pb";
import { Moments } from "./moments";
import type { LiveStore } from "./store";

export interface Timing {
  /** A connection without a byte for so long, heartbeats included, is dead. */
  silenceMs: number;
  firstDelayMs: number;
  maxDelayMs: number;
  random: () => number;
}

const TIMING: Timing = { silenceMs: 20_000, firstDelayMs: 500, maxDelayMs: 10_000, random: Math.random };

/** Half of the backoff is fixed, so that a retry is never at once; half is random, so that tabs do not come together. */
export function retryDelay(attempt: number, timing: Timing = TIMING): number {
  const ceiling = Math.min(timing.maxDelayMs, timing.firstDelayMs * 2 ** attempt);
  return ceiling / 2 + (ceiling / 2) * timing.random();
}

function needsSignIn(error: ApiError): boolean {
  const { unauthenticated, permissionDenied } = CODE;
  // Other refusals have this code too, such as that of a foreign Host; signing in does not help there.
  return (
    error.code === unauthenticated ||
    (error.code === permissionDenied && error.reason === "PERMISSION_DENIED")
  );
}

export type OpenStream = (
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
) => AsyncIterable<WatchStatsResponseJson>;

const openStats: OpenStream = (signal, onBytes) =>
  stream<WatchStatsResponseJson>("stats:watch", { signal }, onBytes);

export class LiveConnection {
  private run: AbortController | null = null;
  private attempt = 0;
  private lastNews = Date.now();
  private wake: (() => void) | null = null;

  constructor(
    private readonly store: LiveStore,
    private readonly timing: Timing = TIMING,
    private readonly open: OpenStream = openStats,
  ) {}

  /** Opens the stream, and again whenever it ends. Repeating it changes nothing. */
  start(): void {
    if (this.run) return;
    const run = new AbortController();
    this.run = run;
    this.attempt = 0;
    const { phase } = this.store.get().connection;
    if (phase !== "down" && phase !== "refused") this.store.setConnection({ phase: "connecting" });
    void this.loop(run.signal);
  }

  stop(): void {
    this.end();
    if (this.store.get().connection.phase !== "refused") this.store.setConnection({ phase: "paused" });
  }

  /** Stops until `start`: the user must sign in first. */
  refuse(error = ""): void {
    this.end();
    this.store.setConnection({ phase: "refused", error });
  }

  private end(): void {
    this.run?.abort();
    this.run = null;
    this.wake?.();
  }

  /** A person does not want to wait for the countdown. */
  retryNow(): void {
    this.wake?.();
  }

  private async loop(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      const error = await this.once(stopped);
      if (stopped.aborted) return;
      const delay = retryDelay(this.attempt++, this.timing);
      this.down(error, Date.now() + delay);
      await this.rest(delay);
      if (!stopped.aborted) this.down(error, null);
    }
  }

  private down(error: string, retryAt: number | null): void {
    this.store.setConnection({ phase: "down", since: this.lastNews, retryAt, error });
  }

  /** One stream until it ends. Returns why, in words. */
  private async once(stopped: AbortSignal): Promise<string> {
    const abort = new AbortController();
    const end = () => abort.abort();
    stopped.addEventListener("abort", end);
    const moments = new Moments();
    let silent = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        silent = true;
        abort.abort();
      }, this.timing.silenceMs);
    };
    heard();
    try {
      for await (const json of this.open(abort.signal, (bytes) => {
        heard();
        this.store.countBytes(bytes);
      })) {
        this.attempt = 0;
        this.lastNews = Date.now();
        const snapshot = moments.take(json);
        if (!snapshot) continue;
        this.store.apply(snapshot);
        if (this.store.get().connection.phase !== "live" && !stopped.aborted)
          this.store.setConnection({ phase: "live" });
      }
      return "the server ended the stream";
    } catch (error) {
      if (silent) return "the server is silent";
      if (isAbort(error)) return "stopped";
      if (error instanceof ApiError && needsSignIn(error)) {
        const first = error.code === CODE.unauthenticated && !this.store.get().snapshot;
        this.refuse(first ? "" : error.message);
      }
      return error instanceof Error ? error.message : String(error);
    } finally {
      clearTimeout(timer);
      stopped.removeEventListener("abort", end);
      abort.abort();
    }
  }

  private rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const self = this;
      function done() {
        clearTimeout(timer);
        self.wake = null;
        resolve();
      }
      this.wake = done;
    });
  }
}
