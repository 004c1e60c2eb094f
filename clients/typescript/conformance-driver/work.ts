/** The thread of the command `work`: one worker whose handlers do as they were told. */

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { workerData } from "node:worker_threads";
import { type Context, Reject, RetryLater, Throttled, Worker } from "../src/index.js";
import { emit } from "./emit.js";

interface HandlerSpec {
  readonly do: "ok" | "fail" | "sleep" | "finish" | "block" | "retry_later" | "reject" | "throttled";
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

const { command, drainFlag } = workerData as WorkData;

const worker = new Worker(command.target, {
  queues: command.queues,
  workerId: command.worker_id,
  concurrency: command.concurrency,
  ...(command.lease_ms === undefined ? {} : { lease: command.lease_ms }),
  ...(command.grace_ms === undefined ? {} : { grace: command.grace_ms }),
  ...(command.token === undefined ? {} : { token: command.token }),
  drainFlag,
  log: (entry) => process.stderr.write(`${JSON.stringify(entry)}\n`),
});
for (const [type, spec] of Object.entries(command.handlers)) {
  const options =
    spec.decode === "json"
      ? ({ payload: "json", parse: numbered } as const)
      : ({ payload: "bytes" } as const);
  worker.handle<unknown>(type, (payload, context) => handle(spec, payload, context), options);
}
const ended = worker.run();
emit("working");
emit("stopped", { error: await ended.then(() => "", String) });

async function handle(spec: HandlerSpec, payload: unknown, context: Context): Promise<void> {
  const { jobId, queue, type, attempt, headers } = context;
  const job = { job_id: jobId, epoch: Number(context.epoch) };
  const bytes = payload instanceof Uint8Array ? payload : undefined;
  const digest = bytes && {
    payload_bytes: bytes.length,
    payload_sha256: createHash("sha256").update(bytes).digest("hex"),
  };
  emit("job_started", { ...job, queue, type, attempt, headers, ...digest });
  try {
    await perform(spec, context, () => emit("job_cancelled", job));
  } finally {
    emit("job_finished", job);
  }
}

async function perform(spec: HandlerSpec, context: Context, cancelled: () => void): Promise<void> {
  const { ms = 0, message = "", after_ms: after } = spec;
  const later = after === undefined ? {} : { after };
  switch (spec.do) {
    case "ok":
      return;
    case "fail":
      throw new Error(message);
    case "sleep":
    case "finish":
      await sleep(ms, undefined, { signal: context.signal }).catch((error: unknown) => {
        cancelled();
        if (spec.do === "sleep") throw error;
      });
      return;
    case "block":
      // The event loop itself stands still, timers and network of this thread included.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
      return;
    case "retry_later":
      throw new RetryLater(message, later);
    case "reject":
      throw new Reject(message);
    case "throttled":
      throw new Throttled(message, later);
  }
}

function numbered(value: unknown): { n: number } {
  const n = (value as { n?: unknown } | null)?.n;
  if (typeof n !== "number") throw new TypeError("n: expected a number");
  return { n };
}
