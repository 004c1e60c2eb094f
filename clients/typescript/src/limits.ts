/** The contract's limits that the SDK checks itself, by the names of docs/protocol.md. */

export const QUEUES_PER_CLAIM_MAX = 32;
export const WEIGHT_MAX = 100;
export const WORKER_ID_BYTES_MAX = 128;
export const IN_FLIGHT_MAX = 10_000;
export const LEASE_MS_MIN = 1_000;
export const LEASE_MS_MAX = 3_600_000;
export const LEASE_MS_DEFAULT = 30_000;

export const TYPE_BYTES_MAX = 128;
export const HEADERS_MAX = 32;
export const HEADERS_BYTES_MAX = 8 << 10;
export const PRIORITY_MAX = 9;
export const MAX_ATTEMPTS_MAX = 1_000;
export const MULTIPLIER_MAX = 100;

export const BATCH_JOBS_MAX = 500;
export const BATCH_BYTES_MAX = 3 << 20;
export const MESSAGE_BYTES_MAX = 4 << 20;

export const NOTE_BYTES_MAX = 200;
export const ERROR_TYPE_BYTES_MAX = 128;
export const ERROR_BYTES_MAX = 8 << 10;
export const DELAY_MS_MAX = 365 * 24 * 3_600_000;
