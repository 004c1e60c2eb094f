/** Owns the package's version: a test compares it with package.json. */
export declare const VERSION = "0.1.0";
export declare const CLIENT_VERSION = "relay-typescript/0.1.0";
