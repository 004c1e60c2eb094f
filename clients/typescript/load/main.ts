/** Measures what the SDK does against a server and prints one JSON line: `node build/load/main.js --server HOST:PORT [--jobs N]`.
 *
 * enqueue_per_s      jobs a second, of concurrent enqueue() calls that the SDK coalesces
 * enqueue_batch_per_s  of one enqueueBatch()
 * work_per_s         of one worker with a handler that does nothing, from its first job to its last
 */

import { parseArgs } from "node:util";
import { Client, RelayError, VERSION, Worker } from "../src/index.js";

const { values } = parseArgs({
  options: {
    server: { type: "string", default: "localhost:50051" },
    jobs: { type: "string", default: "10000" },
    "payload-bytes": { type: "string", default: "100" },
    callers: { type: "string", default: "64" },
    concurrency: { type: "string", default: "256" },
    queue: { type: "string", default: `load-typescript-${process.pid}` },
  },
});

const jobs = positive("jobs");
const payload = new Uint8Array(positive("payload-bytes"));

/** Jobs a second of a run of `count` jobs. */
async function rate(count: number, run: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await run();
  return Math.round((count / (performance.now() - began)) * 1_000);
}

async function enqueueEach(client: Client, count: number): Promise<void> {
  let left = count;
  const call = async () => {
    while (left-- > 0) await client.enqueue(values.queue, "noop", payload);
  };
  await Promise.all(Array.from({ length: positive("callers") }, call));
}

async function enqueueAll(client: Client, count: number): Promise<void> {
  const specs = Array.from({ length: count }, () => ({ type: "noop", payload }));
  const failed = (await client.enqueueBatch(values.queue, specs)).find((one) => one instanceof RelayError);
  if (failed !== undefined) throw failed;
}

async function work(count: number): Promise<number> {
  const worker = new Worker(values.server, { queues: values.queue, concurrency: positive("concurrency") });
  let first = 0;
  let last = 0;
  let done = 0;
  worker.handle("noop", () => {
    if (done === 0) first = performance.now();
    done += 1;
    if (done < count) return;
    last = performance.now();
    void worker.stop();
  });
  await worker.run();
  return Math.round((count / (last - first)) * 1_000);
}

function positive(name: "jobs" | "payload-bytes" | "callers" | "concurrency"): number {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`--${name}: ${values[name]} is no positive number`);
  return value;
}

const client = new Client(values.server);
try {
  await client.enqueue(values.queue, "noop", payload); // connects
  const enqueuePerS = await rate(jobs, () => enqueueEach(client, jobs));
  const batchPerS = await rate(jobs, () => enqueueAll(client, jobs));
  const workPerS = await work(2 * jobs + 1);
  const line = {
    sdk: "typescript",
    version: VERSION,
    jobs,
    enqueue_per_s: enqueuePerS,
    enqueue_batch_per_s: batchPerS,
    work_per_s: workPerS,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
} finally {
  await client.close();
}
