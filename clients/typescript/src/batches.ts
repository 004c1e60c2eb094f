/** Cuts jobs into EnqueueBatch calls, and makes a result for each job of an answer or a failure. No I/O. */

import { create, toBinary } from "@bufbuild/protobuf";
import { ErrorReason } from "../gen/relay/v1/errors_pb.js";
import { JobSpecSchema, type JobSpec as WireJob } from "../gen/relay/v1/job_pb.js";
import {
  type EnqueueBatchRequest,
  EnqueueBatchRequestSchema,
  type EnqueueBatchResponse,
  type EnqueueResult,
} from "../gen/relay/v1/queue_service_pb.js";
import {
  fromReason,
  IdempotencyMismatch,
  InvalidField,
  QueueFull,
  RelayError,
  TooLarge,
  type Violation,
} from "./errors.js";
import { newId } from "./ids.js";
import type { Enqueued } from "./jobs.js";
import { BATCH_BYTES_MAX, BATCH_JOBS_MAX } from "./limits.js";

/** The contract allows 3 MiB with everything; the rest is room for the queue's name and the request id. */
export const BULK_BYTES_MAX = BATCH_BYTES_MAX - 1024;
/** Smaller, because somebody waits for each of these jobs. */
export const COALESCED_BYTES_MAX = 2 << 20;

export type Result = Enqueued | RelayError;

const FRAMING_BYTES = 5; // tag and length of a job inside the request
const SMALL_BYTES = 4_096;
const JOB_PATH = /^jobs\[(\d+)\]\.?/;

/** Bytes the job takes inside a request; of a small payload a bound, for encoding a job twice would cost more. */
export function sizeOf(job: WireJob): number {
  if (job.payload.length > SMALL_BYTES) return toBinary(JobSpecSchema, job).length + FRAMING_BYTES;
  let chars = job.type.length + job.contentType.length + job.idempotencyKey.length;
  for (const name in job.headers) chars += name.length + (job.headers[name] ?? "").length + 8;
  // A UTF-16 unit is 3 bytes of UTF-8 at most; 160 is more than all other fields take.
  return job.payload.length + 3 * chars + 160;
}

/** A batch with a request id of its own; repeat exactly this message, so that a repeat is recognised. */
export function toRequest(queue: string, jobs: readonly WireJob[]): EnqueueBatchRequest {
  return create(EnqueueBatchRequestSchema, { queue, jobs: [...jobs], requestId: newId() });
}

/** One result for each job. */
export function toResults(response: EnqueueBatchResponse, jobs: readonly WireJob[]): Result[] {
  if (response.results.length !== jobs.length) {
    throw new RelayError(`the server answered ${response.results.length} results for ${jobs.length} jobs`, {
      code: "INTERNAL",
    });
  }
  return response.results.map((result, at) => toResult(result, jobs[at] as WireJob));
}

function toResult({ reason, jobId, deduplicated }: EnqueueResult, job: WireJob): Result {
  if (reason === ErrorReason.UNSPECIFIED) return { id: jobId, deduplicated };
  let text = `job ${job.id} was refused`;
  if (reason === ErrorReason.IDEMPOTENCY_MISMATCH) {
    text = `idempotency key "${job.idempotencyKey}" is held by job ${jobId} with another type, payload or content type`;
  } else if (reason === ErrorReason.QUEUE_FULL) {
    text = "the queue holds as many jobs as its max_jobs setting allows";
  }
  return fromReason(reason, text, jobId);
}

/**
 * The jobs that a refused batch of `count` jobs was refused for, and the groups to send again.
 *
 * Throws `error` when it is about the call and not about a job of it.
 */
export function sortOut(
  error: unknown,
  count: number,
): { refused: Map<number, RelayError>; groups: number[][] } {
  const all = Array.from({ length: count }, (_, at) => at);
  if (count === 1) {
    const own = [InvalidField, TooLarge, QueueFull, IdempotencyMismatch].some(
      (kind) => error instanceof kind,
    );
    if (!own) throw error;
    return { refused: new Map([[0, error as RelayError]]), groups: [] };
  }
  if (error instanceof InvalidField && error.violations.length > 0) {
    const refused = blamed(error, count);
    if (refused.size === 0) throw error;
    const rest = all.filter((at) => !refused.has(at));
    return { refused, groups: rest.length > 0 ? [rest] : [] };
  }
  if (error instanceof InvalidField || error instanceof TooLarge) {
    // The error names no job: halve the batch until the culprit is alone.
    const middle = Math.floor(count / 2);
    return { refused: new Map(), groups: [all.slice(0, middle), all.slice(middle)] };
  }
  throw error;
}

function blamed(error: InvalidField, count: number): Map<number, RelayError> {
  const found = new Map<number, Violation[]>();
  for (const { field, description } of error.violations) {
    const match = JOB_PATH.exec(field);
    if (match === null || Number(match[1]) >= count) continue;
    const own = { field: field.replace(JOB_PATH, "job.").replace(/\.$/, ""), description };
    const at = Number(match[1]);
    found.set(at, [...(found.get(at) ?? []), own]);
  }
  const { code, reason, metadata } = error;
  return new Map(
    [...found].map(([at, violations]) => {
      const text = violations.map((one) => `${one.field}: ${one.description}`).join("; ");
      return [at, new InvalidField(text, { code, reason, metadata, violations })];
    }),
  );
}

/** Jobs of a bulk call that go into one request, with their places in the caller's order. */
export interface Chunk {
  readonly jobs: WireJob[];
  readonly places: number[];
}

/** Cuts jobs into chunks that fit into one call each, lazily: a generator of millions is never held in whole. */
export function* chunks(jobs: Iterable<readonly [place: number, job: WireJob]>): Generator<Chunk> {
  let chunk: Chunk = { jobs: [], places: [] };
  let bytes = 0;
  for (const [place, job] of jobs) {
    const size = sizeOf(job);
    if (chunk.jobs.length > 0 && (chunk.jobs.length >= BATCH_JOBS_MAX || bytes + size > BULK_BYTES_MAX)) {
      yield chunk;
      chunk = { jobs: [], places: [] };
      bytes = 0;
    }
    chunk.jobs.push(job);
    chunk.places.push(place);
    bytes += size;
  }
  if (chunk.jobs.length > 0) yield chunk;
}
