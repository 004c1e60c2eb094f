/** Job and request ids: mints UUIDv7s that strictly rise within a process. */
/** A UUIDv7 greater than every one minted before in this thread: 36 characters, text order is age order. */
export declare function newId(now?: number): string;
