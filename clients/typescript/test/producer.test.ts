/** The producer against a real server. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { types } from "node:util";
import {
  Aborted,
  Client,
  DeadlineExceeded,
  IdempotencyMismatch,
  InvalidField,
  RelayError,
  TooLarge,
  Unavailable,
} from "../src/index.js";
import { newQueue, rejection, Server } from "./support/server.js";

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

test("an enqueued job is claimed as it was described", async () => {
  const queue = newQueue();
  const headers = { "x-ünïcode": "日本語" };
  const { id, deduplicated } = await relay.enqueue(
    queue,
    "welcome",
    { to: "日本語 🚀", n: 1.5 },
    { headers, priority: 3 },
  );
  assert.equal(deduplicated, false);
  for await (const job of relay.claim(queue)) {
    assert.deepEqual([job.jobId, job.type, job.queue, job.attempt], [id, "welcome", queue, 1]);
    assert.deepEqual(job.payload(), { to: "日本語 🚀", n: 1.5 });
    assert.deepEqual({ ...job.headers }, headers);
    await job.ack();
    break;
  }
});

test("bytes arrive as they are", async () => {
  const queue = newQueue();
  const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
  await relay.enqueue(queue, "raw", bytes);
  for await (const job of relay.claim(queue)) {
    assert.deepEqual(new Uint8Array(job.payload<Uint8Array>()), bytes);
    await job.ack();
    break;
  }
});

test("an idempotency key is taken once, and held against another payload", async () => {
  const queue = newQueue();
  const first = await relay.enqueue(queue, "a", 1, { idempotencyKey: "k" });
  assert.deepEqual(await relay.enqueue(queue, "a", 1, { idempotencyKey: "k" }), {
    id: first.id,
    deduplicated: true,
  });
  const error = await rejection(relay.enqueue(queue, "a", 2, { idempotencyKey: "k" }), IdempotencyMismatch);
  assert.equal(error.jobId, first.id);
});

test("of calls that share an RPC each has its own result", async () => {
  const queue = newQueue();
  const [good, bad, large, last] = await Promise.allSettled([
    relay.enqueue(queue, "a", 1),
    relay.enqueue(queue, "", 1),
    relay.enqueue(queue, "a", new Uint8Array(1_100_000)),
    relay.enqueue(queue, "a", 2),
  ]);
  assert.deepEqual(
    [good.status, bad.status, large.status, last.status],
    ["fulfilled", "rejected", "rejected", "fulfilled"],
  );
  const reason = bad.status === "rejected" ? bad.reason : undefined;
  assert.ok(reason instanceof InvalidField);
  assert.deepEqual(
    reason.violations.map((one) => one.field),
    ["job.type"],
  );
  assert.ok(large.status === "rejected" && large.reason instanceof TooLarge);
});

test("a bulk call gives each job its result, in order", async () => {
  const queue = newQueue();
  const jobs = Array.from({ length: 1_203 }, (_, at) => ({ type: at === 700 ? "" : "a", payload: at }));
  const answered: number[] = [];
  const results = await relay.enqueueBatch(queue, [...jobs, { type: "a", delay: "soon" }], {
    progress: (count) => answered.push(count),
  });
  assert.equal(results.length, 1_204);
  const refused = results.flatMap((one, at) => (one instanceof RelayError ? [at] : []));
  assert.deepEqual(refused, [700, 1_203]);
  assert.equal(answered.at(-1), 1_203);
  const ids = results.flatMap((one) => (one instanceof RelayError ? [] : [one.id]));
  assert.deepEqual([...ids].sort(), ids);
});

test("a call is given up by its signal, its timeout, or the end of its client", async () => {
  const given = AbortSignal.abort(new Error("enough"));
  const error = await rejection(relay.enqueue(newQueue(), "a", 1, { signal: given }), Aborted);
  assert.match(error.message, /enough/);
  // Port 9 of this machine answers nothing but refusals.
  const nobody = new Client("127.0.0.1:9", { timeout: "300ms" });
  await rejection(nobody.enqueue("q", "a"), Unavailable);
  const waiting = nobody.enqueue("q", "a", 1, { timeout: "20s" });
  await nobody.close();
  await rejection(waiting, Aborted);
  await rejection(nobody.enqueue("q", "a"), Aborted);
  assert.throws(() => nobody.claim("q"), Aborted);
  assert.ok(!(error instanceof DeadlineExceeded));
});

test("the error of a call is an error of its own, with its cause", async () => {
  const nobody = new Client("127.0.0.1:9", { timeout: "300ms" });
  try {
    const [one, other] = await Promise.all(
      [1, 2].map((payload) => rejection(nobody.enqueue("q", "a", payload), Unavailable)),
    );
    assert.notEqual(one, other);
    assert.ok(types.isNativeError(one), "reporters and loggers know it by that");
    assert.ok(one?.cause instanceof Error, "what gRPC said is its cause");
  } finally {
    await nobody.close();
  }
});

test("a bulk call rejects for what is no job's", async () => {
  const jobs = [{ type: "a" }];
  await rejection(relay.enqueueBatch(newQueue(), jobs, { timeout: "40s" }), RangeError);
  const error = new TypeError("of the caller's own");
  let calls = 0;
  const progress = () => {
    calls += 1;
    if (calls === 1) throw error;
  };
  assert.equal(await rejection(relay.enqueueBatch(newQueue(), jobs, { progress }), TypeError), error);
});

test("one signal may serve many calls", async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on("warning", note);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 12 }, () => relay.enqueue(newQueue(), "a", 1, { signal })));
  await new Promise(setImmediate); // warnings are told in a turn of their own
  process.off("warning", note);
  assert.deepEqual(warnings, []);
});

test("with a list of targets the one that answers is found", async () => {
  const list = new Client(`127.0.0.1:9,${server.target}`, { timeout: "5s" });
  try {
    assert.equal((await list.enqueue(newQueue(), "a")).deduplicated, false);
  } finally {
    await list.close();
  }
});
