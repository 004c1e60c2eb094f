"""Ids of jobs and names of queues that no other test has."""

import itertools
import uuid

_numbers = itertools.count(1)


def uuid7(at_ms: int) -> uuid.UUID:
    """A job id as SDKs mint them at that time: later ones sort behind."""
    return uuid.UUID(int=at_ms << 80 | 7 << 76 | 2 << 62 | next(_numbers))


def new_queue() -> str:
    """A name of a queue."""
    return f"q-{uuid.uuid4().hex[:12]}"
