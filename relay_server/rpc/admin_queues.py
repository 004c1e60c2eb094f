"""AdminService, the part about queues, and about workers and servers: how they stand, and what changes them."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from relay.v1 import admin_service_pb2, admin_service_pb2_grpc
from relay_server import limits
from relay_server.engine import listings
from relay_server.engine.roster import Roster
from relay_server.model import QueueSnapshot
from relay_server.rpc import convert_admin, page_tokens
from relay_server.rpc.convert import timestamp
from relay_server.rpc.desk import Desk
from relay_server.rpc.server_facts import ServerFacts
from relay_server.rpc.stats_feed import StatsFeed
from relay_server.rpc.stats_frames import StatsFrames
from relay_server.rpc.validate import Checks
from relay_server.security.principals import Principal, Role, caller

pb = admin_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

_QUEUES_PER_PAGE = 100
_WORKERS_PER_PAGE = 100
_HISTORY_SPAN_MS = 3600 * limits.SECOND_MS


class AdminQueues(admin_service_pb2_grpc.AdminServiceServicer):
    """Parses, asks the engine, replies. Close the feed to end the streams that watch."""

    def __init__(self, desk: Desk, roster: Roster, feed: StatsFeed, facts: ServerFacts) -> None:
        self._desk = desk
        self._roster = roster
        self._feed = feed
        self._frames = StatsFrames(feed.snapshots)
        self._facts = facts

    # --- looking

    async def Stats(self, request: pb.StatsRequest, context: Context) -> pb.StatsResponse:
        following = ""
        if request.queue:
            snapshots = [await self._desk.ops.stats(await self._desk.known(request.queue))]
        else:
            names, following = await self._page_of_names("stats", request)
            snapshots = await self._feed.snapshots.read(names)
        return pb.StatsResponse(
            queues=map(convert_admin.queue_stats, snapshots),
            time=timestamp(await self._time_of(snapshots, one=bool(request.queue))),
            next_page_token=following,
        )

    async def WatchStats(self, request: pb.WatchStatsRequest, context: Context) -> None:  # type: ignore[override]
        queue, principal, version = request.queue, caller.get(), 0
        if queue:
            await self._desk.known(queue)

        shows = queue.__eq__ if queue else _visible(principal)

        with self._feed.watching() as following:
            while True:
                await following()
                version, frames = self._frames.since(version, (principal, queue), shows)
                for frame in frames:
                    await context.write(frame)

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:
        checks = Checks()
        span_ms = checks.duration(request.span, "span", high_ms=limits.HISTORY_SPAN_MS_MAX)
        queue = checks.queue(request.queue)
        checks.done()
        await self._desk.known(queue)
        now_ms = await self._desk.names.now_ms()  # by which the sampler names the minutes
        minutes = await listings.history(
            self._desk.ops, queue, now_ms=now_ms, span_ms=span_ms or _HISTORY_SPAN_MS
        )
        return pb.GetHistoryResponse(buckets=map(convert_admin.history_bucket, minutes))

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Context) -> pb.ListQueuesResponse:
        names, following = await self._page_of_names("queues", request)
        return pb.ListQueuesResponse(
            queues=map(convert_admin.queue_with_settings, await self._feed.snapshots.read(names)),
            next_page_token=following,
        )

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        checks, query = Checks(), ["workers"]
        after = page_tokens.read_place(checks, request.page_token, query)
        checks.done()
        size = page_tokens.page_size(request.page_size, default=_WORKERS_PER_PAGE)
        found, place = await listings.workers_page(
            self._roster, _visible(caller.get()), after=after, size=size
        )
        return pb.ListWorkersResponse(
            workers=map(convert_admin.worker, found), next_page_token=page_tokens.after_place(query, place)
        )

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        return convert_admin.server_info(self._facts, await self._facts.store_info())

    # --- changing

    async def UpdateQueue(self, request: pb.UpdateQueueRequest, context: Context) -> pb.UpdateQueueResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        values = convert_admin.changed_settings(checks, request.settings)
        checks.done()
        await self._desk.ops.configure(queue, values, owner=caller.get().owner)
        return pb.UpdateQueueResponse(queue=await self._queue(queue))

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Context) -> pb.PauseQueueResponse:
        queue = await self._desk.known(request.queue)
        await self._desk.ops.pause(queue)
        return pb.PauseQueueResponse(queue=await self._queue(queue))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Context) -> pb.ResumeQueueResponse:
        queue = await self._desk.known(request.queue)
        await self._desk.ops.resume(queue)
        return pb.ResumeQueueResponse(queue=await self._queue(queue))

    async def PurgeQueue(self, request: pb.PurgeQueueRequest, context: Context) -> None:  # type: ignore[override]
        checks = Checks()
        queue = checks.queue(request.queue)
        if request.confirm != queue and not request.dry_run:
            checks.add("confirm", "must be the name of the queue again, typed by the person who purges it")
        checks.done()
        await self._desk.names.check_known(queue)
        steps = await self._desk.bulk(queue, dry_run=request.dry_run).purge(forget=request.forget)
        async with aclosing(steps):
            async for step in steps:
                await context.write(
                    pb.PurgeQueueResponse(
                        purged=step.matched if request.dry_run else step.changed,
                        total=step.total,
                        forgotten=step.done and request.forget and not request.dry_run,
                        done=step.done,
                    )
                )

    async def Audit(self, request: pb.AuditRequest, context: Context) -> None:  # type: ignore[override]
        queues = (
            [await self._desk.known(request.queue)]
            if request.queue
            else caller.get().visible(await self._desk.names.all())
        )
        pace, turns = self._desk.pace(), self._desk.caller_turns()
        for queue in queues:
            async with aclosing(listings.audit(self._desk.ops, turns, queue, pace)) as pages:
                async for page in pages:
                    await context.write(convert_admin.audit_response(queue, page))

    # --- shared

    async def _page_of_names(
        self, listing: str, request: pb.StatsRequest | pb.ListQueuesRequest
    ) -> tuple[list[str], str]:
        """Names of queues that the caller may see, and the token of the page behind them."""
        checks = Checks()
        query = [listing, request.prefix]
        after = page_tokens.read(checks, request.page_token, query)
        checks.done()
        size = page_tokens.page_size(request.page_size, default=_QUEUES_PER_PAGE)
        page, more = listings.names_page(
            await self._desk.names.all(),
            _visible(caller.get()),
            prefix=request.prefix,
            after=after[0] if after else None,
            size=size,
        )
        return page, page_tokens.make(query, [page[-1]]) if more else ""

    async def _queue(self, queue: str) -> pb.Queue:
        return convert_admin.queue_with_settings(await self._desk.ops.stats(queue))

    async def _time_of(self, snapshots: Sequence[QueueSnapshot], *, one: bool) -> int:
        """Of one queue its node's time; of several that of the node with the names, for each node has its own."""
        return snapshots[0].now_ms if one else await self._desk.names.now_ms()


def _visible(principal: Principal) -> Callable[[str], bool]:
    return partial(principal.may, Role.VIEWER)
