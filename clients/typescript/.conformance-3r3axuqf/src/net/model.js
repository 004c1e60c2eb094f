/** The plain data that the parts of the network thread hand to one another. Times are ms of performance.now(). */
import { durationMs } from "../durations.js";
let lastKey = 0;
/** A frame as the thread keeps it, and as the handlers' thread gets it, without the jobs that are `held` already. */
export function received(frame, now, extendEveryMs, maxRuntimeMs, held) {
    const deadline = now + durationMs(frame.leaseRemaining);
    const group = {
        queue: frame.queue,
        token: new Uint8Array(frame.leaseToken),
        jobs: new Map(),
        // A frame may have waited on the way: extend it by the lease it has left, not by the one it started with.
        extendAt: now + Math.min(extendEveryMs, (deadline - now) / 3),
        deadline,
    };
    const data = [];
    for (const claimed of frame.jobs) {
        const one = dataOf(claimed, frame.queue);
        // A job delivered twice under one token runs once.
        if (one === undefined || held(one.id))
            continue;
        data.push(one);
        const limits = [durationMs(claimed.job?.maxRuntime), maxRuntimeMs[one.type] ?? 0].filter((ms) => ms > 0);
        group.jobs.set(one.id, {
            key: one.key,
            group,
            id: one.id,
            type: one.type,
            epoch: one.epoch,
            deadline,
            runtimeEndsAt: now + Math.min(Number.POSITIVE_INFINITY, ...limits),
            stop: undefined,
            outcome: undefined,
            busy: true,
            sent: false,
            tried: false,
            progress: undefined,
        });
    }
    return { group, data };
}
function dataOf({ job, attempt, maxAttempts, epoch }, queue) {
    if (job === undefined)
        return undefined;
    lastKey += 1;
    return {
        key: lastKey,
        id: job.id,
        queue,
        type: job.type,
        // A copy: what came is a view of the whole frame, which would be copied for each job, and kept.
        payload: new Uint8Array(job.payload),
        contentType: job.contentType,
        headers: job.headers,
        attempt,
        maxAttempts,
        epoch,
        idempotencyKey: job.idempotencyKey,
        priority: job.priority,
    };
}
