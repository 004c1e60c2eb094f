/** The thread of the command `work`: one worker whose handlers do as they were told. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { workerData } from "node:worker_threads";
import { Reject, RetryLater, Throttled, Worker } from "../src/index.js";
import { emit } from "./emit.js";
const { command, drainFlag } = workerData;
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
    const options = spec.decode === "json"
        ? { payload: "json", parse: numbered }
        : { payload: "bytes" };
    worker.handle(type, (payload, context) => handle(spec, payload, context), options);
}
const ended = worker.run();
emit("working");
emit("stopped", { error: await ended.then(() => "", String) });
async function handle(spec, payload, context) {
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
    }
    finally {
        emit("job_finished", job);
    }
}
async function perform(spec, context, cancelled) {
    const { ms = 0, message = "", after_ms: after } = spec;
    const later = after === undefined ? {} : { after };
    switch (spec.do) {
        case "ok":
            return;
        case "fail":
            throw new Error(message);
        case "sleep":
            await sleep(ms, undefined, { signal: context.signal }).catch((error) => {
                cancelled();
                throw error;
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
function numbered(value) {
    const n = value?.n;
    if (typeof n !== "number")
        throw new TypeError("n: expected a number");
    return { n };
}
