"""Sends commands to the nodes that own their keys: pipelined per node, redirections followed, nothing run twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions as redis_errors

from relay_server.storage.connect import Node
from relay_server.storage.failures import is_lost_connection
from relay_server.storage.router import Router

PIPELINE_COMMANDS_MAX = 64
# A near Redis answers a pipeline within this time, and calls that gather meanwhile make the next pipeline fuller. With
# a distant Redis the next pipeline starts after this time; otherwise each call would cost two round trips, its own and
# the rest of the pipeline before it.
PIPELINES_MAX, _NEAR_S = 8, 0.01
_REDIRECTED_MAX_S = 5.0
_PAUSE_S, _PAUSE_MAX_S = 0.005, 0.1

Word = bytes | str | int | float


class NotReplicated(redis_errors.ConnectionError):
    """A write ran, but too few replicas confirmed it in time: it may not survive a failover."""


@dataclass(slots=True, eq=False)
class _Call:
    words: tuple[Word, ...]
    key: bytes
    future: "asyncio.Future[Any]"
    asking: bool = False
    redirects: int = 0
    redirected_at: float = 0.0


@dataclass(slots=True, eq=False)
class _NodeCalls:
    """The calls that wait for one node, and the tasks that send them: several when the node is far away."""

    waiting: list[_Call] = field(default_factory=list)
    pumps: "set[asyncio.Task[None]]" = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None


class Link:
    """Runs commands at their keys' nodes. A call that comes during a pipeline to its node goes with the next one.

    Nodes do not wait for each other. After MOVED, ASK and TRYAGAIN the call did not run, so it is sent to the right
    node, or again. A call whose reply was lost is never repeated here.
    """

    def __init__(self, router: Router, *, wait_replicas: int = 0, wait_ms: int = 1000) -> None:
        self.router = router
        self._wait = (wait_replicas, wait_ms)
        self._nodes: dict[Node, _NodeCalls] = {}

    async def execute(self, *words: Word, key: bytes) -> Any:
        """The reply of the node that owns `key`. Raises what redis-py raises."""
        call = _Call(words, key, asyncio.get_running_loop().create_future())
        self._submit(call, self.router.node(key))
        return await call.future

    async def execute_everywhere(self, commands: Sequence[tuple[Word, ...]]) -> None:
        """Runs each command on each primary, in order. Raises the first error."""
        waiting = []
        for node in self.router.primaries():
            for words in commands:
                call = _Call(words, b"", asyncio.get_running_loop().create_future())
                self._submit(call, node)
                waiting.append(call.future)
        for reply in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(reply, BaseException):
                raise reply

    def _submit(self, call: _Call, node: Node) -> None:
        calls = self._nodes.get(node)
        if calls is None:
            calls = self._nodes[node] = _NodeCalls()
        calls.waiting.append(call)
        if not calls.pumps:
            self._start(node, calls)
        elif calls.timer is None and len(calls.pumps) < PIPELINES_MAX:
            calls.timer = asyncio.get_running_loop().call_later(_NEAR_S, self._start_another, node, calls)

    def _start(self, node: Node, calls: _NodeCalls) -> None:
        pump = asyncio.create_task(self._run(node, calls), name="link")
        calls.pumps.add(pump)
        pump.add_done_callback(lambda done: self._ended(node, calls, done))

    def _start_another(self, node: Node, calls: _NodeCalls) -> None:
        """Called after `_NEAR_S`: calls may wait behind pipelines that are not answered yet."""
        calls.timer = None
        if calls.waiting and len(calls.pumps) < PIPELINES_MAX:
            self._start(node, calls)

    def _ended(self, node: Node, calls: _NodeCalls, pump: "asyncio.Task[None]") -> None:
        calls.pumps.discard(pump)
        if calls.pumps:
            return
        if calls.waiting:  # a call arrived after the pump looked for the last time
            self._start(node, calls)
            return
        if calls.timer is not None:
            calls.timer.cancel()
            calls.timer = None
        if self._nodes.get(node) is calls:  # or the entries of nodes that are gone would stay
            del self._nodes[node]

    async def _run(self, node: Node, calls: _NodeCalls) -> None:
        while calls.waiting:
            batch = calls.waiting[:PIPELINE_COMMANDS_MAX]
            del calls.waiting[:PIPELINE_COMMANDS_MAX]
            for call, reply in zip(batch, await self._replies(node, batch), strict=True):
                self._settle(node, call, reply)

    async def _replies(self, node: Node, batch: Sequence[_Call]) -> list[Any]:
        """A reply or an error for each; when the pipeline fails as a whole, its error for all."""
        try:
            return await self._pipeline(node, batch)
        except Exception as error:  # noqa: BLE001 - every waiting caller gets it
            return [error] * len(batch)

    async def _pipeline(self, node: Node, batch: Sequence[_Call]) -> list[Any]:
        commands: list[tuple[Word, ...]] = []
        for call in batch:
            if call.asking:  # ASKING holds for the next command of the connection only
                commands.append(("ASKING",))
            commands.append(call.words)
        replicas, within_ms = self._wait
        if replicas:
            commands.append(("WAIT", replicas, within_ms))
        replies = await node.pipeline(commands)
        if replicas and (isinstance(replies[-1], Exception) or int(replies[-1]) < replicas):
            unconfirmed = NotReplicated(f"{replies[-1]} of {replicas} replicas confirmed in {within_ms} ms")
            replies = [reply if isinstance(reply, Exception) else unconfirmed for reply in replies]
        answers, rest = [], iter(replies)
        for call in batch:
            if call.asking:
                next(rest)  # the reply to ASKING
            answers.append(next(rest))
        return answers

    def _settle(self, node: Node, call: _Call, reply: Any) -> None:
        if call.future.done():
            return
        if not isinstance(reply, Exception):
            call.future.set_result(reply)
        elif isinstance(reply, redis_errors.AskError | redis_errors.TryAgainError):
            self._follow(node, call, reply)
        else:
            if is_lost_connection(reply) or isinstance(reply, _DOUBTFUL):
                self.router.doubt()
            call.future.set_exception(reply)

    def _follow(self, node: Node, call: _Call, error: redis_errors.ResponseError) -> None:
        loop = asyncio.get_running_loop()
        if not call.redirects:
            call.redirected_at = loop.time()
        elif loop.time() - call.redirected_at > _REDIRECTED_MAX_S:
            self.router.doubt()
            call.future.set_exception(redis_errors.TryAgainError(f"redirected {call.redirects} times"))
            return
        call.redirects += 1
        call.asking = False
        target: Node | None = None
        waits = call.redirects - 1  # the first redirection is followed at once
        if isinstance(error, redis_errors.MovedError):  # which redis-py makes a kind of AskError
            self.router.moved(error.slot_id, (error.host or _host(node), error.port))
            self.router.doubt()
        elif isinstance(error, redis_errors.AskError):
            call.asking = True
            target = self.router.node_at((error.host or _host(node), error.port))
        else:
            waits = call.redirects
        pause = min(_PAUSE_MAX_S, _PAUSE_S * 2**waits) if waits else 0.0
        loop.call_later(pause, self._again, call, target)

    def _again(self, call: _Call, target: Node | None) -> None:
        if call.future.done():
            return
        try:
            self._submit(call, target or self.router.node(call.key))
        except redis_errors.ClusterDownError as error:
            call.future.set_exception(error)


# Errors after which another node may be the right one.
_DOUBTFUL = (
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.MasterDownError,
    redis_errors.BusyLoadingError,
)


def _host(node: Node) -> str:
    """The host that was asked: a redirection without a host means the same one."""
    return node.address[0] if node.address is not None else ""
