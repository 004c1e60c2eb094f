/** The command `produce`: one client, its jobs, its results. */
var __addDisposableResource = (this && this.__addDisposableResource) || function (env, value, async) {
    if (value !== null && value !== void 0) {
        if (typeof value !== "object" && typeof value !== "function") throw new TypeError("Object expected.");
        var dispose, inner;
        if (async) {
            if (!Symbol.asyncDispose) throw new TypeError("Symbol.asyncDispose is not defined.");
            dispose = value[Symbol.asyncDispose];
        }
        if (dispose === void 0) {
            if (!Symbol.dispose) throw new TypeError("Symbol.dispose is not defined.");
            dispose = value[Symbol.dispose];
            if (async) inner = dispose;
        }
        if (typeof dispose !== "function") throw new TypeError("Object not disposable.");
        if (inner) dispose = function() { try { inner.call(this); } catch (e) { return Promise.reject(e); } };
        env.stack.push({ value: value, dispose: dispose, async: async });
    }
    else if (async) {
        env.stack.push({ async: true });
    }
    return value;
};
var __disposeResources = (this && this.__disposeResources) || (function (SuppressedError) {
    return function (env) {
        function fail(e) {
            env.error = env.hasError ? new SuppressedError(e, env.error, "An error was suppressed during disposal.") : e;
            env.hasError = true;
        }
        var r, s = 0;
        function next() {
            while (r = env.stack.pop()) {
                try {
                    if (!r.async && s === 1) return s = 0, env.stack.push(r), Promise.resolve().then(next);
                    if (r.dispose) {
                        var result = r.dispose.call(r.value);
                        if (r.async) return s |= 2, Promise.resolve(result).then(next, function(e) { fail(e); return next(); });
                    }
                    else s |= 1;
                }
                catch (e) {
                    fail(e);
                }
            }
            if (s === 1) return env.hasError ? Promise.reject(env.error) : Promise.resolve();
            if (env.hasError) throw env.error;
        }
        return next();
    };
})(typeof SuppressedError === "function" ? SuppressedError : function (error, suppressed, message) {
    var e = new Error(message);
    return e.name = "SuppressedError", e.error = error, e.suppressed = suppressed, e;
});
import { Client, RelayError } from "../src/index.js";
/** One result a job, in their order. */
export async function produce(command) {
    const env_1 = { stack: [], error: void 0, hasError: false };
    try {
        const { target, queue, token, deadline_ms: timeout, mode } = command;
        const client = __addDisposableResource(env_1, new Client(target, token === undefined ? { timeout } : { timeout, token }), true);
        const jobs = command.jobs.map(specOf);
        const enqueue = ({ type, payload, ...options }) => client.enqueue(queue, type, payload, options).catch((error) => error);
        if (mode === "many")
            return (await client.enqueueBatch(queue, jobs)).map(resultOf);
        if (mode === "together")
            return (await Promise.all(jobs.map(enqueue))).map(resultOf);
        const results = [];
        for (const job of jobs)
            results.push(resultOf(await enqueue(job)));
        return results;
    }
    catch (e_1) {
        env_1.error = e_1;
        env_1.hasError = true;
    }
    finally {
        const result_1 = __disposeResources(env_1);
        if (result_1)
            await result_1;
    }
}
function specOf(job) {
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
function resultOf(outcome) {
    if (outcome instanceof RelayError) {
        const { name: type, reason, code, message } = outcome;
        return { error: { type, reason, code, message } };
    }
    if (outcome instanceof Error) {
        return { error: { type: outcome.name, reason: "", code: "", message: outcome.message } };
    }
    const { id, deduplicated } = outcome;
    return { job_id: id, deduplicated };
}
