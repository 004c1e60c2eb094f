/** Claims for a loop of one's own: an async iterator of jobs, each settled by hand. */
import { LeaseOutcome, NackKind } from "../gen/relay/v1/queue_service_pb.js";
import { parseDuration } from "./durations.js";
import { fromOutcome, RelayError, Unavailable } from "./errors.js";
import { netConfig, toConsole } from "./worker/config.js";
import { Context } from "./worker/context.js";
import { decode } from "./worker/decoding.js";
import { failureOf, RELEASE } from "./worker/outcome.js";
import { Session } from "./worker/session.js";
const KINDS = {
    retry: NackKind.RETRY,
    dead: NackKind.DEAD,
    release: NackKind.RELEASE,
    throttled: NackKind.THROTTLED,
};
/** A job under lease. It is kept alive until it is settled, whatever its loop does. */
export class ClaimedJob extends Context {
    #settle;
    constructor(job, report, settle) {
        super(job, report);
        this.#settle = settle;
    }
    /** The decoded payload: JSON and text are decoded, anything else is bytes. Throws UndecodablePayload. */
    payload() {
        return decode(this.rawPayload, this.contentType, "auto");
    }
    /** The job is finished. Rejects with LeaseLost, JobGone or JobCancelled when it was too late. */
    ack() {
        return this.#settle("ack");
    }
    /** Gives the job back. Rejects as ack() does. */
    nack({ kind = "retry", after, error } = {}) {
        const nack = {
            nack: KINDS[kind],
            afterMs: after === undefined ? undefined : parseDuration(after, "after"),
            error: error === undefined ? undefined : failureOf(error),
        };
        return this.#settle(nack);
    }
}
/** What Client.claim returns. Iterate it once; it connects when the loop begins. */
export class Claimed {
    /** Resolves when nothing is held any more. */
    ended;
    #config;
    #options;
    #held = new Map();
    #ready = [];
    #waiters = [];
    #session;
    #error;
    #done = false;
    #end = () => undefined;
    constructor(where, queues, options) {
        this.#options = options;
        this.#config = netConfig(where, queues, options, {
            window: options.concurrency ?? 1,
            graceMs: 0,
            reportSettles: true,
        });
        this.ended = new Promise((resolve) => {
            this.#end = resolve;
        });
    }
    [Symbol.asyncIterator]() {
        return this;
    }
    /** The next job; done once the claim was closed. Rejects when the server refuses the claim for good. */
    next() {
        return new Promise((resolve, reject) => {
            this.#waiters.push({ resolve, reject });
            if (!this.#done && this.#session === undefined)
                this.#start();
            this.#deliver();
        });
    }
    /** Leaving the loop closes the claim. */
    async return() {
        await this.close();
        return { done: true, value: undefined };
    }
    /** Gives back what was not yielded, waits `grace` for what was, releases the rest. May be repeated. */
    async close() {
        this.#done = true;
        this.#options.signal?.removeEventListener("abort", this.#abort);
        for (const key of this.#ready.splice(0)) {
            this.#held.delete(key);
            this.#session?.ended(key, RELEASE);
        }
        this.#deliver();
        if (this.#session === undefined)
            this.#end();
        else
            this.#session.drain();
        await this.ended;
    }
    async [Symbol.asyncDispose]() {
        await this.close();
    }
    #abort = () => void this.close();
    #start() {
        const { signal, log } = this.#options;
        if (signal?.aborted) {
            void this.close();
            return;
        }
        signal?.addEventListener("abort", this.#abort, { once: true });
        const session = new Session(this.#config, {
            onJobs: (jobs) => this.#received(jobs, session),
            onStop: (key, why) => {
                const held = this.#held.get(key);
                if (held !== undefined)
                    Context.stop(held.job, why);
                // One that nobody has seen yet goes back at once.
                if (this.#ready.includes(key)) {
                    this.#ready = this.#ready.filter((one) => one !== key);
                    this.#held.delete(key);
                    session.ended(key, RELEASE);
                }
            },
            onSettled: (settled) => this.#settled(settled),
            onDraining: (error) => {
                this.#error = new RelayError(error, { code: "FAILED_PRECONDITION" });
                void this.close();
            },
            onLog: log ?? toConsole,
        });
        this.#session = session;
        session.stopped
            .catch((error) => {
            this.#error = new RelayError(`the network thread failed: ${String(error)}`, { cause: error });
        })
            .then(() => {
            this.#done = true;
            this.#settled([...this.#held.keys()].map((key) => ({ key, outcome: LeaseOutcome.UNSPECIFIED })));
            this.#deliver();
            this.#end();
        });
    }
    #received(jobs, session) {
        for (const data of jobs) {
            if (this.#done) {
                session.ended(data.key, RELEASE);
                continue;
            }
            const job = new ClaimedJob(data, (fraction, note) => session.progress(data.key, fraction, note), (outcome) => this.#settle(data.key, outcome, session));
            this.#held.set(data.key, { job, settling: undefined });
            this.#ready.push(data.key);
        }
        this.#deliver();
    }
    #deliver() {
        while (this.#waiters.length > 0) {
            const held = this.#held.get(this.#ready.shift() ?? -1);
            if (held === undefined && !this.#done)
                return;
            const waiter = this.#waiters.shift();
            if (held !== undefined)
                waiter.resolve({ done: false, value: held.job });
            else if (this.#error !== undefined) {
                waiter.reject(this.#error);
                this.#error = undefined;
            }
            else
                waiter.resolve({ done: true, value: undefined });
        }
    }
    #settle(key, outcome, session) {
        const held = this.#held.get(key);
        if (held === undefined || held.settling !== undefined) {
            return Promise.reject(new Error("this job is settled already, or its lease is over"));
        }
        return new Promise((resolve, reject) => {
            held.settling = { resolve, reject };
            session.ended(key, outcome);
        });
    }
    #settled(settled) {
        for (const { key, outcome } of settled) {
            const settling = this.#held.get(key)?.settling;
            this.#held.delete(key);
            if (settling === undefined)
                continue;
            const error = outcome === LeaseOutcome.UNSPECIFIED
                ? new Unavailable("no server answered the settle before the lease ended", { code: "UNAVAILABLE" })
                : fromOutcome(outcome);
            if (error === undefined)
                settling.resolve();
            else
                settling.reject(error);
        }
    }
}
