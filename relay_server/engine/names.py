"""The names of all queues: which there are, who made them, and when each was last used by any server."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from relay_server.engine import keys
from relay_server.engine.refusals import Refusals, Refused
from relay_server.engine.scripts import ScriptRunner
from relay_server.errors import QueueNotFound, QuotaExceeded, StoreOutOfMemory, StoreUnavailable
from relay_server.words import EnterWord, LeaveWord, words_of

_ENTER_WORDS, _LEAVE_WORDS = words_of(EnterWord), words_of(LeaveWord)
# A queue in use is noted again so often, and is known without asking for so long after it was noted.
RENEW_S, TRUST_S = 40.0, 120.0
# Longer than a queue in use goes without a note, on any server.
RECENT_MS = 150_000
_REMEMBERED_MAX = 50_000
_NAMES_PER_CALL = 500
# A long list of names is kept for this many times as long as it took to read, so reading takes 5 % of the time at most.
_KEEP_FACTOR, _KEEP_FROM_NAMES = 20, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NameLimits:
    """Queues that the store may hold, and that one principal may have made; 0: any number."""

    queues_max: int = 0
    owned_max: int = 0


class Used(NamedTuple):
    """Some queues by their last use; `total` counts all that there are."""

    now_ms: int
    total: int
    names: list[str]


async def _nothing(_: str) -> None:
    """Queues begin without settings."""


class Names:
    """A queue is entered before its first write; while it is in use that is noted again and again.

    So a queue with jobs is always listed, and one that nobody used for long is known by its last use.
    `begin` is told of each queue that may be new, after it is entered and before anybody uses it here.
    """

    def __init__(
        self,
        scripts: ScriptRunner,
        *,
        limits: NameLimits,
        begin: Callable[[str], Awaitable[None]] = _nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scripts = scripts
        self._limits = limits
        self._begin = begin
        self._clock = clock
        self._noted_at: dict[str, float] = {}
        self._to_note: set[str] = set()
        self._entries: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._refusals = Refusals(self._refused_of, clock=clock)
        self._list: list[str] = []
        self._list_until = 0.0
        self._changes = 0

    # --- in use

    def trusts(self, queue: str) -> bool:
        """Whether the queue is known to be entered, without asking; and if so that it is in use."""
        noted_at = self._noted_at.get(queue)
        if noted_at is None:
            return False
        self._to_note.add(queue)
        return self._clock() - noted_at < TRUST_S

    def touch(self, queue: str) -> None:
        """The queue is in use. Says nothing about whether it is known."""
        if len(self._to_note) < _REMEMBERED_MAX:
            self._to_note.add(queue)

    async def enter(self, queue: str, owner: str = "") -> None:
        """Makes the queue known. Raises QuotaExceeded when it would be new and one too many; StoreOutOfMemory."""
        if self.trusts(queue):
            return
        await self._refusals.check(queue, owner)
        entry = self._entries.get((queue, owner))
        if entry is None:  # many first calls of a queue are one
            entry = asyncio.ensure_future(self._enter([queue], owner))
            self._entries[queue, owner] = entry
            entry.add_done_callback(lambda done: self._end_entry(queue, owner, done))
        await asyncio.shield(entry)

    def _end_entry(self, queue: str, owner: str, done: "asyncio.Future[None]") -> None:
        del self._entries[queue, owner]
        if not done.cancelled():
            done.exception()  # marks it as seen, if every caller was cancelled

    async def enter_all(self, queues: Iterable[str], owner: str = "", *, limited: bool = True) -> None:
        """As `enter`, for all of them or none. A full Redis takes no entry, and must not stop a claim for that.

        Not `limited`: whatever NameLimits say.
        """
        unknown = [queue for queue in queues if not self.trusts(queue)]
        try:
            if unknown:
                await self._enter(unknown, owner, limited=limited)
        except StoreOutOfMemory:
            return

    async def keep_known(self, queue: str) -> None:
        """What is claimed from or changed is known, and stays it. No quota stops who was let in before."""
        if not self.trusts(queue):
            await self.enter_all([queue], limited=False)

    async def _enter(self, queues: Sequence[str], owner: str, *, limited: bool = True) -> None:
        limits = self._limits if limited else NameLimits()
        script, args = "enter", dict[str, Any]()
        if owner:
            script, args = "enter_owned", {"who": owner, "owned_max": limits.owned_max}
        reply = await self._scripts.call_on(
            script, keys.NAMES_KEYS, queues_max=limits.queues_max, rows=queues, jobs=1, **args
        )
        word, new = _ENTER_WORDS[reply.word], reply.rows
        if word is not EnterWord.OK:
            self._refusals.note(owner)
            raise _refusal(word, owner, limits)
        if new:
            self._note_change()
        await asyncio.gather(*(self._begin(queue) for queue in queues))
        self._note(queues)

    async def _refused_of(self, owner: str, queues: set[str]) -> Refused:
        """Which of these the owner may not make. One of them is tried: there may be room again."""
        names = sorted(queues)
        scores = await self._scripts.command("ZMSCORE", keys.QUEUES, *names)
        unknown = [name for name, score in zip(names, scores, strict=True) if score is None]
        try:
            if unknown:
                await self._enter(unknown[:1], owner)
        except QuotaExceeded as error:
            return dict.fromkeys(unknown, error)
        return {}

    def _note(self, queues: Iterable[str]) -> None:
        now = self._clock()
        if len(self._noted_at) >= _REMEMBERED_MAX:
            self._noted_at = {queue: at for queue, at in self._noted_at.items() if now - at < RENEW_S}
            if len(self._noted_at) >= _REMEMBERED_MAX:
                self._noted_at.clear()
        self._noted_at.update(dict.fromkeys(queues, now))

    async def renew(self) -> list[str]:
        """Notes the queues that were used since their last note, once that is RENEW_S old. Returns those that had been
        entered here and are known no more."""
        since = self._clock() - RENEW_S
        waiting = [queue for queue in self._to_note if self._noted_at.get(queue, since) <= since]
        self._to_note.difference_update(waiting)
        lost: list[str] = []
        for i in range(0, len(waiting), _NAMES_PER_CALL):
            chunk = waiting[i : i + _NAMES_PER_CALL]
            try:
                reply = await self._scripts.call_on("renew", keys.NAMES_KEYS, rows=chunk, jobs=1)
            except StoreUnavailable:
                self._to_note.update(waiting[i : i + _REMEMBERED_MAX])
                raise
            unknown = {name.decode() for name in reply.rows}
            lost += [queue for queue in unknown if self._noted_at.pop(queue, None) is not None]
            self._note(queue for queue in chunk if queue not in unknown)
        return lost

    async def leave(self, queue: str, *, until_ms: int | None = None) -> bool:
        """The queue is known no more, unless it was used after `until_ms`; False when it was."""
        self._noted_at.pop(queue, None)
        self._to_note.discard(queue)
        # It has the same owner as long as it is known.
        owned = await self._scripts.command("HEXISTS", keys.OWNER, queue)
        reply = await self._scripts.call_on(
            "leave_owned" if owned else "leave",
            keys.NAMES_KEYS,
            name=queue,
            until_ms="" if until_ms is None else until_ms,
        )
        self._note_change()
        return _LEAVE_WORDS[reply.word] is not LeaveWord.USED

    # --- which there are

    async def all(self) -> list[str]:
        """All queues, sorted. On this server it is never older than what this server did."""
        started = self._clock()
        if started < self._list_until:
            return self._list
        changes = self._changes
        members: list[bytes] = await self._scripts.command("ZRANGE", keys.QUEUES, 0, -1)
        names = sorted(_read(members))
        if len(names) >= _KEEP_FROM_NAMES and changes == self._changes:
            now = self._clock()
            self._list, self._list_until = names, now + (now - started) * _KEEP_FACTOR
        return names

    def _note_change(self) -> None:
        self._changes += 1
        self._list_until = 0.0

    async def recent(self) -> Used:
        """Those that any server used of late, and the store's time."""
        return await self._used(oldest_ms=RECENT_MS)

    async def used_since(self, queues: Sequence[str], since_ms: int) -> set[str]:
        """Which of these any server used since, by the store's clock, or this one is about to note."""
        if not queues:
            return set()
        scores = await self._scripts.command("ZMSCORE", keys.QUEUES, *queues)
        in_use = {queue for queue, score in zip(queues, scores, strict=True) if float(score or 0) > since_ms}
        return in_use | self._to_note.intersection(queues)

    async def unused(self, for_ms: int, *, skip: int, limit: int) -> Used:
        """Some of those that nobody used for so long, the longest unused first."""
        return await self._used(newest_ms=for_ms, skip=skip, limit=limit)

    async def _used(
        self, *, oldest_ms: int | None = None, newest_ms: int = 0, skip: int = 0, limit: int = -1
    ) -> Used:
        reply = await self._scripts.call_on(
            "used",
            keys.NAMES_KEYS,
            oldest_ms="" if oldest_ms is None else oldest_ms,
            newest_ms=newest_ms,
            skip=skip,
            limit=limit,
        )
        return Used(int(reply.now), int(reply.total), _read(reply.rows))

    async def now_ms(self) -> int:
        """The time of the node that has the names, by which their last uses are noted."""
        return (await self._used(limit=0)).now_ms

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """About `count` names and where to go on; 0 is the start, and the end."""
        following, page = await self._scripts.command("ZSCAN", keys.QUEUES, cursor, "COUNT", count)
        return int(following), _read(name for name, _ in page)

    async def knows(self, queue: str) -> bool:
        return await self._scripts.command("ZSCORE", keys.QUEUES, queue) is not None

    async def check_known(self, queue: str) -> None:
        """Raises QueueNotFound for a queue that nobody ever used."""
        if not await self.knows(queue):
            raise QueueNotFound(f"no queue {queue} has been seen", metadata={"queue": queue})


def _read(members: Iterable[bytes]) -> list[str]:
    """Names, without those that are no text: no queue of Relay's has such a one, and it must not hide the others."""
    names: list[str] = []
    for member in members:
        try:
            names.append(member.decode())
        except UnicodeDecodeError:
            continue
    return names


def _refusal(word: EnterWord, owner: str, limits: NameLimits) -> QuotaExceeded:
    """What is over, and what to do about it."""
    if word is EnterWord.QUOTA:
        return QuotaExceeded(
            f"{owner} has made {limits.owned_max} queues that are still known, as many as one principal may "
            "(--principal-queues-max): use those, or have empty ones forgotten (relay purge-queue --forget)",
            metadata={"subject": f"principal:{owner}"},
        )
    return QuotaExceeded(
        f"the store knows {limits.queues_max} queues, as many as it may (--queues-max): use those, or have empty "
        "ones forgotten (relay purge-queue --forget)",
        metadata={"subject": "queues"},
    )
