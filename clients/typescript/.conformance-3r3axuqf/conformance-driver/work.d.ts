/** The thread of the command `work`: one worker whose handlers do as they were told. */
interface HandlerSpec {
    readonly do: "ok" | "fail" | "sleep" | "block" | "retry_later" | "reject" | "throttled";
    readonly ms?: number;
    readonly after_ms?: number;
    readonly message?: string;
    readonly decode?: "bytes" | "json";
}
export interface Work {
    readonly target: string;
    readonly queues: Readonly<Record<string, number>>;
    readonly worker_id: string;
    readonly concurrency: number;
    readonly lease_ms?: number;
    readonly grace_ms?: number;
    readonly token?: string;
    readonly handlers: Readonly<Record<string, HandlerSpec>>;
}
/** What the thread is started with. */
export interface WorkData {
    readonly command: Work;
    readonly drainFlag: Int32Array;
}
export {};
