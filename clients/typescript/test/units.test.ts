/** What is decided without I/O: ids, durations, targets, jobs, errors, batches, repeats. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { ErrorReason } from "../gen/relay/v1/errors_pb.js";
import { chunks, sizeOf, sortOut } from "../src/batches.js";
import { connection, parseTargets } from "../src/connection.js";
import { durationMs, parseDuration, toDuration } from "../src/durations.js";
import {
  BY_REASON,
  DeadlineExceeded,
  fromStatus,
  InvalidField,
  Overloaded,
  QueueFull,
  RelayError,
  StoreUnavailable,
  TooLarge,
  Unavailable,
} from "../src/errors.js";
import { newId } from "../src/ids.js";
import { type JobSpec, toWire } from "../src/jobs.js";
import * as limits from "../src/limits.js";
import { Attempts, parseTimeout } from "../src/retry.js";
import { inTrace } from "../src/trace.js";
import { VERSION } from "../src/version.js";
import { PACKAGE } from "./support/server.js";

test("the version is that of package.json", () => {
  const { version } = JSON.parse(readFileSync(`${PACKAGE}package.json`, "utf8")) as { version: string };
  assert.equal(VERSION, version);
});

test("the limits are those of docs/protocol.md", () => {
  const page = readFileSync(`${PACKAGE}../../docs/protocol.md`, "utf8");
  const rows = page.matchAll(/^\|[^|]+\|([^|]+)\|[^|]*\| `([A-Z_]+)` \|$/gm);
  const table = new Map([...rows].map(([, value, name]) => [name, Number(value?.replaceAll(" ", ""))]));
  const own = Object.entries(limits);
  assert.ok(own.length > 0);
  for (const [name, value] of own) assert.equal(value, table.get(name), name);
});

test("ids are UUIDv7 and rise, also when the clock does not", () => {
  const now = Date.now() + 60_000; // beyond what other tests minted
  const ids = Array.from({ length: 10_000 }, (_, at) => newId(at === 5_000 ? now - 1_000 : now));
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(Number.parseInt((ids[0] ?? "").replaceAll("-", "").slice(0, 12), 16), now);
});

test("durations are read as people write them", () => {
  const read = {
    "250ms": 250,
    "30s": 30_000,
    "1h30m": 5_400_000,
    " 2d ": 172_800_000,
    "1.5s": 1_500,
    "10us": 0.01,
  };
  for (const [text, ms] of Object.entries(read)) assert.equal(parseDuration(text), ms);
  assert.equal(parseDuration(12.5), 12.5);
  for (const text of ["", "5", "5x", "m5", "5m x", "-5s"])
    assert.throws(() => parseDuration(text, "delay"), /^RangeError: delay: /);
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => parseDuration(ms), RangeError);
  for (const ms of [0, 0.001, 1, 1_500.25, 3.15e10]) assert.equal(durationMs(toDuration(ms)), ms);
});

test("targets are split, completed and checked", () => {
  assert.deepEqual(parseTargets("a:1, b ,a:1,dns:///c:2,[::1],unix:/run/x"), [
    "a:1",
    "b:50051",
    "dns:///c:2",
    "[::1]:50051",
    "unix:/run/x",
  ]);
  for (const wrong of ["", "a:0", "a:70000", "a:x", ":1", "::1", "http://a", "a b", "unix:"]) {
    assert.throws(() => parseTargets(wrong), /^RangeError: target: /, wrong);
  }
});

test("a token leaves the machine only under TLS", () => {
  assert.throws(() => connection("relay.example:1", { token: "x" }), /set tls: true/);
  assert.equal(connection("localhost,127.0.0.2:1,[::1],unix:/x", { token: "x" }).token, "x");
  assert.equal(connection("relay.example", { token: "x", tls: true }).token, "x");
  assert.throws(() => connection("localhost", { token: "two words" }), /^RangeError: token/);
  assert.throws(() => connection("localhost", { caFile: "/x" }), /caFile: has no effect without TLS/);
  assert.throws(() => connection("localhost", { tls: true, caFile: "/nowhere" }), /caFile: cannot read/);
  assert.throws(() => connection("localhost", { tls: true, certFile: "/x" }), /needs both/);
  const noPem = { tls: true, certFile: `${PACKAGE}package.json`, keyFile: `${PACKAGE}package.json` };
  assert.throws(() => connection("localhost", noPem), /^RangeError: .*keyFile: cannot be used/);
});

test("a job on the wire says what the producer said", () => {
  const wire = toWire({
    type: "welcome",
    payload: { to: "ü" },
    delay: "5m",
    priority: -3,
    headers: { a: "b" },
    traceparent: "00-1-2-01",
    idempotencyKey: "k",
    idempotencyWindow: "1h",
    retry: { maxAttempts: 3, initialBackoff: 100, maxBackoff: "1s", multiplier: 1.5 },
    maxRuntime: "30s",
    expiresAt: new Date(1_700_000_000_123),
  });
  assert.equal(Buffer.from(wire.payload).toString(), '{"to":"ü"}');
  assert.deepEqual(wire.headers, { a: "b", traceparent: "00-1-2-01" });
  assert.equal(wire.schedule.case === "delay" && durationMs(wire.schedule.value), 300_000);
  assert.equal(wire.priority, -3);
  assert.equal(wire.contentType, "");
  assert.equal(durationMs(wire.idempotencyWindow), 3_600_000);
  assert.equal(durationMs(wire.retry?.maxBackoff), 1_000);
  assert.equal(durationMs(wire.maxRuntime), 30_000);
  assert.deepEqual([wire.expiresAt?.seconds, wire.expiresAt?.nanos], [1_700_000_000n, 123_000_000]);
  const bytes = toWire({ type: "x", payload: new Uint8Array([0, 255]) });
  assert.deepEqual([bytes.contentType, [...bytes.payload]], ["application/octet-stream", [0, 255]]);
  assert.equal(Buffer.from(toWire({ type: "x" }).payload).toString(), "null");
  assert.equal(toWire({ type: "x", payload: "<a/>", contentType: "text/xml" }).payload.length, 4);
});

test("what cannot be sent is refused by name", () => {
  const ring: Record<string, unknown> = {};
  ring.self = ring;
  const wrong: [Partial<JobSpec>, RegExp][] = [
    [{ delay: 1, runAt: new Date() }, /delay and runAt/],
    [{ delay: "soon" }, /^RangeError: delay/],
    [{ runAt: new Date("x") }, /runAt: is an invalid Date/],
    [{ idempotencyWindow: "1h" }, /idempotencyWindow/],
    [{ priority: 1.5 }, /priority/],
    [{ retry: { maxAttempts: 0 } }, /retry.maxAttempts/],
    [{ retry: { multiplier: 0.5 } }, /retry.multiplier/],
    [{ payload: ring }, /^TypeError: payload/],
    [{ payload: () => 1 }, /^TypeError: payload/],
    [{ payload: 10n }, /^TypeError: payload/],
    [{ payload: {}, contentType: "text/plain" }, /cannot be sent as text\/plain/],
    [{ headers: { a: 1 as unknown as string } }, /^TypeError: headers/],
  ];
  for (const [fields, text] of wrong) assert.throws(() => toWire({ type: "x", ...fields }), text);
});

test("each reason of the contract has one class", () => {
  const names = Object.keys(ErrorReason).filter(
    (name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED",
  );
  assert.deepEqual(Object.keys(BY_REASON).sort(), names.sort());
  const plain = (text: string) => text.replaceAll("_", "").toLowerCase();
  for (const [reason, [kind]] of Object.entries(BY_REASON)) assert.equal(plain(kind.name), plain(reason));
});

test("a status becomes its typed error, with all that its details say", () => {
  const status = create(StatusSchema, {
    details: [
      anyPack(
        ErrorInfoSchema,
        create(ErrorInfoSchema, { domain: "relay", reason: "STORE_UNAVAILABLE", metadata: { a: "b" } }),
      ),
      anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: toDuration(1_500) })),
      anyPack(
        BadRequestSchema,
        create(BadRequestSchema, { fieldViolations: [{ field: "f", description: "d" }] }),
      ),
    ],
  });
  const error = fromStatus("UNAVAILABLE", "text", status);
  assert.ok(error instanceof StoreUnavailable && error instanceof Unavailable);
  assert.deepEqual(
    [
      error.name,
      error.message,
      error.code,
      error.reason,
      error.metadata,
      error.retryAfterMs,
      error.violations,
    ],
    [
      "StoreUnavailable",
      "text",
      "UNAVAILABLE",
      "STORE_UNAVAILABLE",
      { a: "b" },
      1_500,
      [{ field: "f", description: "d" }],
    ],
  );
  assert.ok(
    fromStatus("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs 4)") instanceof TooLarge,
  );
  assert.ok(fromStatus("CANCELLED", "") instanceof Unavailable);
  assert.equal(fromStatus("ABORTED", "x").constructor, RelayError);
});

test("a refused batch is sorted into those to blame and those to send again", () => {
  const blame = new InvalidField("x", {
    violations: [
      { field: "jobs[1].type", description: "is required" },
      { field: "jobs[1].priority", description: "too high" },
      { field: "jobs[9].type", description: "beyond the batch" },
    ],
  });
  const { refused, groups } = sortOut(blame, 3);
  assert.deepEqual(groups, [[0, 2]]);
  assert.equal(refused.get(1)?.message, "job.type: is required; job.priority: too high");
  assert.deepEqual(sortOut(new TooLarge("x"), 3).groups, [[0], [1, 2]]);
  assert.ok(sortOut(new QueueFull("x"), 1).refused.get(0) instanceof QueueFull);
  assert.throws(() => sortOut(new Unavailable("x"), 1), Unavailable);
  assert.throws(
    () => sortOut(new InvalidField("x", { violations: [{ field: "queue", description: "bad" }] }), 2),
    InvalidField,
  );
});

test("bulk jobs are cut by number and by bytes", () => {
  const small = toWire({ type: "x", payload: 1 });
  const large = toWire({ type: "x", payload: new Uint8Array(1 << 20) });
  assert.deepEqual(
    [...chunks(Array.from({ length: 1_100 }, (_, at) => [at, small] as const))].map((one) => one.jobs.length),
    [limits.BATCH_JOBS_MAX, limits.BATCH_JOBS_MAX, 100],
  );
  assert.deepEqual(
    [...chunks([0, 1, 2].map((at) => [at, large] as const))].map((one) => one.places),
    [[0, 1], [2]],
  );
  assert.ok(sizeOf(large) > 1 << 20);
});

test("UNAVAILABLE and OVERLOADED are repeated, with full jitter, under the deadline", () => {
  let now = 0;
  const attempts = new Attempts(
    2,
    1_000,
    () => now,
    () => 0.5,
  );
  assert.equal(attempts.pauseAfter(new Unavailable("first")), 0, "another target is tried at once");
  assert.equal(attempts.pauseAfter(new Unavailable("x")), 50);
  assert.equal(attempts.pauseAfter(new Unavailable("x")), 100);
  assert.equal(attempts.pauseAfter(new Unavailable("x", { retryAfterMs: 300 })), 500);
  assert.equal(
    new Attempts(
      2,
      1_000,
      () => now,
      () => 0,
    ).pauseAfter(new Overloaded("x", { retryAfterMs: 300 })),
    300,
  );
  assert.throws(() => attempts.pauseAfter(new Overloaded("x")), Overloaded, "it does not say when");
  assert.throws(() => attempts.pauseAfter(new QueueFull("x", { retryAfterMs: 300 })), QueueFull);
  assert.throws(
    () => attempts.pauseAfter(new DeadlineExceeded("x")),
    Unavailable,
    "the last reason says more",
  );
  now = 900;
  assert.throws(() => attempts.pauseAfter(new Unavailable("too late")), /too late/);
  now = 1_001;
  assert.throws(() => attempts.remaining(), /too late/);
  assert.throws(() => new Attempts(1, 0, () => 1).remaining(), DeadlineExceeded);
  assert.throws(() => parseTimeout("30s"), /below 30000 ms/);
});

test("the traceparent of a handler's job is not added to headers that are full", () => {
  const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const many = Object.fromEntries(Array.from({ length: 32 }, (_, at) => [String(at), ""]));
  const long = { note: "ü".repeat(4_000) };
  const added = (headers: Record<string, string>) =>
    inTrace(parent, () => toWire({ type: "t", headers }).headers.traceparent);
  assert.equal(added(many), undefined);
  assert.equal(added({ ...long, more: "x".repeat(180) }), undefined);
  assert.equal(added(long), parent);
});
