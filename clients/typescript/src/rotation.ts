/** Turns from a target that failed to the next: one set of channels for all calls of a client or of a part of a worker. */

import type { Connection } from "./connection.js";
import { Aborted, type RelayError } from "./errors.js";
import { Stub } from "./rpc.js";

/** The targets of a connection with what is open to each. Stubs are made on first use and kept. */
export class Rotation {
  readonly #where: Connection;
  readonly #open = new Map<string, Stub>();
  #at = 0;
  #closed = false;

  constructor(where: Connection) {
    this.#where = where;
  }

  get size(): number {
    return this.#where.targets.length;
  }

  /** The target to use now, and the stub to it. Throws Aborted once closed. */
  current(): { readonly target: string; readonly stub: Stub } {
    if (this.#closed) throw new Aborted("this client is closed; make a new one", { code: "CANCELLED" });
    const target = this.#where.targets[this.#at] as string;
    let stub = this.#open.get(target);
    if (stub === undefined) {
      stub = new Stub(this.#where, target);
      this.#open.set(target, stub);
    }
    return { target, stub };
  }

  /** Turns from this target to the next, unless another call already did. */
  moveOn(target: string): void {
    if (this.#where.targets[this.#at] === target) this.#at = (this.#at + 1) % this.size;
  }

  close(): void {
    this.#closed = true;
    for (const stub of this.#open.values()) stub.close();
    this.#open.clear();
  }
}

/** Codes that another server may not answer with. */
const MOVE_ON: ReadonlySet<string> = new Set([
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "RESOURCE_EXHAUSTED",
  // What gRPC makes of the 404 of a proxy without servers.
  "UNIMPLEMENTED",
  // The server is stopping; of our own channel, the rotation says so.
  "CANCELLED",
]);

/** True when the next target may do better. */
export function mayMoveOn(error: RelayError): boolean {
  return MOVE_ON.has(error.code);
}
