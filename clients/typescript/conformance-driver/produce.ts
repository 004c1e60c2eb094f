/** The command `produce`: one client, its jobs, its results. */

import { Client, type Enqueued, type JobSpec, RelayError } from "../src/index.js";

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
export async function produce(command: Produce): Promise<object[]> {
  const { target, queue, token, deadline_ms: timeout, mode } = command;
  await using client = new Client(target, token === undefined ? { timeout } : { timeout, token });
  const jobs = command.jobs.map(specOf);
  const enqueue = ({ type, payload, ...options }: JobSpec) =>
    client.enqueue(queue, type, payload, options).catch((error: unknown) => error);
  if (mode === "many") return (await client.enqueueBatch(queue, jobs)).map(resultOf);
  if (mode === "together") return (await Promise.all(jobs.map(enqueue))).map(resultOf);
  const results: object[] = [];
  for (const job of jobs) results.push(resultOf(await enqueue(job)));
  return results;
}

function specOf(job: WireJob): JobSpec {
  const { retry } = job;
  return {
    type: job.type,
    payload: new Uint8Array(Buffer.from(job.payload, "base64")),
    contentType: job.content_type,
    headers: job.headers,
    priority: job.priority,
    delay: job.delay_ms,
    idempotencyKey: job.idempotency_key,
    maxRuntime: job.max_runtime_ms,
    ...(retry === undefined
      ? {}
      : {
          retry: {
            maxAttempts: retry.max_attempts,
            initialBackoff: retry.initial_backoff_ms,
            maxBackoff: retry.max_backoff_ms,
            multiplier: retry.multiplier,
          },
        }),
  };
}

function resultOf(outcome: unknown): object {
  if (outcome instanceof RelayError) {
    const { name: type, reason, code, message } = outcome;
    return { error: { type, reason, code, message } };
  }
  if (outcome instanceof Error) {
    return { error: { type: outcome.name, reason: "", code: "", message: outcome.message } };
  }
  const { id, deduplicated } = outcome as Enqueued;
  return { job_id: id, deduplicated };
}
