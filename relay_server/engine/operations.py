"""What operators do to queues: look, cancel, requeue, purge, pause, configure, audit. Bulk work is small scripts."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from relay_server import errors
from relay_server.engine import keys, record
from relay_server.engine.batching import JOBS_MAX
from relay_server.engine.first_settings import FirstSettings
from relay_server.engine.names import Names
from relay_server.engine.scripts import ScriptRunner
from relay_server.model import (
    EVERY,
    AuditPage,
    Cursor,
    DeadGroup,
    Finding,
    Grouped,
    Page,
    QueueSnapshot,
    Scanned,
    Settings,
    StoredJob,
    Want,
)
from relay_server.words import CancelWord, ForgetWord, GetJobWord, HistoryWord, RunNowWord, State, words_of

PREVIEW_BODY_BYTES_MAX = 16 << 10
ERROR_PREVIEW_BYTES = 512  # holds the type and what a summary shows of the message
# What keeps one script under 5 ms: jobs looked at, rows given, bytes of bodies and failures read for them.
EXAMINED_MAX = 500
ROWS_MAX = 100
ROWS_BYTES_MAX = 512 << 10
AUDITED_MIN, AUDITED_MAX, AUDITED_BYTES_MAX = 16, 150, 256 << 10
HISTORY_MINUTES = 24 * 60
# A row of the history may drop a day's old ones, 0.5 ms of a script.
MANY_HISTORIES = 4

_CANCEL_WORDS, _FORGET_WORDS = words_of(CancelWord), words_of(ForgetWord)
_GET_JOB_WORDS, _HISTORY_WORDS = words_of(GetJobWord), words_of(HistoryWord)
_RUN_NOW_WORDS = words_of(RunNowWord)
_DIGITS_MAX = 18
_MINUTE_MAX = record.TIME_MAX_MS // 60_000
_HISTORY_FIELDS = ("enqueued", "acked", "retried", "expired", "dead", "ready", "inflight")
_AUDITED = ("state", "error", "unreadable")
# Nearest first: next to run, next due, next to expire; the newest death.
_DIRECTIONS = {State.READY: "up", State.DELAYED: "up", State.INFLIGHT: "up", State.DEAD: "down"}


class Operations:
    """Reads and changes queues. Raises StoreUnavailable when the outcome is unknown; asking again is safe."""

    def __init__(self, scripts: ScriptRunner, names: Names, first: FirstSettings) -> None:
        self._scripts = scripts
        self._names = names
        self._first_settings = first

    # --- look

    async def stats(self, queue: str) -> QueueSnapshot:
        """Sizes, age of the oldest ready job, settings and totals."""
        return _snapshot(queue, await self._scripts.call("stats", queue))

    async def stats_many(self, queues: Sequence[str]) -> list[QueueSnapshot | Exception]:
        """As `stats` for each of some queues, at most `MANY_QUEUES`, or its error. Raises nothing."""
        return await self._scripts.call_many("stats", queues, _snapshot)

    async def list_jobs(
        self,
        queue: str,
        state: State,
        *,
        cursor: Cursor | None,
        limit: int,
        want: Want = EVERY,
        previews: int = PREVIEW_BODY_BYTES_MAX,
    ) -> Page:
        """Some jobs of one state, at most `limit` and ROWS_MAX; maybe none, and not the last.

        Bodies of up to `previews` bytes are read, and the start of the newest failure.
        """
        rows = min(limit, ROWS_MAX)
        examine = EXAMINED_MAX if want.type or want.error_type else rows
        reply = await self._scripts.call_on(
            "list", _index_keys(queue, state), **_stretch(state, cursor, want), examine=examine, limit=rows,
            preview_max=previews, bytes_max=ROWS_BYTES_MAX, error_max=ERROR_PREVIEW_BYTES,
        )  # fmt: skip
        jobs: list[StoredJob] = []
        for row in reply.rows:
            with suppress(record.Unreadable):  # which is for the audit to report
                jobs.append(_stored(state, *row))
        return Page(jobs=jobs, total=int(reply.total), cursor=_cursor(reply.at_score, reply.at_id))

    async def scan(
        self, queue: str, state: State, *, cursor: Cursor | None, examine: int, want: Want
    ) -> Scanned:
        """The ids of those that are wanted among the next `examine` jobs; reads neither bodies nor failures."""
        reply = await self._scripts.call_on(
            "scan", _index_keys(queue, state), **_stretch(state, cursor, want), jobs=examine,
            examine=min(examine, EXAMINED_MAX), stamp_max_ms=_or_empty(want.stamp_max_ms),
        )  # fmt: skip
        return Scanned(int(reply.examined), reply.rows, _cursor(reply.at_score, reply.at_id))

    async def group_dead(self, queue: str, *, cursor: Cursor | None) -> Grouped:
        """The next dead letters, newest first, counted by job type and error type."""
        place = cursor or Cursor("", b"")
        reply = await self._scripts.call(
            "group", queue, from_score=place.score, from_id=place.id, examine=EXAMINED_MAX
        )
        groups = [
            DeadGroup(_text(job_type), _text(error_type), int(jobs), _time(oldest), _time(newest))
            for job_type, error_type, jobs, oldest, newest in reply.rows
        ]
        return Grouped(int(reply.examined), int(reply.total), groups, _cursor(reply.at_score, reply.at_id))

    async def states(self, queue: str, ids: Sequence[bytes]) -> list[int]:
        """The numbers of the states of these jobs, at most 500; 0: gone, SET_ASIDE: set aside as unreadable."""
        reply = await self._scripts.call("where", queue, rows=ids)
        return [int(number) for number in reply.rows]

    async def get_job(self, queue: str, job_id: bytes) -> StoredJob | None:
        """One whole job, or None. Raises WrongState for one that cannot be read."""
        reply = await self._scripts.call("get_job", queue, id=job_id)
        word = _GET_JOB_WORDS[reply.word]
        if word is GetJobWord.UNREADABLE:
            raise errors.WrongState(
                f"what is stored of this job cannot be read ({_text(reply.why)}); "
                "`relay doctor` lists such jobs, and CancelJobs deletes it",
                metadata={"queue": queue},
            )
        if word is GetJobWord.GONE:
            return None
        state = State[reply.index.decode().upper()]
        return _stored(state, job_id, reply.score, reply.record, reply.body, reply.failures)

    async def history(self, queue: str) -> list[tuple[int, dict[str, int]]]:
        """(minute, totals at its end), oldest first."""
        raw: Mapping[bytes, bytes] = await self._scripts.command("HGETALL", keys.queue_keys(queue)["history"])
        rows = [row for item in raw.items() if (row := _history_row(*item))]
        return sorted(rows, key=lambda row: row[0])

    async def record_history(self, queues: Sequence[str], minute: int) -> list[bool | Exception]:
        """Writes the totals of up to `MANY_HISTORIES` queues down for a minute. Raises nothing.

        True where it did so, False where another server had, or the queue's error.
        """
        return await self._scripts.call_many(
            "history",
            queues,
            lambda _, reply: _HISTORY_WORDS[reply.word] is HistoryWord.WRITTEN,
            minute=minute,
            keep=HISTORY_MINUTES,
        )

    async def audit(self, queue: str, cursor: tuple[str, str, str] | None = None) -> AuditPage:
        """One bounded step of the audit; call again with the page's cursor."""
        what, at, count = cursor or (_AUDITED[0], "0", str(AUDITED_MAX))
        try:
            reply = await self._scripts.call("audit", queue, what=what, cursor=at, count=count)
        except errors.WrongState as damage:  # nothing else can be said of the queue
            return AuditPage(checked=0, findings=[Finding(invariant="I2", job_id=b"", detail=str(damage))])
        findings = [
            Finding(invariant=invariant.decode(), job_id=job_id, detail=_text(detail))
            for invariant, job_id, detail in reply.rows
        ]
        following = None
        if reply.cursor != b"0":
            count = str(_audit_next(int(count), read_bytes=int(reply.read_bytes)))
            following = (what, reply.cursor.decode(), count)
        elif what != _AUDITED[-1]:
            following = (_AUDITED[_AUDITED.index(what) + 1], "0", str(AUDITED_MIN))
        checked = int(reply.checked) if what == "state" else 0
        return AuditPage(checked=checked, findings=findings, cursor=following)

    # --- change

    async def requeue(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> ready. Returns how many; jobs that died after `died_until_ms` are left."""
        await self._names.keep_known(queue)
        return await self._scripts.in_chunks("requeue", queue, ids, cutoff=died_until_ms)

    async def purge_dead(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> (gone). Returns how many; jobs that died after `died_until_ms` are left."""
        await self._names.keep_known(queue)
        return await self._scripts.in_chunks("purge_dead", queue, ids, cutoff=died_until_ms)

    async def purge(self, queue: str, *, limit: int) -> int:
        """ready or delayed, and set aside -> (gone), up to `limit` (at most 500) from the head. Returns how many."""
        await self._names.keep_known(queue)
        return int((await self._scripts.call("purge", queue, limit=min(limit, JOBS_MAX))).done)

    async def forget(self, queue: str) -> bool:
        """Drops settings, totals and history of an empty queue. False when it is not empty."""
        reply = await self._scripts.call("forget", queue)
        if _FORGET_WORDS[reply.word] is not ForgetWord.FORGOTTEN:
            return False
        await self._names.leave(queue)
        return True

    async def forget_idle(self, queue: str, *, until_ms: int) -> bool:
        """Forgets an empty queue that nobody used after `until_ms` and no operator cares for. False when it is kept.

        Who uses it in this very moment enters it first: then it stays known, and has its first settings again.
        """
        reply = await self._scripts.call("forget_idle", queue)
        if _FORGET_WORDS[reply.word] is not ForgetWord.FORGOTTEN:
            return False
        if await self._names.leave(queue, until_ms=until_ms):
            return True
        await self._first_settings.begin(queue, again=True)
        return False

    async def cancel(self, queue: str, ids: Sequence[bytes]) -> list[CancelWord]:
        """ready or delayed -> (gone); inflight -> flagged. At most 500 ids."""
        await self._names.keep_known(queue)
        words: list[CancelWord] = []
        while len(words) < len(ids):  # large bodies are deleted in several steps
            rest = ids[len(words) :]
            reply = await self._scripts.call("cancel", queue, rows=rest)
            words += [_CANCEL_WORDS[word] for word in reply.rows]
        return words

    async def run_now(self, queue: str, job_id: bytes) -> RunNowWord:
        """delayed -> ready, before its time."""
        await self._names.keep_known(queue)
        return _RUN_NOW_WORDS[(await self._scripts.call("run_now", queue, id=job_id)).word]

    async def pause(self, queue: str) -> None:
        await self._names.enter_all([queue])
        await self._scripts.call("pause", queue)

    async def resume(self, queue: str) -> None:
        await self._names.enter_all([queue])
        await self._scripts.call("resume", queue)

    async def configure(self, queue: str, settings: Mapping[str, float], *, owner: str = "") -> None:
        """Sets some of rate, burst, priority_step (ms), max_jobs, max_expirations. `owner` makes the queue when it is
        new. Raises QuotaExceeded."""
        await self._names.enter_all([queue], owner)
        rows = [(name, repr(value)) for name, value in settings.items()]
        await self._scripts.call("configure", queue, rows=rows)


def _snapshot(queue: str, reply: Any) -> QueueSnapshot:
    """What `stats` answers."""
    return QueueSnapshot(
        queue=queue,
        now_ms=int(reply.now),
        ready=int(reply.ready),
        delayed=int(reply.delayed),
        inflight=int(reply.inflight),
        dead=int(reply.dead),
        unreadable=int(reply.unreadable),
        oldest_ready_ms=int(reply.oldest_ready_ms),
        paused=reply.paused == b"1",
        settings=_settings(
            reply.rate, reply.burst, reply.priority_step, reply.max_jobs, reply.max_expirations
        ),
        counters=_counters(reply.rows),
    )


@lru_cache(maxsize=256)
def _settings(
    rate: bytes, burst: bytes, priority_step: bytes, max_jobs: bytes, max_expirations: bytes
) -> Settings:
    """Most queues have the same: one object for all of them."""
    return Settings(
        rate=float(rate),
        burst=int(float(burst)),
        priority_step_ms=int(float(priority_step)),
        max_jobs=int(float(max_jobs)),
        max_expirations=int(float(max_expirations)),
    )


def _index_keys(queue: str, state: State) -> dict[str, bytes]:
    named = keys.queue_keys(queue)
    return {**named, "index": named[state.name.lower()]}


def _stretch(state: State, cursor: Cursor | None, want: Want) -> dict[str, Any]:
    """Where `list` and `scan` begin, in which direction they go, and what they look for."""
    place = cursor or Cursor(_or_empty(want.newest_at_ms), b"")
    return {
        "direction": _DIRECTIONS[state],
        "from_score": place.score,
        "from_id": place.id,
        "oldest": _or_empty(want.oldest_at_ms),
        "job_type": want.type,
        "error_type": want.error_type,
    }


def _cursor(score: bytes, job_id: bytes) -> Cursor | None:
    return Cursor(score.decode(), job_id) if score else None


def _or_empty(number: float | None) -> str:
    return "" if number is None else repr(number)


def _audit_next(count: int, *, read_bytes: int) -> int:
    """Failures of one job may be 32 KiB, and Redis bounds a step by number only."""
    if read_bytes > AUDITED_BYTES_MAX:
        return max(1, count // 2)
    return min(AUDITED_MAX, count * 2) if read_bytes * 2 <= AUDITED_BYTES_MAX else count


def _counters(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, int]:
    """Totals by name, without what is no total."""
    return {name.decode(errors="replace"): n for name, text in pairs if (n := _number(text)) is not None}


def _history_row(minute: bytes, line: bytes) -> tuple[int, dict[str, int]] | None:
    """A minute's totals; None when they are not what Relay writes."""
    at, values = _number(minute), [_number(word) for word in line.split()]
    totals = [value for value in values if value is not None]
    if at is None or at > _MINUTE_MAX or not len(totals) == len(values) == len(_HISTORY_FIELDS):
        return None
    return at, dict(zip(_HISTORY_FIELDS, totals, strict=True))


def _number(text: bytes) -> int | None:
    """What a script counted: not negative, and no more than the contract's int64."""
    return int(text) if text.isdigit() and len(text) <= _DIGITS_MAX else None


def _time(score: bytes) -> int:
    """A score of an index as ms; damage may have put anything there."""
    return int(max(-record.TIME_MAX_MS, min(record.TIME_MAX_MS, float(score))))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _stored(state: State, job_id: bytes, score: bytes, raw: bytes, body: bytes, failures: bytes) -> StoredJob:
    return StoredJob(
        id=job_id,
        state=state,
        at_ms=_time(score),
        record=record.unpack_record(raw),
        body=body,
        failures=record.unpack_failures(failures),
    )
