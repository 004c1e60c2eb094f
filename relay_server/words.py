"""The words and numbers that scripts, records and the contract share: one enum each; nothing compares strings."""

from enum import IntEnum, StrEnum
from typing import TypeVar


class State(IntEnum):
    """Where a job is; the numbers are those of JobState in the contract."""

    READY = 1
    DELAYED = 2
    INFLIGHT = 3
    DEAD = 4


class DeadReason(IntEnum):
    """Why a job is dead; the numbers are those of DeadReason in the contract."""

    NONE = 0
    ATTEMPTS = 1
    REJECTED = 2
    POISON = 3
    EXPIRED = 4


class FailureKind(IntEnum):
    """How an attempt failed; the numbers are those of FailureKind in the contract, where UNKNOWN is UNSPECIFIED."""

    UNKNOWN = 0
    RETRY = 1
    REJECTED = 2
    LEASE_EXPIRED = 3
    OUTAGE = 4


# Where a job is that cannot be read, as `where` tells: in no state.
SET_ASIDE = 5


class EnqueueWord(StrEnum):
    """What became of one job of an enqueue."""

    CREATED = "CREATED"
    DUPLICATE = "DUPLICATE"
    MISMATCH = "MISMATCH"
    FULL = "FULL"
    REUSED = "REUSED"


class LeaseWord(StrEnum):
    """What became of one lease that was settled or extended."""

    OK = "OK"
    LEASE_LOST = "LEASE_LOST"
    GONE = "GONE"
    CANCELLED = "CANCELLED"


class ClaimStatus(StrEnum):
    """Whether a queue gives jobs."""

    OK = "OK"
    PAUSED = "PAUSED"
    LIMITED = "LIMITED"


class RunNowWord(StrEnum):
    """What became of a delayed job that is to run now."""

    OK = "OK"
    GONE = "GONE"
    WRONG_STATE = "WRONG_STATE"


class ForgetWord(StrEnum):
    """Whether a queue was forgotten."""

    FORGOTTEN = "FORGOTTEN"
    NOT_EMPTY = "NOT_EMPTY"
    KEPT = "KEPT"


class GetJobWord(StrEnum):
    """Whether a job can be shown."""

    OK = "OK"
    GONE = "GONE"
    UNREADABLE = "UNREADABLE"


class EnterWord(StrEnum):
    """Whether names of queues were entered, and if not whose quota was full."""

    OK = "OK"
    FULL = "FULL"
    QUOTA = "QUOTA"


class LeaveWord(StrEnum):
    """Whether a queue's name was removed."""

    LEFT = "LEFT"
    USED = "USED"
    UNKNOWN = "UNKNOWN"


class HistoryWord(StrEnum):
    """Whether a minute's totals were written now, or were there."""

    WRITTEN = "WRITTEN"
    PRESENT = "PRESENT"


class CancelWord(StrEnum):
    """What became of one job that was cancelled."""

    REMOVED = "REMOVED"
    FLAGGED = "FLAGGED"
    DEAD = "DEAD"
    GONE = "GONE"


class NackWord(StrEnum):
    """What a nack does with its job."""

    RETRY = "RETRY"
    DEAD = "DEAD"
    RELEASE = "RELEASE"
    THROTTLED = "THROTTLED"


Word = TypeVar("Word", bound=StrEnum)


def words_of(kind: type[Word]) -> dict[bytes, Word]:
    """The words of an enum by what a script writes. An answer that is none of them is a KeyError."""
    return {word.encode(): word for word in kind}
