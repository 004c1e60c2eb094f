/** Runs handlers, never more at once than there are slots, and stops those that must stop. */
import { Context } from "./context.js";
import { decode } from "./decoding.js";
import { outcomeOf, RELEASE, UnknownJobType } from "./outcome.js";
export class Executor {
    #handlers;
    #slots;
    #events;
    #running = new Map();
    #waiting = [];
    constructor(handlers, slots, events) {
        this.#handlers = handlers;
        this.#slots = slots;
        this.#events = events;
    }
    /** Starts jobs. What finds no slot waits: a server that keeps to the window sends none such. */
    start(jobs) {
        this.#waiting.push(...jobs);
        this.#next();
    }
    #next() {
        while (this.#running.size < this.#slots) {
            const job = this.#waiting.shift();
            if (job === undefined)
                return;
            const context = new Context(job, (fraction, note) => this.#events.progress(job, fraction, note));
            this.#running.set(job.key, context);
            void this.#run(job, context);
        }
    }
    async #run(job, context) {
        let error;
        try {
            const handler = this.#handlers.get(job.type);
            if (handler === undefined) {
                throw new UnknownJobType(`this worker has no handler for job type ${JSON.stringify(job.type)}`);
            }
            await handler.run(decode(job.payload, job.contentType, handler.payload, handler.parse), context);
        }
        catch (thrown) {
            error = { thrown };
        }
        const { why, noticed } = Context.stopOf(context);
        this.#running.delete(job.key);
        this.#events.onEnded(job, outcomeOf(error, why, noticed));
        this.#next();
    }
    /** The job's handler is to stop. */
    stop(key, why) {
        const context = this.#running.get(key);
        if (context !== undefined) {
            Context.stop(context, why);
            return;
        }
        const job = this.#waiting.find((one) => one.key === key);
        if (job === undefined)
            return;
        this.#waiting = this.#waiting.filter((one) => one !== job);
        this.#events.onEnded(job, RELEASE);
    }
    /** Gives back what has not started. */
    drain() {
        for (const job of this.#waiting.splice(0))
            this.#events.onEnded(job, RELEASE);
    }
}
