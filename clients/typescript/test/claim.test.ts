/** Claims to iterate, against a real server. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, LeaseLost, RelayError } from "../src/index.js";
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

test("jobs that were not settled when the loop ends run again, their attempt returned", async () => {
  const queue = newQueue();
  await relay.enqueueBatch(
    queue,
    [1, 2, 3].map((payload) => ({ type: "a", payload })),
  );
  for await (const job of relay.claim(queue, { concurrency: 3 })) {
    assert.equal(job.attempt, 1);
    break;
  }
  const seen: unknown[] = [];
  for await (const job of relay.claim(queue)) {
    assert.equal(job.attempt, 1);
    seen.push(job.payload());
    await job.ack();
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen.sort(), [1, 2, 3]);
});

test("a nacked job comes back with its attempt counted", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "a");
  const attempts: number[] = [];
  for await (const job of relay.claim(queue)) {
    attempts.push(job.attempt);
    if (job.attempt === 2) {
      await job.ack();
      break;
    }
    await job.nack({ after: 0, error: new Error("again") });
  }
  assert.deepEqual(attempts, [1, 2]);
});

test("a job is settled once", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "a");
  for await (const job of relay.claim(queue)) {
    await job.ack();
    await rejection(job.nack(), Error);
    break;
  }
});

test("an ack after the lease was lost says so", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "a", 1, { maxRuntime: "200ms" });
  for await (const job of relay.claim(queue)) {
    if (job.attempt > 1) {
      await job.ack();
      break;
    }
    // The job's own limit ends it, as a lost lease would: it is nacked without us.
    const { signal } = job;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await rejection(job.ack(), LeaseLost);
  }
});

test("a log that throws costs nothing", async () => {
  const queue = newQueue();
  await relay.enqueue(queue, "a");
  const log = () => {
    throw new Error("the disk is full");
  };
  for await (const job of relay.claim(queue, { log })) {
    await job.ack();
    break;
  }
});

test("the signal ends the loop", async () => {
  const stop = new AbortController();
  const queue = newQueue();
  await relay.enqueue(queue, "a");
  let count = 0;
  for await (const job of relay.claim(queue, { signal: stop.signal })) {
    count += 1;
    await job.ack();
    stop.abort();
  }
  assert.equal(count, 1);
  for await (const _ of relay.claim(queue, { signal: stop.signal })) assert.fail("aborted before it began");
});

test("a claim the server refuses for good rejects", async () => {
  const error = await rejection(relay.claim("bad name").next(), RelayError);
  assert.match(error.message, /refused the claim/);
  assert.ok(!(error instanceof LeaseLost));
});
