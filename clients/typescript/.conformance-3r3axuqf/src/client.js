/** The producer: enqueues jobs, alone or in bulk, and opens claims for those who want no Worker. */
import { create } from "@bufbuild/protobuf";
import { EnqueueRequestSchema } from "../gen/relay/v1/queue_service_pb.js";
import { chunks, sortOut, toRequest, toResults } from "./batches.js";
import { Claimed } from "./claim.js";
import { Coalescer } from "./coalesce.js";
import { connection } from "./connection.js";
import { Aborted, InvalidField, RelayError } from "./errors.js";
import { toWire } from "./jobs.js";
import { DEFAULT_TIMEOUT_MS, parseTimeout, repeat } from "./retry.js";
import { Rotation } from "./rotation.js";
/** Calls in flight at once during enqueueBatch: enough to hide the round trip. */
const BULK_CALLS_MAX = 4;
/**
 * A producer. It connects on first use and may be shared by everything in its thread.
 *
 *     await using relay = new Client("localhost:50051");
 *     const job = await relay.enqueue("emails", "welcome", { to: "a@example.com" }, { delay: "5m" });
 */
export class Client {
    #where;
    #timeoutMs;
    #links;
    #coalescer;
    #closing = new AbortController();
    #claims = new Set();
    /** `target`: "host:port", several separated by commas, "dns:///name:port" or "unix:path". */
    constructor(target = "localhost:50051", options = {}) {
        this.#timeoutMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseTimeout(options.timeout);
        this.#where = connection(target, options);
        this.#links = new Rotation(this.#where);
        this.#coalescer = new Coalescer((queue, jobs, deadline) => this.#send(queue, jobs, deadline, this.#closing.signal));
    }
    /**
     * Adds one job to a queue. Calls that run at the same time share RPCs.
     *
     * Rejects with a RelayError; with TypeError or RangeError when an option cannot be sent. An aborted call is not
     * sent, or, if it is on its way, may still be accepted.
     */
    async enqueue(queue, type, payload, options = {}) {
        const job = toWire({ ...options, type, payload });
        return this.#coalescer.enqueue(queue, job, this.#deadline(options), options.signal);
    }
    /**
     * Adds many jobs to a queue, one result for each, in their order: the accepted job, or why it was refused.
     *
     * The timeout is that of each call. The first call that fails as a whole stops the run: its jobs and those after it
     * carry that error.
     */
    async enqueueBatch(queue, jobs, options = {}) {
        const results = [];
        const running = new Set();
        const signal = options.signal
            ? AbortSignal.any([options.signal, this.#closing.signal])
            : this.#closing.signal;
        const run = { stopped: undefined, answered: 0 };
        const settle = (chunk, outcome) => {
            chunk.places.forEach((place, at) => {
                results[place] = outcome[at];
            });
            run.answered += outcome.length;
            options.progress?.(run.answered);
        };
        const send = async (chunk) => {
            try {
                settle(chunk, await this.#send(queue, chunk.jobs, this.#deadline(options), signal));
            }
            catch (error) {
                const stopped = asRelayError(error);
                run.stopped ??= stopped;
                settle(chunk, chunk.jobs.map(() => stopped));
            }
        };
        for (const chunk of chunks(this.#encoded(jobs, results))) {
            if (running.size >= BULK_CALLS_MAX)
                await Promise.race(running);
            const stopped = run.stopped;
            if (stopped !== undefined) {
                settle(chunk, chunk.jobs.map(() => stopped));
                continue;
            }
            const call = send(chunk).finally(() => running.delete(call));
            running.add(call);
        }
        await Promise.all(running);
        return results;
    }
    /**
     * Claims jobs for a loop of your own: `for await (const job of relay.claim("emails")) { …; await job.ack(); }`.
     *
     * Leases are kept alive in a thread until a job is settled. Leaving the loop, or aborting the signal, gives back
     * what was not yielded. Most programs want a Worker.
     */
    claim(queues, options = {}) {
        if (this.#closing.signal.aborted)
            throw new Aborted("this client is closed; make a new one", { code: "CANCELLED" });
        const claimed = new Claimed(this.#where, queues, options);
        this.#claims.add(claimed);
        void claimed.ended.finally(() => this.#claims.delete(claimed));
        return claimed;
    }
    /** Ends claims and closes the connections. Calls in flight reject with Aborted. May be repeated. */
    async close() {
        this.#closing.abort(new Error("the client was closed"));
        this.#coalescer.close();
        await Promise.all([...this.#claims].map((claimed) => claimed.close()));
        this.#links.close();
    }
    async [Symbol.asyncDispose]() {
        await this.close();
    }
    #deadline({ timeout }) {
        return performance.now() + (timeout === undefined ? this.#timeoutMs : parseTimeout(timeout));
    }
    *#encoded(jobs, results) {
        let place = 0;
        for (const spec of jobs) {
            let job;
            try {
                job = toWire(spec);
            }
            catch (error) {
                // Throwing would hide what became of the jobs already sent.
                results[place] = new InvalidField(error.message, {
                    code: "INVALID_ARGUMENT",
                    cause: error,
                });
            }
            if (job !== undefined)
                yield [place, job];
            place += 1;
        }
    }
    /** Enqueues the jobs with as few calls as the server allows. Throws RelayError when a call failed for all of them. */
    async #send(queue, jobs, deadline, signal) {
        let sorted;
        try {
            return await this.#sendOnce(queue, jobs, deadline, signal);
        }
        catch (error) {
            sorted = sortOut(error, jobs.length);
        }
        const results = [];
        for (const [at, error] of sorted.refused)
            results[at] = error;
        for (const group of sorted.groups) {
            const part = group.map((at) => jobs[at]);
            const sent = await this.#send(queue, part, deadline, signal).catch((error) => part.map(() => asRelayError(error)));
            group.forEach((at, index) => {
                results[at] = sent[index];
            });
        }
        return results;
    }
    async #sendOnce(queue, jobs, deadline, signal) {
        const [first] = jobs;
        if (jobs.length === 1 && first !== undefined) {
            const single = create(EnqueueRequestSchema, { queue, job: first });
            const { jobId, deduplicated } = await repeat(this.#links, (link, timeoutMs) => link.unary("enqueue", single, { timeoutMs, signal }), deadline, signal);
            return [{ id: jobId, deduplicated }];
        }
        const batch = toRequest(queue, jobs);
        const response = await repeat(this.#links, (link, timeoutMs) => link.unary("enqueueBatch", batch, { timeoutMs, signal }), deadline, signal);
        return toResults(response, jobs);
    }
}
function asRelayError(error) {
    return error instanceof RelayError ? error : new RelayError(String(error), { cause: error });
}
