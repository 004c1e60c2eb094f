/** Turns from a target that failed to the next: one set of channels for all calls of a client or of a part of a worker. */
import type { Connection } from "./connection.js";
import { Link } from "./rpc.js";
/** The targets of a connection with what is open to each. Links are made on first use and kept. */
export declare class Rotation {
    #private;
    constructor(where: Connection);
    get size(): number;
    /** The target to use now, and the link to it. Throws Aborted once closed. */
    current(): {
        readonly target: string;
        readonly link: Link;
    };
    /** Turns to the next target, unless another call already did. */
    failed(target: string): void;
    close(): void;
}
