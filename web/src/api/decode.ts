// From the contract's JSON to the model. Only this file knows how proto3 writes values: defaults left out, 64-bit numbers
// as strings, durations as "2.5s", bytes as base64.

import type {
  CancelJobsResponseJson,
  GetHistoryResponseJson,
  GetJobResponseJson,
  GetServerInfoResponseJson,
  ListWorkersResponseJson,
  PurgeQueueResponseJson,
  QueueCountersJson,
  QueueJson,
  QueueStatsJson,
} from "../gen/relay/v1/admin_service_pb";
import type {
  GroupDeadLettersResponseJson,
  PurgeDeadLettersResponseJson,
  RequeueDeadLettersResponseJson,
} from "../gen/relay/v1/dead_letter_service_pb";
import type { AttemptFailureJson, JobStateJson, JobSummaryJson } from "../gen/relay/v1/job_pb";
import type {
  AttemptFailure,
  BulkProgress,
  Counters,
  DeadGroups,
  HistoryBucket,
  JobDetail,
  JobState,
  JobSummary,
  Page,
  Queue,
  QueueStats,
  ServerInfo,
  Worker,
} from "./model";

type Number64 = string | number | undefined;

export function toNumber(value: Number64 | "NaN" | "Infinity" | "-Infinity"): number {
  const number = Number(value ?? 0);
  return Number.isFinite(number) ? number : 0;
}

/** "2.5s" to 2500; 0 when not set. */
export function toMs(duration: string | undefined): number {
  return duration ? Number.parseFloat(duration) * 1000 || 0 : 0;
}

/** Milliseconds since 1970, or null when not set or not a time. */
export function toTime(timestamp: string | undefined): number | null {
  const time = timestamp ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(time) ? null : time;
}

