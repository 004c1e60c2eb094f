/** The worker users see: a registry of handlers, and the run that wires them to the network thread. */
import { type DurationLike } from "../durations.js";
import { type Queues, type SessionOptions } from "./config.js";
import type { Context } from "./context.js";
import type { PayloadKind } from "./decoding.js";
/** Runs one job. Returning acknowledges it; what it throws decides what becomes of it. */
export type Handler<T = unknown> = (payload: T, context: Context) => unknown;
export interface HandlerOptions<T = unknown> {
    /** Longest time one run may take; the shorter of this and the job's own counts. */
    readonly maxRuntime?: DurationLike;
    /** How the payload is decoded, "auto" when left out. */
    readonly payload?: PayloadKind;
    /** Checks or converts the decoded payload, as `schema.parse` does; a payload it throws at becomes a dead letter. */
    readonly parse?: (value: unknown) => T;
}
export interface WorkerOptions extends SessionOptions {
    readonly queues: Queues;
    /** Handlers at once, which is the window as well: 1 to 10 000, default 16. */
    readonly concurrency?: number;
    /** Process signals that begin a drain while run() is under way; SIGTERM and SIGINT when left out. */
    readonly drainOn?: readonly NodeJS.Signals[];
    /**
     * A flag on a SharedArrayBuffer: when another thread stores 1 at index 0 the worker drains, even while a handler
     * blocks this thread, which would hear neither a process signal nor a call of stop().
     */
    readonly drainFlag?: Int32Array;
}
/** The worker cannot go on: the server refused it for a reason that repeating will not cure. */
export declare class WorkerFailed extends Error {
    readonly name = "WorkerFailed";
}
/**
 * A worker.
 *
 *     const worker = new Worker("localhost:50051", { queues: "emails", concurrency: 8 });
 *     worker.handle("welcome", async (payload, ctx) => { await send(payload, { signal: ctx.signal }); });
 *     await worker.run();
 *
 * The network lives in a thread: a handler that blocks the event loop delays other handlers, and neither leases nor
 * settles.
 */
export declare class Worker {
    #private;
    /** RangeError names the option that is wrong. */
    constructor(target: string, options: WorkerOptions);
    /** Registers the handler of a job type: 1 to 128 bytes, once per worker, before run(). */
    handle<T = unknown>(type: string, handler: Handler<T>, options?: HandlerOptions<T>): this;
    /**
     * Works until stop(), the signal or a process signal, then drains: finishes or gives back every job.
     *
     * Resolves to how many jobs stayed unsettled because no server answered: they run again when their leases end.
     * Rejects with WorkerFailed. A worker runs once.
     */
    run({ signal }?: {
        readonly signal?: AbortSignal;
    }): Promise<number>;
    /** Begins to drain and resolves when that is over; may be repeated. */
    stop(): Promise<void>;
    /** "" when well; otherwise what is wrong, for people. */
    health(): string;
}
