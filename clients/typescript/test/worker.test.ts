/** Workers against a real server. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  Client,
  type Context,
  Reject,
  RetryLater,
  Worker,
  WorkerFailed,
  type WorkerOptions,
} from "../src/index.js";
import { newQueue, PACKAGE, rejection, Server, within } from "./support/server.js";

const server = new Server();
let relay: Client;

before(async () => {
  await server.start();
  relay = new Client(server.target);
});
after(async () => {
  await relay.close();
  await server.close();
});

function newWorker(queue: string, options: Partial<WorkerOptions> = {}): Worker {
  return new Worker(server.target, {
    queues: queue,
    concurrency: 4,
    lease: "2s",
    drainOn: [],
    log: () => undefined,
    ...options,
  });
}

test("each job runs once, never more at once than there are slots", async () => {
  const queue = newQueue();
  const count = 1_000;
  const ids = (
    await relay.enqueueBatch(
      queue,
      Array.from({ length: count }, (_, payload) => ({ type: "a", payload })),
    )
  ).map((one) => ("id" in one ? one.id : assert.fail(one.message)));
  const seen: string[] = [];
  let running = 0;
  let most = 0;
  const all = within<void>("every job");
  const worker = newWorker(queue, { concurrency: 8 }).handle<number>("a", async (payload, ctx) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    seen.push(ctx.jobId);
    assert.equal(ids[payload], ctx.jobId);
    if (seen.length === count) all.resolve();
  });
  const run = worker.run();
  await all.promise;
  await worker.stop();
  assert.equal(await run, 0);
  assert.deepEqual(seen.sort(), ids.sort());
  assert.ok(most <= 8, `${most} at once`);
});

test("what a handler enqueues goes on in the trace of its job", async () => {
  const queue = newQueue();
  const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
  const seen = new Map<string, string | undefined>();
  const all = within<void>("both jobs");
  const worker = newWorker(queue)
    .handle<string>("first", async (next, ctx) => {
      await new Promise(setImmediate);
      seen.set(`first ${next}`, ctx.traceparent);
      await relay.enqueue(queue, "second", next);
    })
    .handle<string>("second", (name, ctx) => {
      seen.set(name, ctx.traceparent);
      if (seen.size === 4) all.resolve();
    });
  const run = worker.run();
  await relay.enqueue(queue, "first", "traced", { traceparent });
  await relay.enqueue(queue, "first", "plain");
  await all.promise;
  await worker.stop();
  assert.equal(await run, 0);
  assert.deepEqual([...seen].sort(), [
    ["first plain", undefined],
    ["first traced", traceparent],
    ["plain", undefined],
    ["traced", traceparent],
  ]);
});

test("a handler that blocks the event loop for three leases keeps its job", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "block");
  const ran: number[] = [];
  const again = within<void>("the job after it");
  const worker = newWorker(queue, { lease: "1s", concurrency: 1 })
    .handle("block", (_, ctx) => {
      ran.push(ctx.attempt);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000);
      assert.equal(ctx.signal.aborted, false);
    })
    .handle("next", () => again.resolve());
  const run = worker.run();
  await relay.enqueue(queue, "next");
  await again.promise;
  await worker.stop();
  assert.equal(await run, 0);
  assert.deepEqual(ran, [1], "its lease was kept, so nobody got it again");
});

test("what a handler throws is tried again, later, or buried", async () => {
  const queue = newQueue();
  const retry = { initialBackoff: 0, maxBackoff: 0 };
  await relay.enqueue(queue, "fails", 1, { retry });
  await relay.enqueue(queue, "later", 2, { retry });
  await relay.enqueue(queue, "reject", 3, { retry });
  const ran: string[] = [];
  const both = within<void>("the second attempts");
  const note = ({ type, attempt }: Context) => {
    ran.push(`${type} ${attempt}`);
    if (ran.includes("fails 2") && ran.includes("later 2") && ran.includes("reject 1")) both.resolve();
    return attempt;
  };
  const worker = newWorker(queue)
    .handle("fails", (_, ctx) => {
      if (note(ctx) === 1) throw new TypeError("once");
    })
    .handle("later", (_, ctx) => {
      if (note(ctx) === 1) throw new RetryLater("not yet", { after: 0 });
    })
    .handle("reject", (_, ctx) => {
      note(ctx);
      throw new Reject("never");
    });
  const run = worker.run();
  await both.promise;
  await worker.stop();
  await run;
  assert.deepEqual(ran.sort(), ["fails 1", "fails 2", "later 1", "later 2", "reject 1"]);
});

test("a handler over its longest run is stopped, and its job tried again", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "slow", 1, { retry: { initialBackoff: 0, maxBackoff: 0 } });
  const stopped = within<unknown>("the signal");
  const second = within<void>("the second attempt");
  const worker = newWorker(queue).handle(
    "slow",
    async (_, { attempt, signal }) => {
      if (attempt > 1) {
        second.resolve();
        return;
      }
      await once(signal, "abort");
      stopped.resolve(signal.reason);
    },
    { maxRuntime: "200ms" },
  );
  const run = worker.run();
  assert.match(String(await stopped.promise), /longer than its maxRuntime/);
  await second.promise;
  await worker.stop();
  await run;
});

test("a worker outlives its server: the job it holds is done when the server is back", async () => {
  const own = await new Server().start();
  const client = new Client(own.target);
  try {
    const queue = newQueue();
    await client.enqueue(queue, "first");
    const started = within<void>("the first job");
    const goOn = within<void>("the word to go on");
    const ran: string[] = [];
    const second = within<void>("the second job");
    const options = {
      queues: queue,
      concurrency: 1,
      lease: "30s",
      drainOn: [],
      log: () => undefined,
    } as const;
    const worker = new Worker(own.target, options)
      .handle("first", async (_, { attempt }) => {
        ran.push(`first ${attempt}`);
        started.resolve();
        await goOn.promise;
      })
      .handle("second", () => second.resolve());
    const run = worker.run();
    await started.promise;
    await own.end("SIGTERM");
    goOn.resolve();
    await own.start();
    await client.enqueue(queue, "second");
    await second.promise;
    await worker.stop();
    assert.equal(await run, 0);
    assert.deepEqual(ran, ["first 1"]);
  } finally {
    await client.close();
    await own.close();
  }
});

test("on SIGTERM a worker finishes what runs and ends", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "slow");
  const program = fileURLToPath(new URL("support/sigterm-worker.js", import.meta.url));
  const child = spawn(process.execPath, [program, server.target, queue], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  let said = "";
  const started = within<void>("the job");
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes("started")) started.resolve();
  });
  await started.promise;
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  assert.equal(said, "started\ndone\nunsettled 0\n");
});

test("a worker the server refuses says why", async () => {
  const error = await rejection(newWorker("bad name").run(), WorkerFailed);
  assert.match(error.message, /refused the claim.*bad name/);
});

test("an aborted signal, and a flag set by another thread, end a worker", async () => {
  const stop = new AbortController();
  const first = newWorker(newQueue()).run({ signal: stop.signal });
  stop.abort();
  assert.equal(await first, 0);
  const drainFlag = new Int32Array(new SharedArrayBuffer(4));
  const second = newWorker(newQueue(), { drainFlag }).run();
  Atomics.store(drainFlag, 0, 1);
  assert.equal(await second, 0);
});

test("the README's example does what it says", async () => {
  const example = /```js\n([\s\S]*?)```/.exec(readFileSync(`${PACKAGE}README.md`, "utf8"))?.[1];
  assert.ok(example, "README.md has no js example");
  // Inside the package its name leads to itself, as it would for one who installed it.
  const file = `${PACKAGE}build/readme-example-${process.pid}.mjs`;
  writeFileSync(file, example);
  try {
    const env = { ...process.env, RELAY_SERVER: server.target };
    const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
    assert.match(stdout, /^enqueued [0-9a-f-]{36}\nwelcome a@example.com, attempt 1\n$/);
  } finally {
    rmSync(file);
  }
});

test("the load command prints one line of figures", async () => {
  const command = fileURLToPath(new URL("../load/main.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    command,
    "--server",
    server.target,
    "--jobs",
    "300",
  ]);
  const line = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(line.sdk, "typescript");
  for (const name of ["enqueue_per_s", "enqueue_batch_per_s", "work_per_s"])
    assert.ok(Number(line[name]) > 0, name);
});
