/** Writes events, from any thread: at once, so that an event is out before what the SDK does next is seen on the wire. */
export declare function emit(event: string, fields?: Readonly<Record<string, unknown>>): void;
