"""What operators do to queues: look, cancel, requeue, purge, pause, configure, audit. Bulk work is small scripts."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from relay_server import errors
from relay_server.engine import keys, record
from relay_server.engine.batching import JOBS_MAX
from relay_server.engine.first_settings import FirstSettings
from relay_server.engine.names import Names
from relay_server.engine.scripts import Arg, ScriptRunner
from relay_server.model import (
    EVERY,
    AuditPage,
    CancelWord,
    Cursor,
    DeadGroup,
    Finding,
    Grouped,
    Page,
    QueueSnapshot,
    Scanned,
    Settings,
    State,
    StoredJob,
    Want,
)

PREVIEW_BODY_BYTES_MAX = 16 << 10
NO_PREVIEWS = -1
ERROR_PREVIEW_BYTES = 512  # holds the type and what a summary shows of the message
# What keeps one script under 5 ms: jobs looked at, rows given, bytes of bodies and failures read for them.
EXAMINED_MAX = 500
ROWS_MAX = 100
ROWS_BYTES_MAX = 512 << 10
AUDITED_MIN, AUDITED_MAX, AUDITED_BYTES_MAX = 16, 150, 256 << 10
HISTORY_MINUTES = 24 * 60
# A row of the history may drop a day's old ones, 0.5 ms of a script.
MANY_HISTORIES = 4

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
        self._first = first

    # --- look

    async def stats(self, queue: str) -> QueueSnapshot:
        """Sizes, age of the oldest ready job, settings and totals."""
        return _snapshot(queue, await self._run("stats", queue, [self._scripts.clock()]))

    async def stats_many(self, queues: Sequence[str]) -> list[QueueSnapshot | Exception]:
        """As `stats` for each of some queues, at most `MANY_QUEUES`, or its error. Raises nothing."""
        return await self._scripts.run_many("stats", queues, lambda: [self._scripts.clock()], _snapshot)

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

        Bodies of up to `previews` bytes are read, and the start of the newest failure; NO_PREVIEWS leaves both out.
        """
        rows = min(limit, ROWS_MAX)
        examine = EXAMINED_MAX if want.type or want.error_type else rows
        args: list[Arg] = [
            *_from(state, cursor, want), examine, rows, _or_empty(want.oldest_at_ms), want.type, want.error_type,
            previews, ROWS_BYTES_MAX, ERROR_PREVIEW_BYTES,
        ]  # fmt: skip
        reply = await self._scripts.run("list", _index_keys(queue, state), args)
        jobs: list[StoredJob] = []
        for i in range(3, len(reply), 5):
            with suppress(record.Unreadable):  # which is for the audit to report
                jobs.append(_stored(state, reply[i : i + 5]))
        return Page(jobs=jobs, total=int(reply[0]), cursor=_cursor(reply[1], reply[2]))

    async def scan(
        self, queue: str, state: State, *, cursor: Cursor | None, examine: int, want: Want
    ) -> Scanned:
        """The ids of those that are wanted among the next `examine` jobs; reads neither bodies nor failures."""
        args: list[Arg] = [
            *_from(state, cursor, want), min(examine, EXAMINED_MAX), _or_empty(want.oldest_at_ms), want.type,
            want.error_type, _or_empty(want.taken_until_ms),
        ]  # fmt: skip
        reply = await self._scripts.run("scan", _index_keys(queue, state), args, jobs=examine)
        return Scanned(int(reply[0]), reply[3:], _cursor(reply[1], reply[2]))

    async def group_dead(self, queue: str, *, cursor: Cursor | None) -> Grouped:
        """The next dead letters, newest first, counted by job type and error type."""
        reply = await self._run("group", queue, [*_from(State.DEAD, cursor, EVERY)[1:], EXAMINED_MAX])
        groups = [
            DeadGroup(
                reply[i].decode("utf-8", "replace"),
                reply[i + 1].decode("utf-8", "replace"),
                int(reply[i + 2]),
                _time(reply[i + 3]),
                _time(reply[i + 4]),
            )
            for i in range(4, len(reply), 5)
        ]
        return Grouped(int(reply[1]), int(reply[0]), groups, _cursor(reply[2], reply[3]))

    async def states(self, queue: str, ids: Sequence[bytes]) -> list[int]:
        """The numbers of the states of these jobs, at most 500; 0: gone, SET_ASIDE: set aside as unreadable."""
        reply = await self._run("where", queue, ids, jobs=len(ids))
        return [int(number) for number in reply]

    async def get_job(self, queue: str, job_id: bytes) -> StoredJob | None:
        """One whole job, or None. Raises WrongState for one that cannot be read."""
        reply = await self._run("get_job", queue, [job_id])
        if reply[0] == b"UNREADABLE":
            raise errors.WrongState(
                f"what is stored of this job cannot be read ({reply[1].decode(errors='replace')}); "
                "`relay doctor` lists such jobs, and CancelJobs deletes it",
                metadata={"queue": queue},
            )
        if reply[0] != b"OK":
            return None
        return _stored(State[reply[1].decode().upper()], [job_id, *reply[2:]])

    async def history(self, queue: str, *, since_minute: int) -> list[tuple[int, dict[str, int]]]:
        """(minute, totals at its end), oldest first."""
        raw: Mapping[bytes, bytes] = await self._scripts.command("HGETALL", keys.queue_keys(queue)["history"])
        rows = [row for item in raw.items() if (row := _history_row(*item)) and row[0] >= since_minute]
        return sorted(rows, key=lambda row: row[0])

    async def record_history(self, queues: Sequence[str], minute: int) -> list[bool | Exception]:
        """Writes the totals of up to `MANY_HISTORIES` queues down for a minute. Raises nothing.

        True where it did so, False where another server had, or the queue's error.
        """
        return await self._scripts.run_many(
            "history",
            queues,
            lambda: [minute, HISTORY_MINUTES],
            lambda _, reply: reply[0] == b"WRITTEN",
        )

    async def audit(self, queue: str, cursor: tuple[str, str, str] | None = None) -> AuditPage:
        """One bounded step of the audit; call again with the page's cursor."""
        what, at, count = cursor or (_AUDITED[0], "0", str(AUDITED_MAX))
        try:
            reply = await self._run("audit", queue, [what, at, count])
        except errors.WrongState as damage:  # nothing else can be said of the queue
            return AuditPage(checked=0, findings=[Finding(invariant="I2", job_id=b"", detail=str(damage))])
        findings = [
            Finding(
                invariant=reply[i].decode(), job_id=reply[i + 1], detail=reply[i + 2].decode(errors="replace")
            )
            for i in range(3, len(reply), 3)
        ]
        following = None
        if reply[0] != b"0":
            following = (what, reply[0].decode(), str(_audit_next(int(count), read_bytes=int(reply[2]))))
        elif what != _AUDITED[-1]:
            following = (_AUDITED[_AUDITED.index(what) + 1], "0", str(AUDITED_MIN))
        checked = int(reply[1]) if what == "state" else 0
        return AuditPage(checked=checked, findings=findings, cursor=following)

    # --- change

    async def requeue(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> ready. Returns how many; jobs that died after `died_until_ms` are left."""
        await self._names.keep_known(queue)
        return await self._each_id("requeue", queue, [self._scripts.clock(), died_until_ms], ids)

    async def purge_dead(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> (gone). Returns how many; jobs that died after `died_until_ms` are left."""
        await self._names.keep_known(queue)
        return await self._each_id("purge_dead", queue, [died_until_ms], ids)

    async def purge(self, queue: str, *, limit: int) -> int:
        """ready or delayed, and set aside -> (gone), up to `limit` (at most 500) from the head. Returns how many."""
        await self._names.keep_known(queue)
        return int((await self._run("purge", queue, [min(limit, JOBS_MAX)]))[0])

    async def forget(self, queue: str) -> bool:
        """Drops settings, totals and history of an empty queue. False when it is not empty."""
        reply = await self._run("forget", queue, [])
        if reply[0] != b"FORGOTTEN":
            return False
        await self._names.leave(queue)
        return True

    async def forget_idle(self, queue: str, *, until_ms: int) -> bool:
        """Forgets an empty queue that nobody used after `until_ms` and no operator cares for. False when it is kept.

        Who uses it in this very moment enters it first: then it stays known, and has its first settings again.
        """
        (word,) = await self._run("forget_idle", queue, [])
        if word != b"FORGOTTEN":
            return False
        if await self._names.leave(queue, until_ms=until_ms):
            return True
        await self._first.begin(queue, again=True)
        return False

    async def cancel(self, queue: str, ids: Sequence[bytes]) -> list[CancelWord]:
        """ready or delayed -> (gone); inflight -> flagged. At most 500 ids."""
        await self._names.keep_known(queue)
        words: list[CancelWord] = []
        while len(words) < len(ids):  # large bodies are deleted in several steps
            rest = ids[len(words) :]
            words += [
                CancelWord(word.decode()) for word in await self._run("cancel", queue, rest, jobs=len(rest))
            ]
        return words

    async def run_now(self, queue: str, job_id: bytes) -> str:
        """delayed -> ready: OK, GONE or WRONG_STATE."""
        await self._names.keep_known(queue)
        return (await self._run("run_now", queue, [self._scripts.clock(), job_id]))[0].decode()

    async def pause(self, queue: str) -> None:
        await self._names.enter_all([queue])
        await self._run("pause", queue, [])

    async def resume(self, queue: str) -> None:
        await self._names.enter_all([queue])
        await self._run("resume", queue, [])

    async def configure(self, queue: str, settings: Mapping[str, float], *, owner: str = "") -> None:
        """Sets some of rate, burst, priority_step (ms), max_jobs, max_expirations. `owner` makes the queue when it is
        new. Raises QuotaExceeded."""
        await self._names.enter_all([queue], owner)
        args: list[Arg] = []
        for name, value in settings.items():
            args += (name, repr(value))
        await self._run("configure", queue, args)

    async def _run(self, script: str, queue: str, args: Sequence[Arg], *, jobs: int = 1) -> list[bytes]:
        return await self._scripts.run(script, keys.queue_keys(queue), args, jobs=jobs)

    async def _each_id(self, script: str, queue: str, head: list[Arg], ids: Sequence[bytes]) -> int:
        """Scripts that answer how many they changed, and how many they looked at."""
        total = at = 0
        while at < len(ids):
            chunk = ids[at : at + JOBS_MAX]
            changed, looked = await self._run(script, queue, [*head, *chunk], jobs=len(chunk))
            total, at = total + int(changed), at + int(looked)
        return total


def _snapshot(queue: str, reply: Sequence[bytes]) -> QueueSnapshot:
    """What `stats` answers."""
    return QueueSnapshot(
        queue=queue,
        now_ms=int(reply[0]),
        ready=int(reply[1]),
        delayed=int(reply[2]),
        inflight=int(reply[3]),
        dead=int(reply[4]),
        unreadable=int(reply[5]),
        oldest_ready_ms=int(reply[6]),
        paused=reply[7] == b"1",
        settings=_settings(*reply[8:13]),
        counters=_counters(reply[13:]),
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


def _from(state: State, cursor: Cursor | None, want: Want) -> list[Arg]:
    """direction, from_score, from_id"""
    start = cursor or Cursor(_or_empty(want.newest_at_ms), b"")
    return [_DIRECTIONS[state], start.score, start.id]


def _cursor(score: bytes, job_id: bytes) -> Cursor | None:
    return Cursor(score.decode(), job_id) if score else None


def _or_empty(number: float | None) -> str:
    return "" if number is None else repr(number)


def _audit_next(count: int, *, read_bytes: int) -> int:
    """Failures of one job may be 32 KiB, and Redis bounds a step by number only."""
    if read_bytes > AUDITED_BYTES_MAX:
        return max(1, count // 2)
    return min(AUDITED_MAX, count * 2) if read_bytes * 2 <= AUDITED_BYTES_MAX else count


def _counters(totals: Sequence[bytes]) -> dict[str, int]:
    """Totals by name, without what is no total."""
    pairs = zip(totals[::2], totals[1::2], strict=True)
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


def _stored(state: State, row: Sequence[bytes]) -> StoredJob:
    job_id, score, raw, body, failures = row
    return StoredJob(
        id=job_id,
        state=state,
        at_ms=_time(score),
        record=record.unpack_record(raw),
        body=body,
        failures=record.unpack_failures(failures),
    )
