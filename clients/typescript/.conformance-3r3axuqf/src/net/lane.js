/** Decides when the finished jobs of one queue are sent, and how many in a call: a queue in trouble holds up no other. No I/O. */
export const BATCH_JOBS = 64;
export const LINGER_MS = 5;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 1_000;
/** One queue's acks, or its nacks. One call at a time: what finishes meanwhile waits for its answer and shares the next. */
export class Lane {
    #callMax;
    #random;
    #pending = [];
    #out = 0;
    #failures = 0;
    #restsUntil = 0;
    #since = 0;
    constructor(callMax, random = Math.random) {
        this.#callMax = callMax;
        this.#random = random;
    }
    /** How many jobs wait or are on their way. */
    get unsettled() {
        return this.#pending.length + this.#out;
    }
    add(job, now) {
        if (this.#pending.length === 0)
            this.#since = now;
        this.#pending.push(job);
    }
    /** When a call is to be sent, if nothing else happens; Infinity: not before a job comes or the call is answered. */
    dueAt(hurry) {
        if (this.#pending.length === 0 || this.#out > 0)
            return Number.POSITIVE_INFINITY;
        const now = hurry || this.#pending.length >= BATCH_JOBS;
        return Math.max(now ? 0 : this.#since + LINGER_MS, this.#restsUntil);
    }
    /** The jobs of the next call. */
    take() {
        const jobs = this.#pending.splice(0, this.#callMax);
        this.#out = jobs.length;
        return jobs;
    }
    /** Takes out the jobs that failed before and whose leases are over: trying again would be vain. */
    takeOver(now) {
        const over = this.#pending.filter((job) => job.tried && job.deadline <= now);
        if (over.length > 0)
            this.#pending = this.#pending.filter((job) => !over.includes(job));
        return over;
    }
    /** Takes out whatever waits. */
    takeAll() {
        return this.#pending.splice(0);
    }
    /** The call was answered, or refused for good. */
    answered() {
        this.#out = 0;
        this.#failures = 0;
    }
    /** The call was not answered: its jobs are due again after a pause with full jitter. */
    failed(jobs, now) {
        this.#out = 0;
        for (const job of jobs)
            job.tried = true;
        // Before what finished since, for their leases end first.
        this.#pending = [...jobs, ...this.#pending];
        this.#restsUntil =
            now + this.#random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failures);
        this.#failures += 1;
    }
    /** Whether the last call failed: the first failure is worth a word, its repeats are not. */
    get failing() {
        return this.#failures > 0;
    }
    /** No pause lasts longer than `until`. */
    hurry(until) {
        this.#restsUntil = Math.min(this.#restsUntil, until);
    }
}
