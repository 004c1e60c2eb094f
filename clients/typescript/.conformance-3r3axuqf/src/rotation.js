/** Turns from a target that failed to the next: one set of channels for all calls of a client or of a part of a worker. */
import { Aborted } from "./errors.js";
import { Link } from "./rpc.js";
/** The targets of a connection with what is open to each. Links are made on first use and kept. */
export class Rotation {
    #where;
    #open = new Map();
    #at = 0;
    #closed = false;
    constructor(where) {
        this.#where = where;
    }
    get size() {
        return this.#where.targets.length;
    }
    /** The target to use now, and the link to it. Throws Aborted once closed. */
    current() {
        if (this.#closed)
            throw new Aborted("this client is closed; make a new one", { code: "CANCELLED" });
        const target = this.#where.targets[this.#at];
        let link = this.#open.get(target);
        if (link === undefined) {
            link = new Link(this.#where, target);
            this.#open.set(target, link);
        }
        return { target, link };
    }
    /** Turns to the next target, unless another call already did. */
    failed(target) {
        if (this.#where.targets[this.#at] === target)
            this.#at = (this.#at + 1) % this.size;
    }
    close() {
        this.#closed = true;
        for (const link of this.#open.values())
            link.close();
        this.#open.clear();
    }
}
