/** The worker users see: a registry of handlers, and the run that wires them to the network thread. */
import { connection } from "../connection.js";
import { parseDuration } from "../durations.js";
import { netConfig, toConsole } from "./config.js";
import { Executor } from "./execution.js";
import { Session } from "./session.js";
const TYPE_BYTES_MAX = 128;
const GRACE_MS = 20_000;
const CONCURRENCY = 16;
/** The worker cannot go on: the server refused it for a reason that repeating will not cure. */
export class WorkerFailed extends Error {
    name = "WorkerFailed";
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
export class Worker {
    #options;
    #where;
    #handlers = new Map();
    #limitsMs = {};
    #session;
    #executor;
    #stopping = false;
    #refused = "";
    /** RangeError names the option that is wrong. */
    constructor(target, options) {
        this.#options = options;
        this.#where = connection(target, options);
        this.#config();
    }
    /** Registers the handler of a job type: 1 to 128 bytes, once per worker, before run(). */
    handle(type, handler, options = {}) {
        const bytes = Buffer.byteLength(type);
        if (bytes < 1 || bytes > TYPE_BYTES_MAX) {
            throw new RangeError(`type: ${JSON.stringify(type)} is not 1 to ${TYPE_BYTES_MAX} bytes long`);
        }
        if (this.#handlers.has(type))
            throw new RangeError(`type: "${type}" already has a handler in this worker`);
        if (this.#session !== undefined)
            throw new Error("handle: register handlers before run()");
        if (options.maxRuntime !== undefined) {
            this.#limitsMs[type] = parseDuration(options.maxRuntime, "maxRuntime");
        }
        const run = (payload, context) => handler(payload, context);
        this.#handlers.set(type, { run, payload: options.payload ?? "auto", parse: options.parse });
        return this;
    }
    /**
     * Works until stop(), the signal or a process signal, then drains: finishes or gives back every job.
     *
     * Resolves to how many jobs stayed unsettled because no server answered: they run again when their leases end.
     * Rejects with WorkerFailed. A worker runs once.
     */
    async run({ signal } = {}) {
        if (this.#session !== undefined)
            throw new Error("run: this worker has run already; make a new one");
        const session = this.#start();
        const stop = () => this.#drain();
        const drainOn = this.#options.drainOn ?? ["SIGTERM", "SIGINT"];
        for (const name of drainOn)
            process.once(name, stop);
        signal?.addEventListener("abort", stop, { once: true });
        if (signal?.aborted || this.#stopping)
            session.drain();
        try {
            const unsettled = await session.stopped;
            if (this.#refused !== "")
                throw new WorkerFailed(this.#refused);
            return unsettled;
        }
        finally {
            for (const name of drainOn)
                process.off(name, stop);
            signal?.removeEventListener("abort", stop);
        }
    }
    /** Begins to drain and resolves when that is over; may be repeated. */
    async stop() {
        this.#drain();
        await this.#session?.stopped.catch(() => undefined);
    }
    /** "" when well; otherwise what is wrong, for people. */
    health() {
        if (this.#session === undefined)
            return "not started";
        if (this.#stopping)
            return "draining";
        const { silenceMs, silenceLimitMs } = this.#session.health();
        if (silenceMs <= silenceLimitMs)
            return "";
        const seconds = (ms) => (ms / 1_000).toFixed(0);
        return `no frame from the server for ${seconds(silenceMs)} s (limit ${seconds(silenceLimitMs)} s)`;
    }
    #config() {
        return netConfig(this.#where, this.#options.queues, this.#options, {
            window: this.#options.concurrency ?? CONCURRENCY,
            graceMs: GRACE_MS,
            reportSettles: false,
            maxRuntimeMs: this.#limitsMs,
            drainFlag: this.#options.drainFlag,
        });
    }
    #start() {
        const config = this.#config();
        const executor = new Executor(this.#handlers, config.window, {
            onEnded: ({ key, id, queue, type, attempt }, outcome) => {
                this.#logFailure({ jobId: id, queue, type, attempt }, outcome);
                session.ended(key, outcome);
            },
            progress: ({ key }, fraction, note) => session.progress(key, fraction, note),
        });
        const session = new Session(config, {
            onJobs: (jobs) => executor.start(jobs),
            onStop: (key, why) => executor.stop(key, why),
            onDraining: (error) => {
                this.#refused = error;
                this.#stopping = true;
                executor.drain();
            },
            onLog: (entry) => this.#log(entry),
        });
        this.#executor = executor;
        this.#session = session;
        return session;
    }
    #drain() {
        this.#stopping = true;
        this.#executor?.drain();
        this.#session?.drain();
    }
    #logFailure(job, outcome) {
        if (outcome === "ack" || outcome.error === undefined)
            return;
        const { type: errorType, message: error } = outcome.error;
        this.#log({ level: "warn", event: "job failed", fields: { ...job, errorType, error } });
    }
    #log(entry) {
        try {
            (this.#options.log ?? toConsole)(entry);
        }
        catch {
            // A logger that throws must not cost a job its outcome.
        }
    }
}
