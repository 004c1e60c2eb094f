/** What a worker decides without I/O: outcomes, decoding, the window, when settles are sent. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { JobsSchema, NackKind } from "../gen/relay/v1/queue_service_pb.js";
import { toDuration } from "../src/durations.js";
import { ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX } from "../src/limits.js";
import { type HeldJob, received } from "../src/net/model.js";
import { Outbox, SETTLE_LINGER_MS } from "../src/net/outbox.js";
import { Window } from "../src/net/window.js";
import type { Context } from "../src/worker/context.js";
import { decode } from "../src/worker/decoding.js";
import { Executor } from "../src/worker/execution.js";
import {
  cutEnd,
  failureOf,
  type Outcome,
  outcomeOf,
  Reject,
  RetryLater,
  Throttled,
  UndecodablePayload,
  UnknownJobType,
} from "../src/worker/outcome.js";
import { Worker } from "../src/worker/worker.js";

function take(count: number, maxRuntimeMs: Record<string, number> = {}): HeldJob[] {
  const frame = create(JobsSchema, {
    queue: "q",
    leaseToken: new Uint8Array(16),
    leaseRemaining: toDuration(3_000),
    jobs: Array.from({ length: count }, (_, at) => ({
      job: { id: `job-${at}`, type: "t", ...(at === 0 ? { maxRuntime: toDuration(500) } : {}) },
      attempt: 1,
      epoch: 1n,
    })),
  });
  return [...received(frame, 1_000, 1_000, maxRuntimeMs, () => false).group.jobs.values()];
}

function nackOf(outcome: Outcome): NackKind | "ack" {
  return outcome === "ack" ? "ack" : outcome.nack;
}

test("what a handler does decides its job's outcome", () => {
  const thrown = (error: unknown) => ({ thrown: error });
  assert.equal(outcomeOf(undefined), "ack");
  assert.equal(nackOf(outcomeOf(thrown(new Error("x")))), NackKind.RETRY);
  assert.equal(nackOf(outcomeOf(thrown(undefined))), NackKind.RETRY);
  assert.equal(nackOf(outcomeOf(thrown(new UnknownJobType("x")))), NackKind.RETRY);
  assert.equal(nackOf(outcomeOf(thrown(new UndecodablePayload("x")))), NackKind.DEAD);
  assert.deepEqual(outcomeOf(thrown(new Reject("bad"))), {
    nack: NackKind.DEAD,
    error: { type: "Rejected", message: "bad", stack: "" },
  });
  assert.deepEqual(outcomeOf(thrown(new Throttled("x", { after: "2s" }))), {
    nack: NackKind.THROTTLED,
    afterMs: 2_000,
  });
  const later = outcomeOf(thrown(new RetryLater("x", { after: 5, cause: new TypeError("why") })));
  assert.ok(
    later !== "ack" &&
      later.afterMs === 5 &&
      later.error?.type === "TypeError" &&
      later.error.message === "why",
  );
});

test("a handler that was told to stop gives its job back, unless it returned: then it was done", () => {
  assert.equal(outcomeOf(undefined, "shutdown"), "ack");
  assert.equal(nackOf(outcomeOf({ thrown: new Error("aborted") }, "shutdown")), NackKind.RELEASE);
  assert.equal(nackOf(outcomeOf({ thrown: new Reject("bad") }, "shutdown")), NackKind.DEAD);
});

test("errors keep within the limits of the contract, whatever was thrown", () => {
  class Custom extends Error {}
  const long = new Custom("ü".repeat(9_000));
  long.name = "N".repeat(500);
  const failure = failureOf(long);
  assert.ok(Buffer.byteLength(failure.type) <= ERROR_TYPE_BYTES_MAX);
  assert.ok(Buffer.byteLength(failure.message) + Buffer.byteLength(failure.stack) <= ERROR_BYTES_MAX);
  assert.ok(failure.message.endsWith("…") && failure.stack.endsWith("…"));
  assert.equal(failureOf(new Custom("x")).type, "Custom");
  assert.match(failureOf(new Error("a", { cause: new Error("root") })).stack, /caused by: Error: root/);
  assert.deepEqual(failureOf("text"), { type: "string", message: "text", stack: "" });
  assert.equal(failureOf(null).message, "null");
  assert.equal(
    failureOf({
      toString: () => {
        throw new Error("no");
      },
    }).message,
    "(the error's text could not be read)",
  );
  const ring = new Error("ring");
  ring.cause = ring;
  assert.ok(failureOf(ring).stack.length > 0);
  assert.equal(cutEnd("aüü", 5), "aüü");
  assert.equal(cutEnd("aüüü", 6), "aü…");
});

test("payloads are decoded by their content type", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assert.deepEqual(decode(bytes('{"a":1}'), "", "auto"), { a: 1 });
  assert.deepEqual(decode(bytes("[1]"), "application/x+json; charset=utf-8", "json"), [1]);
  assert.equal(decode(new Uint8Array(), "", "auto"), undefined);
  assert.equal(decode(bytes("ü"), "text/plain", "auto"), "ü");
  const raw = new Uint8Array([255]);
  assert.equal(decode(raw, "image/png", "auto"), raw);
  assert.equal(decode(raw, "", "bytes"), raw);
  assert.throws(() => decode(raw, "", "auto"), UndecodablePayload);
  assert.throws(() => decode(bytes("{"), "", "auto"), UndecodablePayload);
  assert.throws(() => decode(raw, "image/png", "json"), /content type "image\/png" is not JSON/);
  const parse = () => {
    throw new TypeError("n: expected a number");
  };
  assert.throws(() => decode(bytes("{}"), "", "json", parse), /^UndecodablePayload: n: expected a number/);
});

test("the window counts a job until its settle is sent and its handler has ended", () => {
  const window = new Window(4);
  assert.equal(window.restatement(), undefined, "there is no session to name yet");
  window.opened("s", 7);
  const jobs = take(3);
  window.took(4, 3);
  const report = window.restatement();
  assert.deepEqual([report?.received, report?.inFlight, report?.seq, report?.stream], [4n, 3, 1n, 7]);
  const [first, second] = jobs as [HeldJob, HeldJob];
  first.busy = false;
  assert.equal(window.settleBegins([first, second])?.inFlight, 2, "the second's handler still runs");
  assert.equal(window.restatement(), undefined, "a settle on its way states the window itself");
  window.settleFailed([first, second]);
  assert.equal(window.inFlight, 3);
  window.settleBegins([first, second]);
  window.settleEnded();
  assert.ok(window.slotFree(second));
  assert.equal(window.inFlight, 1);
  assert.ok(window.differs(2) && !window.differs(1));
  window.newStream();
  assert.equal(window.restatement()?.received, 0n);
  window.close();
  assert.equal(window.restatement()?.inFlight, 4, "a closed window says that it is full");
  assert.ok(!window.differs(2));
});

test("the shorter of the job's and the handler's longest run counts", () => {
  const ends = take(2, { t: 800 }).map((job) => job.runtimeEndsAt);
  assert.deepEqual(ends, [1_500, 1_800]);
  assert.equal(take(2)[1]?.runtimeEndsAt, Number.POSITIVE_INFINITY);
});

test("a job that is twice in one frame runs once", () => {
  const one = { job: { id: "same", type: "t" }, attempt: 1, epoch: 1n };
  const frame = create(JobsSchema, { queue: "q", leaseToken: new Uint8Array(16), jobs: [one, one] });
  const { group, data } = received(frame, 1_000, 1_000, {}, () => false);
  assert.deepEqual([group.jobs.size, data.length], [1, 1]);
});

test("settles are sent when idle, when there are 64, or after the linger; one call at a time", () => {
  const outbox = new Outbox(500, () => 1);
  const jobs = take(130);
  assert.equal(outbox.dueAt(true), Number.POSITIVE_INFINITY);
  outbox.add(jobs[0] as HeldJob, 100);
  assert.equal(outbox.dueAt(false), 100 + SETTLE_LINGER_MS);
  assert.equal(outbox.dueAt(true), 0);
  for (const job of jobs.slice(1, 64)) outbox.add(job, 101);
  assert.equal(outbox.dueAt(false), 0);
  const sent = outbox.take();
  assert.equal(sent.length, 64);
  for (const job of jobs.slice(64)) outbox.add(job, 102);
  assert.equal(outbox.dueAt(true), Number.POSITIVE_INFINITY, "one is on its way");
  outbox.failed(sent, 200);
  assert.equal(outbox.dueAt(true), 250, "after its pause");
  assert.equal(outbox.unsettled, 130);
  assert.equal(outbox.take()[0], jobs[0], "those whose leases end first go first");
  outbox.answered();
  assert.equal(outbox.unsettled, 0);
  outbox.add(jobs[0] as HeldJob, 300);
  assert.deepEqual(outbox.takeEnded(4_000), [jobs[0]], "its lease is over and it was tried");
});

test("of jobs that came together and block, each is told before the next begins", async () => {
  const data = { payload: new Uint8Array(), contentType: "", type: "block", headers: {}, queue: "q" };
  const jobs = [1, 2, 3].map((key) => ({
    ...data,
    key,
    id: String(key),
    attempt: 1,
    maxAttempts: 1,
    epoch: 1n,
    idempotencyKey: "",
  }));
  const log: string[] = [];
  await new Promise<void>((resolve) => {
    const run = (_: unknown, { jobId }: Context) => {
      log.push(`begins ${jobId}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    };
    const handlers = new Map([["block", { run, payload: "bytes" as const, parse: undefined }]]);
    const executor = new Executor(handlers, 3, {
      onEnd: ({ id }, outcome) => {
        log.push(`${String(outcome)} ${id}`);
        if (id === "3") resolve();
      },
      progress: () => undefined,
    });
    executor.start(jobs);
  });
  assert.deepEqual(log, ["begins 1", "ack 1", "begins 2", "ack 2", "begins 3", "ack 3"]);
});

test("a worker's options are checked by name", () => {
  const wrong: [object, RegExp][] = [
    [{ queues: [] }, /^RangeError: queues/],
    [{ queues: { a: 101 } }, /the weight of "a"/],
    [{ queues: "a", concurrency: 0 }, /^RangeError: concurrency/],
    [{ queues: "a", lease: "10ms" }, /^RangeError: lease/],
    [{ queues: "a", workerId: "" }, /^RangeError: workerId/],
    [{ queues: "a", drainFlag: new Int32Array(1) }, /^TypeError: drainFlag/],
  ];
  for (const [options, text] of wrong) {
    assert.throws(() => new Worker("localhost", options as ConstructorParameters<typeof Worker>[1]), text);
  }
  const worker = new Worker("localhost", { queues: "a" }).handle("t", () => undefined);
  assert.throws(() => worker.handle("t", () => undefined), /already has a handler/);
  assert.throws(() => worker.handle("", () => undefined), /1 to 128 bytes/);
  assert.equal(worker.health(), "not started");
});
