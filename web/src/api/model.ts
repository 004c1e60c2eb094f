// The data of the pages: the contract's JSON with numbers as numbers and times as milliseconds since 1970.

export type JobState = "ready" | "delayed" | "inflight" | "dead";
export const JOB_STATES: readonly JobState[] = ["ready", "delayed", "inflight", "dead"];

export interface Counters {
  enqueued: number;
  deduplicated: number;
  claimed: number;
  acked: number;
  retried: number;
  released: number;
  expired: number;
  dead: number;
  requeued: number;
  purged: number;
  cancelled: number;
  stale: number;
  promoted: number;
  unreadable: number;
  clockSteps: number;
  handedBack: number;
  spared: number;
}

export interface QueueStats {
  name: string;
  ready: number;
  delayed: number;
  inflight: number;
  dead: number;
  unreadable: number;
  oldestReadyMs: number;
  paused: boolean;
  counters: Counters;
}

export interface Snapshot {
  time: number;
  queues: QueueStats[];
}

export interface QueueSettings {
  rate: number;
  burst: number;
  priorityStepMs: number;
  maxJobs: number;
  maxExpirations: number;
}

export interface Queue {
  name: string;
  paused: boolean;
  settings: QueueSettings;
}

export interface HistoryBucket {
  time: number;
  enqueued: number;
  acked: number;
  failed: number;
  dead: number;
  ready: number;
  inflight: number;
}

export interface JobSummary {
  id: string;
  queue: string;
  type: string;
  state: JobState;
  priority: number;
  attempt: number;
  maxAttempts: number;
  expirations: number;
  stateTime: number;
  enqueueTime: number | null;
  workerId: string;
  deadReason: string;
  errorType: string;
  errorMessage: string;
  payloadPreview: string;
  payloadBytes: number;
  contentType: string;
  cancelled: boolean;
  progress: number;
  progressNote: string;
}

export interface AttemptFailure {
  attempt: number;
  kind: "retry" | "rejected" | "lease expired" | "outage" | "unknown";
  time: number;
  workerId: string;
  errorType: string;
  errorMessage: string;
  errorStack: string;
}

export interface RetryPolicy {
  maxAttempts: number;
  initialBackoffMs: number;
  maxBackoffMs: number;
  multiplier: number;
}

export interface JobDetail {
  summary: JobSummary;
  payload: Uint8Array;
  contentType: string;
  headers: [name: string, value: string][];
  retry: RetryPolicy;
  maxRuntimeMs: number;
  expiresAt: number | null;
  idempotencyKey: string;
  enqueueTime: number;
  failures: AttemptFailure[];
  epoch: number;
}

export interface Page<T> {
  jobs: T[];
  nextPageToken: string;
  total: number;
}

export interface DeadGroup {
  queue: string;
  type: string;
  errorType: string;
  count: number;
  firstTime: number;
  lastTime: number;
}

export interface DeadGroups {
  groups: DeadGroup[];
  counted: number;
  total: number;
}

/** `more`: there are further sessions, which are not here. */
export interface Workers {
  sessions: Worker[];
  more: boolean;
}

export interface Worker {
  sessionId: string;
  workerId: string;
  queues: { queue: string; weight: number }[];
  maxInFlight: number;
  inFlight: number;
  clientVersion: string;
  connectTime: number;
  seenTime: number;
  serverId: string;
  connected: boolean;
}

export interface ScriptTiming {
  name: string;
  calls: number;
  jobs: number;
  meanMs: number;
  maxMs: number;
}

export interface ServerInfo {
  version: string;
  protocolVersion: number;
  serverId: string;
  startTime: number;
  streams: number;
  limits: {
    payloadBytesMax: number;
    batchJobsMax: number;
    batchBytesMax: number;
    maxInFlightMax: number;
    leaseMinMs: number;
    leaseMaxMs: number;
    streamsMax: number;
  };
  store: {
    server: string;
    version: string;
    embedded: boolean;
    topology: "single" | "sentinel" | "cluster" | "unknown";
    /** Servers that take writes. */
    primaries: number;
    durability: "always" | "everysec" | "none" | "os" | "unknown";
    usedMemoryBytes: number;
    maxMemoryBytes: number;
    warnings: string[];
    /** The format of the stored data; 0 from a server that does not send it. */
    format: number;
  };
  scripts: ScriptTiming[];
}

/** Progress of an operation on many jobs; the same words for requeue, purge and cancel. */
export interface BulkProgress {
  examined: number;
  matched: number;
  changed: number;
  total: number;
  sample: JobSummary[];
  done: boolean;
}