export function toBytes(base64: string | undefined): Uint8Array {
  if (!base64) return new Uint8Array();
  const binary = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

/** The end of a cut preview may be half a character: it shows as a replacement mark, which is cut off. */
function toPreview(base64: string | undefined): string {
  return new TextDecoder().decode(toBytes(base64)).replace(/\uFFFD+$/, "");
}

const STATES: Partial<Record<JobStateJson, JobState>> = {
  JOB_STATE_READY: "ready",
  JOB_STATE_DELAYED: "delayed",
  JOB_STATE_INFLIGHT: "inflight",
  JOB_STATE_DEAD: "dead",
};

/** "DEAD_REASON_ATTEMPTS" with prefix "DEAD_REASON_" to "attempts"; "" when unspecified. */
function word(value: string | undefined, prefix: string): string {
  const rest = value?.startsWith(prefix) ? value.slice(prefix.length) : "";
  return rest === "UNSPECIFIED" ? "" : rest.toLowerCase().replaceAll("_", " ");
}

export function queueStats(json: QueueStatsJson): QueueStats {
  return {
    name: json.queue ?? "",
    ready: toNumber(json.ready),
    delayed: toNumber(json.delayed),
    inflight: toNumber(json.inflight),
    dead: toNumber(json.dead),
    unreadable: toNumber(json.unreadable),
    oldestReadyMs: toMs(json.oldestReadyAge),
    paused: json.paused ?? false,
    counters: counters(json.counters ?? {}),
  };
}

function counters(json: QueueCountersJson): Counters {
  return {
    enqueued: toNumber(json.enqueued),
    deduplicated: toNumber(json.deduplicated),
    claimed: toNumber(json.claimed),
    acked: toNumber(json.acked),
    retried: toNumber(json.retried),
    released: toNumber(json.released),
    expired: toNumber(json.expired),
    dead: toNumber(json.dead),
    requeued: toNumber(json.requeued),
    purged: toNumber(json.purged),
    cancelled: toNumber(json.cancelled),
    stale: toNumber(json.stale),
    promoted: toNumber(json.promoted),
    unreadable: toNumber(json.unreadable),
    clockSteps: toNumber(json.clockSteps),
    handedBack: toNumber(json.handedBack),
    spared: toNumber(json.spared),
  };
}

export function queue(json: QueueJson): Queue {
  const settings = json.settings ?? {};
  return {
    name: json.name ?? "",
    paused: json.paused ?? false,
    settings: {
      rate: toNumber(settings.rate),
      burst: toNumber(settings.burst),
      priorityStepMs: toMs(settings.priorityStep),
      maxJobs: toNumber(settings.maxJobs),
      maxExpirations: toNumber(settings.maxExpirations),
    },
  };
}

export function history(json: GetHistoryResponseJson): HistoryBucket[] {
  return (json.buckets ?? []).map((bucket) => ({
    time: toTime(bucket.time) ?? 0,
    enqueued: toNumber(bucket.enqueued),
    acked: toNumber(bucket.acked),
    failed: toNumber(bucket.failed),
    dead: toNumber(bucket.dead),
    ready: toNumber(bucket.ready),
    inflight: toNumber(bucket.inflight),
  }));
}

export function jobSummary(json: JobSummaryJson): JobSummary {
  return {
    id: json.id ?? "",
    queue: json.queue ?? "",
    type: json.type ?? "",
    state: STATES[json.state ?? "JOB_STATE_UNSPECIFIED"] ?? "ready",
    priority: json.priority ?? 0,
    attempt: json.attempt ?? 0,
    maxAttempts: json.maxAttempts ?? 0,
    expirations: json.expirations ?? 0,
    stateTime: toTime(json.stateTime) ?? 0,
    enqueueTime: toTime(json.enqueueTime),
    workerId: json.workerId ?? "",
    deadReason: word(json.deadReason, "DEAD_REASON_"),
    errorType: json.errorType ?? "",
    errorMessage: json.errorMessage ?? "",
    payloadPreview: toPreview(json.payloadPreview),
    payloadBytes: toNumber(json.payloadBytes),
    contentType: json.contentType ?? "",
    cancelled: json.cancelled ?? false,
    progress: toNumber(json.progress),
    progressNote: json.progressNote ?? "",
  };
}

export function jobPage(json: {
  jobs?: JobSummaryJson[];
  nextPageToken?: string;
  total?: string;
}): Page<JobSummary> {
  return {
    jobs: (json.jobs ?? []).map(jobSummary),
    nextPageToken: json.nextPageToken ?? "",
    total: toNumber(json.total),
  };
}

export function jobDetail(json: GetJobResponseJson): JobDetail {
  const job = json.job ?? {};
  return {
    summary: jobSummary(json.summary ?? {}),
    payload: toBytes(job.payload),
    contentType: job.contentType || "application/json",
    headers: Object.entries(job.headers ?? {}).sort(([a], [b]) => a.localeCompare(b)),
    retry: {
      maxAttempts: job.retry?.maxAttempts || 20,
      initialBackoffMs: job.retry?.initialBackoff === undefined ? 1000 : toMs(job.retry.initialBackoff),
      maxBackoffMs: job.retry?.maxBackoff === undefined ? 600_000 : toMs(job.retry.maxBackoff),
      multiplier: toNumber(job.retry?.multiplier) || 2,
    },
    maxRuntimeMs: toMs(job.maxRuntime),
    expiresAt: toTime(job.expiresAt),
    idempotencyKey: job.idempotencyKey ?? "",
    enqueueTime: toTime(job.enqueueTime) ?? 0,
    failures: (json.failures ?? []).map(attemptFailure),
    epoch: toNumber(json.epoch),
  };
}

function attemptFailure(json: AttemptFailureJson): AttemptFailure {
  return {
    attempt: json.attempt ?? 0,
    kind: (word(json.kind, "FAILURE_KIND_") || "unknown") as AttemptFailure["kind"],
    time: toTime(json.time) ?? 0,
    workerId: json.workerId ?? "",
    errorType: json.error?.type ?? "",
    errorMessage: json.error?.message ?? "",
    errorStack: json.error?.stack ?? "",
  };
}

export function deadGroups(queueName: string, json: GroupDeadLettersResponseJson): DeadGroups {
  return {
    groups: (json.groups ?? []).map((group) => ({
      queue: queueName,
      type: group.type ?? "",
      errorType: group.errorType ?? "",
      count: toNumber(group.count),
      firstTime: toTime(group.firstTime) ?? 0,
      lastTime: toTime(group.lastTime) ?? 0,
    })),
    counted: toNumber(json.counted),
    total: toNumber(json.total),
  };
}

export function workers(json: ListWorkersResponseJson): Worker[] {
  return (json.workers ?? []).map((worker) => ({
    sessionId: worker.sessionId ?? "",
    workerId: worker.workerId ?? "",
    queues: (worker.queues ?? []).map((one) => ({ queue: one.queue ?? "", weight: one.weight || 1 })),
    maxInFlight: worker.maxInFlight ?? 0,
    inFlight: worker.inFlight ?? 0,
    clientVersion: worker.clientVersion ?? "",
    connectTime: toTime(worker.connectTime) ?? 0,
    seenTime: toTime(worker.seenTime) ?? 0,
    serverId: worker.serverId ?? "",
    connected: worker.connected ?? false,
  }));
}

export function serverInfo(json: GetServerInfoResponseJson): ServerInfo {
  const limits = json.limits ?? {};
  const store = json.store ?? {};
  return {
    version: json.version ?? "",
    protocolVersion: json.protocolVersion ?? 0,
    serverId: json.serverId ?? "",
    startTime: toTime(json.startTime) ?? 0,
    streams: json.streams ?? 0,
    limits: {
      payloadBytesMax: toNumber(limits.payloadBytesMax),
      batchJobsMax: limits.batchJobsMax ?? 0,
      batchBytesMax: toNumber(limits.batchBytesMax),
      maxInFlightMax: limits.maxInFlightMax ?? 0,
      leaseMinMs: toMs(limits.leaseMin),
      leaseMaxMs: toMs(limits.leaseMax),
      streamsMax: limits.streamsMax ?? 0,
    },
    store: {
      server: store.server ?? "",
      version: store.version ?? "",
      embedded: store.embedded ?? false,
      topology: (word(store.topology, "STORE_TOPOLOGY_") || "unknown") as ServerInfo["store"]["topology"],
      primaries: store.primaries ?? 0,
      durability: (word(store.durability, "DURABILITY_") || "unknown") as ServerInfo["store"]["durability"],
      usedMemoryBytes: toNumber(store.usedMemoryBytes),
      maxMemoryBytes: toNumber(store.maxMemoryBytes),
      warnings: store.warnings ?? [],
      format: store.format ?? 0,
    },
    scripts: (json.scripts ?? []).map((script) => ({
      name: script.name ?? "",
      calls: toNumber(script.calls),
      jobs: toNumber(script.jobs),
      meanMs: toMs(script.mean),
      maxMs: toMs(script.max),
    })),
  };
}

export function bulkProgress(
  json: RequeueDeadLettersResponseJson & PurgeDeadLettersResponseJson & CancelJobsResponseJson,
): BulkProgress {
  return {
    examined: toNumber(json.examined),
    matched: toNumber(json.matched),
    changed: toNumber(json.requeued ?? json.purged ?? json.cancelled),
    total: toNumber(json.total),
    sample: (json.sample ?? []).map(jobSummary),
    done: json.done ?? false,
  };
}

/** On a dry run `purged` counts the jobs that would be purged. */
export function purgeProgress(json: PurgeQueueResponseJson, dryRun: boolean): BulkProgress {
  const purged = toNumber(json.purged);
  const total = toNumber(json.total);
  return {
    examined: purged,
    matched: dryRun ? purged : total,
    changed: dryRun ? 0 : purged,
    total,
    sample: [],
    done: json.done ?? false,
  };
}
