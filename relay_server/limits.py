"""The limits of the contract, each with its unit in its name: docs/protocol.md lists the same ones.

Those that an operator may change are the defaults of options in config.py.
"""

QUEUE_NAME_PATTERN = r"[A-Za-z0-9._-]{1,128}"
QUEUES_PER_CLAIM_MAX = 32
WEIGHT_MAX = 100
WORKER_ID_BYTES_MAX = 128
CLIENT_VERSION_BYTES_MAX = 64
SESSION_ID_BYTES_MAX = 64

TYPE_BYTES_MAX = 128
PAYLOAD_BYTES_MAX = 1 << 20
CONTENT_TYPE_BYTES_MAX = 128
HEADERS_MAX = 32
HEADERS_BYTES_MAX = 8 << 10
IDEMPOTENCY_KEY_BYTES_MAX = 256
REQUEST_ID_BYTES_MAX = 64
PRIORITY_MAX = 9
MAX_ATTEMPTS_MAX = 1000
MULTIPLIER_MAX = 100.0

BATCH_JOBS_MAX = 500
BATCH_BYTES_MAX = 3 << 20
IDS_MAX = 10_000
IN_FLIGHT_MAX = 10_000
# More than IN_FLIGHT_MAX: a worker whose settle failed counts those jobs again, beside the jobs that replaced them.
IN_FLIGHT_REPORT_MAX = 1_000_000
PAGE_MAX = 500
# How long a request is remembered after it was first applied: a repeat gets the same answer.
RETRY_HORIZON_MS = 60_000

# One frame of a stream: jobs and bytes of their bodies, or one larger job; jobs that must stop; queues of WatchStats.
FRAME_JOBS_MAX = 64
FRAME_BYTES_MAX = 256 << 10
FRAME_CANCELLED_MAX = 500
FRAME_QUEUES_MAX = 500

# Bytes of claimed jobs that may wait in a server for slow workers: of a session, of a principal, of all.
SESSION_BYTES_MAX = 4 << 20
PRINCIPAL_BYTES_MAX = 64 << 20
WAITING_BYTES_MAX = 256 << 20
# Workers' sessions, of all servers, that can be listed; further workers work and are not listed.
SESSIONS_NOTED_MAX = 50_000

ERROR_TYPE_BYTES_MAX = 128
ERROR_BYTES_MAX = 8 << 10
NOTE_BYTES_MAX = 200

SECOND_MS = 1000
DAY_MS = 24 * 3600 * SECOND_MS
LEASE_MS_MIN, LEASE_MS_MAX, LEASE_MS_DEFAULT = SECOND_MS, 3600 * SECOND_MS, 30 * SECOND_MS
DISCONNECT_GRACE_MS_MAX = 3600 * SECOND_MS
BACKOFF_MS_MAX = 7 * DAY_MS
MAX_RUNTIME_MS_MAX = 7 * DAY_MS
DELAY_MS_MAX = 365 * DAY_MS  # also how far ahead run_at and expires_at may lie
WINDOW_MS_MIN, WINDOW_MS_MAX, WINDOW_MS_DEFAULT = SECOND_MS, 30 * DAY_MS, DAY_MS

RATE_MAX = 1_000_000.0
BURST_MAX = 1_000_000
PRIORITY_STEP_MS_MAX = 7 * DAY_MS
MAX_JOBS_MAX = 1_000_000_000
MAX_EXPIRATIONS_MAX = 1000
HISTORY_SPAN_MS_MAX = DAY_MS

# Bounded, because watching the health needs no credentials.
HEALTH_WATCHES_MAX = 1000
HEALTH_SERVICE_CHARS_MAX = 128

# A message may carry a batch and its envelope, and stays under what a default gRPC client receives.
MESSAGE_BYTES_MAX = 4 << 20
# Smaller bounds, for requests that need less with every field at its longest. bounds.py says which requests.
LEASES_BYTES_MAX = 256 << 10
CLAIM_BYTES_MAX = 2 << 20
IDS_BYTES_MAX = 512 << 10
REQUEST_BYTES_MAX = 64 << 10
SCALER_METADATA_MAX = 100
METADATA_BYTES_MAX = 16 << 10
