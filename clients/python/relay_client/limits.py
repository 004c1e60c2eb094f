"""The contract's limits that SDK, worker and command line check themselves, by the names of docs/protocol.md.

Whatever is checked only by the server is not here.
"""

from typing import Final

# A Claim and its worker.
QUEUES_PER_CLAIM_MAX: Final = 32
WEIGHT_MAX: Final = 100
WORKER_ID_BYTES_MAX: Final = 128
IN_FLIGHT_MAX: Final = 10_000
LEASE_MS_MIN: Final = 1_000
LEASE_MS_MAX: Final = 3_600_000
LEASE_MS_DEFAULT: Final = 30_000

# A job.
TYPE_BYTES_MAX: Final = 128
HEADERS_MAX: Final = 32
HEADERS_BYTES_MAX: Final = 8 << 10
MAX_ATTEMPTS_MAX: Final = 1_000
MULTIPLIER_MAX: Final = 100

# A call.
BATCH_JOBS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 3 << 20
MESSAGE_BYTES_MAX: Final = 4 << 20
IDS_MAX: Final = 10_000
PAGE_MAX: Final = 500

# How an attempt goes and ends.
NOTE_BYTES_MAX: Final = 200
ERROR_TYPE_BYTES_MAX: Final = 128
ERROR_BYTES_MAX: Final = 8 << 10
DELAY_MS_MAX: Final = 365 * 24 * 3_600_000
