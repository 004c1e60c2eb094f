"""A clock that tests move, and the jobs, tokens and claims that they hand to the engine."""

import hashlib
import os
from typing import NamedTuple

from relay_server.engine import record
from relay_server.model import (
    Claimed,
    ClaimedJob,
    Lease,
    NewJob,
)
from tests.support.ids import uuid7

START_MS = 1_800_000_000_000
LEASE_MS = 30_000
DAY_MS = 86_400_000


class Clock:
    """The store's time as the test says, in ms; a day may pass in no time, and backwards."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self, key: bytes = b"") -> str:
        return str(self.now_ms)

    def advance(self, ms: int) -> None:
        self.now_ms += ms


def new_id() -> bytes:
    """The id of a job that is made when the clock starts."""
    return uuid7(START_MS).bytes


def a_job(
    body: bytes = b"{}",
    *,
    job_id: bytes | None = None,
    job_type: str = "test",
    priority: int = 0,
    delay_ms: int | None = None,
    run_at_ms: int | None = None,
    key: str = "",
    window_ms: int = DAY_MS,
    content_hash: bytes | None = None,
    max_attempts: int = 20,
    initial_backoff_ms: int = 1000,
    max_backoff_ms: int = 600_000,
    multiplier: float = 2.0,
    max_runtime_ms: int = 0,
    expires_ms: int = 0,
) -> NewJob:
    """A valid new job; name only what the test is about."""
    start = record.AT_ONCE
    if delay_ms is not None:
        start = record.Start(record.DELAY, delay_ms)
    elif run_at_ms is not None:
        start = record.Start(record.RUN_AT, run_at_ms)
    if content_hash is None:
        content_hash = hashlib.blake2b(job_type.encode() + b"\0" + body, digest_size=16).digest()
    return record.new_job(
        job_id or new_id(),
        job_type,
        body,
        start=start,
        priority=priority,
        retry=record.Retry(max_attempts, initial_backoff_ms, max_backoff_ms, multiplier),
        max_runtime_ms=max_runtime_ms,
        expires_ms=expires_ms,
        key=key,
        window_ms=window_ms,
        content_hash=content_hash if key else b"",
    )


def new_token() -> bytes:
    return os.urandom(16)


class Taken(NamedTuple):
    """What one claim of one session got."""

    token: bytes
    jobs: list[ClaimedJob]
    answer: Claimed

    @property
    def leases(self) -> list[Lease]:
        return [Lease(job.id, self.token) for job in self.jobs]

    @property
    def lease(self) -> Lease:
        (lease,) = self.leases
        return lease

    @property
    def ids(self) -> list[bytes]:
        return [job.id for job in self.jobs]
