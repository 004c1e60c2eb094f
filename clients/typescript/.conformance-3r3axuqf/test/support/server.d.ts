/** Starts real Relay servers for tests: each on an embedded Redis, a port and a folder of its own. */
export declare const WITHIN_MS = 20000;
/** The folder of the package. */
export declare const PACKAGE: string;
export declare class Server {
    #private;
    target: string;
    /** Starts it, or starts it again on the same port and data. */
    start(): Promise<this>;
    /** Ends the process; the data stays. */
    end(signal?: NodeJS.Signals): Promise<void>;
    /** Ends the process and removes the data. */
    close(): Promise<void>;
}
/** A name no other test has. */
export declare function newQueue(): string;
/** A promise and what settles it; it rejects by itself when that takes too long. */
export declare function within<T>(what: string): {
    promise: Promise<T>;
    resolve: (value: T) => void;
};
/** Rejects unless the promise rejects with an error of this class; gives the error. */
export declare function rejection<E extends Error>(promise: Promise<unknown>, kind: abstract new (...args: never[]) => E): Promise<E>;
