/** The command `produce`: one client, its jobs, its results. */
interface WireJob {
    readonly type: string;
    readonly payload: string;
    readonly content_type?: string;
    readonly headers?: Record<string, string>;
    readonly priority?: number;
    readonly delay_ms?: number;
    readonly idempotency_key?: string;
    readonly max_runtime_ms?: number;
    readonly retry?: {
        readonly max_attempts: number;
        readonly initial_backoff_ms: number;
        readonly max_backoff_ms: number;
        readonly multiplier: number;
    };
}
export interface Produce {
    readonly id: string;
    readonly target: string;
    readonly queue: string;
    readonly token?: string;
    readonly deadline_ms: number;
    readonly mode: "each" | "together" | "many";
    readonly jobs: readonly WireJob[];
}
/** One result a job, in their order. */
export declare function produce(command: Produce): Promise<object[]>;
export {};
