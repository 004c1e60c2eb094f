"""What operators do to queues: look, cancel, requeue, purge, pause, configure, audit. Bulk work is small scripts."""

from collections.abc import Mapping, Sequence

from relay_server.engine import keys, record
from relay_server.engine.batching import JOBS_MAX
from relay_server.engine.engine import Engine
from relay_server.engine.scripts import Arg
from relay_server.model import (
    AuditPage,
    CancelWord,
    Cursor,
    Finding,
    Page,
    QueueSnapshot,
    Settings,
    State,
    StoredJob,
)

PAGE_BODIES_BYTES_MAX = 1 << 20
PREVIEW_BODY_BYTES_MAX = 16 << 10
HISTORY_MINUTES = 24 * 60

_HISTORY_FIELDS = ("enqueued", "acked", "retried", "expired", "dead", "ready", "inflight")
# Nearest first: next to run, next due, next to expire; the newest death.
_DIRECTIONS = {State.READY: "up", State.DELAYED: "up", State.INFLIGHT: "up", State.DEAD: "down"}


class Operations:
    """Reads and changes queues. Raises StoreUnavailable when the outcome is unknown; asking again is safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- look

    async def stats(self, queue: str) -> QueueSnapshot:
        """Sizes, age of the oldest ready job, settings and totals."""
        reply = await self._run("stats", queue, [self._engine.clock()])
        totals = reply[12:]
        return QueueSnapshot(
            queue=queue,
            now_ms=int(reply[0]),
            ready=int(reply[1]),
            delayed=int(reply[2]),
            inflight=int(reply[3]),
            dead=int(reply[4]),
            oldest_ready_ms=int(reply[5]),
            paused=reply[6] == b"1",
            settings=Settings(
                rate=float(reply[7]),
                burst=int(float(reply[8])),
                priority_step_ms=int(float(reply[9])),
                max_jobs=int(float(reply[10])),
                max_expirations=int(float(reply[11])),
            ),
            counters={totals[i].decode(): int(totals[i + 1]) for i in range(0, len(totals), 2)},
        )

    async def list_jobs(
        self,
        queue: str,
        state: State,
        *,
        cursor: Cursor | None,
        limit: int,
        newest_at_ms: int | None = None,
        previews: bool = True,
    ) -> Page:
        """A page of one state. `newest_at_ms` starts a listing of dead letters at that time of death.

        Without `previews` bodies and failures are left out, for those who go over a whole index.
        """
        start = cursor or Cursor("" if newest_at_ms is None else str(newest_at_ms), 0)
        direction = _DIRECTIONS[state]
        index_keys = {**keys.queue_keys(queue), "index": keys.queue_keys(queue)[state.name.lower()]}
        preview_max = PREVIEW_BODY_BYTES_MAX if previews else -1
        args: list[Arg] = [
            direction, start.score, start.skip, limit, preview_max, PAGE_BODIES_BYTES_MAX
        ]  # fmt: skip
        reply = await self._engine.scripts.run("list", index_keys, args)
        jobs: list[StoredJob] = []
        scores: list[str] = []
        for i in range(1, len(reply), 5):
            scores.append(reply[i + 1].decode())
            if reply[i + 2]:  # an id without a record is for the audit to report
                jobs.append(_stored(state, reply[i : i + 5]))
        following = None
        if len(scores) == limit:
            same = sum(1 for score in scores if score == scores[-1])
            passed = start.skip if start.score == scores[-1] else 0
            following = Cursor(scores[-1], same + passed)
        return Page(jobs=jobs, total=int(reply[0]), cursor=following)

    async def get_job(self, queue: str, job_id: bytes) -> StoredJob | None:
        """One whole job, or None."""
        reply = await self._run("get_job", queue, [job_id])
        if reply[0] != b"OK":
            return None
        return _stored(State[reply[1].decode().upper()], [job_id, *reply[2:]])

    async def history(self, queue: str, *, since_minute: int) -> list[tuple[int, dict[str, int]]]:
        """(minute, totals at its end), oldest first."""
        raw: Mapping[bytes, bytes] = await self._engine.directory.read_hash(keys.queue_keys(queue)["history"])
        rows = [
            (int(minute), dict(zip(_HISTORY_FIELDS, map(int, line.split()), strict=True)))
            for minute, line in raw.items()
            if int(minute) >= since_minute
        ]
        return sorted(rows, key=lambda row: row[0])

    async def record_history(self, queue: str, minute: int) -> bool:
        """Writes the totals down for a minute, unless another server did."""
        reply = await self._run("history", queue, [minute, HISTORY_MINUTES])
        return reply[0] == b"WRITTEN"

    async def audit(self, queue: str, cursor: tuple[str, str] | None = None) -> AuditPage:
        """One bounded step of the audit; call again with the page's cursor."""
        what, at = cursor or ("state", "0")
        reply = await self._run("audit", queue, [what, at])
        findings = [
            Finding(invariant=reply[i].decode(), job_id=reply[i + 1], detail=reply[i + 2].decode())
            for i in range(2, len(reply), 3)
        ]
        following = (
            (what, reply[0].decode()) if reply[0] != b"0" else ("error", "0") if what == "state" else None
        )
        checked = int(reply[1]) if what == "state" else 0
        return AuditPage(checked=checked, findings=findings, cursor=following)

    # --- change

    async def requeue(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> ready. Returns how many; jobs that died after `died_until_ms` are left."""
        return await self._each_id("requeue", queue, [self._engine.clock(), died_until_ms], ids)

    async def purge_dead(self, queue: str, ids: Sequence[bytes], *, died_until_ms: int) -> int:
        """dead -> (gone). Returns how many; jobs that died after `died_until_ms` are left."""
        return await self._each_id("purge_dead", queue, [died_until_ms], ids)

    async def purge(self, queue: str, *, limit: int) -> int:
        """ready or delayed -> (gone), up to `limit` (at most 500) from the head. Returns how many."""
        return int((await self._run("purge", queue, [min(limit, JOBS_MAX)]))[0])

    async def forget(self, queue: str) -> bool:
        """Drops settings, totals and history of an empty queue. False when it is not empty."""
        reply = await self._run("forget", queue, [])
        if reply[0] != b"FORGOTTEN":
            return False
        await self._engine.directory.remove(queue)
        return True

    async def cancel(self, queue: str, ids: Sequence[bytes]) -> list[CancelWord]:
        """ready or delayed -> (gone); inflight -> flagged. At most 500 ids."""
        reply = await self._run("cancel", queue, ids, jobs=len(ids))
        return [CancelWord(word.decode()) for word in reply]

    async def run_now(self, queue: str, job_id: bytes) -> str:
        """delayed -> ready: OK, GONE or WRONG_STATE."""
        return (await self._run("run_now", queue, [self._engine.clock(), job_id]))[0].decode()

    async def pause(self, queue: str) -> None:
        await self._engine.directory.add(queue)
        await self._run("pause", queue, [])

    async def resume(self, queue: str) -> None:
        await self._engine.directory.add(queue)
        await self._run("resume", queue, [])

    async def configure(self, queue: str, settings: Mapping[str, float]) -> None:
        """Sets some of rate, burst, priority_step (ms), max_jobs, max_expirations."""
        await self._engine.directory.add(queue)
        args: list[Arg] = []
        for name, value in settings.items():
            args += (name, repr(value))
        await self._run("configure", queue, args)

    async def _run(self, script: str, queue: str, args: Sequence[Arg], *, jobs: int = 1) -> list[bytes]:
        return await self._engine.scripts.run(script, keys.queue_keys(queue), args, jobs=jobs)

    async def _each_id(self, script: str, queue: str, head: list[Arg], ids: Sequence[bytes]) -> int:
        total = 0
        for i in range(0, len(ids), JOBS_MAX):
            chunk = ids[i : i + JOBS_MAX]
            total += int((await self._run(script, queue, [*head, *chunk], jobs=len(chunk)))[0])
        return total


def _stored(state: State, row: Sequence[bytes]) -> StoredJob:
    job_id, score, raw, body, failures = row
    return StoredJob(
        id=job_id,
        state=state,
        at_ms=int(float(score)),
        record=record.unpack_record(raw),
        body=body,
        failures=record.unpack_failures(failures),
    )
