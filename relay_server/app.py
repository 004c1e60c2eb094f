"""The composition root: the only place that knows what the server is made of and in which order it starts and stops."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from relay_server import __version__, limits, memory, process, tasks
from relay_server.claims.dispatchers import Dispatchers
from relay_server.claims.hand_back import HandBack
from relay_server.claims.rooms import RoomBounds, Rooms
from relay_server.claims.roster_writer import RosterWriter
from relay_server.claims.sessions import Sessions
from relay_server.claims.streams import ClaimStreams
from relay_server.claims.windows import Windows
from relay_server.config import HTTP_OFF, Config
from relay_server.engine import CLAIMED_BODIES_BYTES_MAX, ScriptRunner, StoreFormat, Wakeups, make_engine
from relay_server.engine.keys import server_channel
from relay_server.engine.names import NameLimits
from relay_server.engine.snapshots import Snapshots
from relay_server.engine.turns import Turns
from relay_server.engine.wakeups import tell_server
from relay_server.gateway.edge import HttpEdge, start_http, start_metrics
from relay_server.gateway.listening.serve import HttpListener
from relay_server.gateway.pages.http_app import Probes
from relay_server.loops import forgetter, renewer, sampler, sweeps
from relay_server.loops.loop import Loop
from relay_server.observability.exposition import Exposition
from relay_server.observability.logs import configure_logging
from relay_server.observability.metrics import Metrics
from relay_server.queue_defaults import parse, settings_of
from relay_server.rpc.admin_service import AdminService
from relay_server.rpc.claim_frames import ClaimFrames
from relay_server.rpc.dead_letter_service import DeadLetterService
from relay_server.rpc.desk import Desk
from relay_server.rpc.queue_service import QueueService
from relay_server.rpc.scaler_reads import ScalerReads
from relay_server.rpc.scaler_service import ScalerService
from relay_server.rpc.server import GrpcLimits, GrpcServer
from relay_server.rpc.server_facts import ServerFacts, store_info_of
from relay_server.rpc.stats_feed import StatsFeed
from relay_server.security.credentials import Credentials
from relay_server.security.gate import Gate, PrincipalLimits
from relay_server.security.tls import TlsFiles
from relay_server.storage import Health, Storage, StorageConfig, open_storage
from relay_server.threads import let_the_loop_go_first

_log = structlog.get_logger(__name__)

_HEALTH_EVERY_S = 1.0
_FORMAT_EVERY_S = 1.0
_REFUSED_STREAMS_EVERY_S = 5.0
_HAND_BACK_S = 2.0  # at the end, when the store is away

Ready = Callable[[str], None]


async def run(config: Config, ready: Ready) -> None:
    """Serves until SIGTERM or SIGINT; a second one ends the process at once. `ready` gets a line with the addresses."""
    memory.tune_malloc()
    configure_logging(config.log_format, level=config.log_level.upper())
    process.allow_open_files(
        config.connections_max + (config.http_connections_max if config.http != HTTP_OFF else 0)
    )
    stop = asyncio.Event()
    process.stop_on_signals(stop)
    storage_config = StorageConfig(redis_url=config.redis_url, data_dir=config.data_dir)
    async with await open_storage(storage_config) as storage:
        await Server(config, storage).run(stop, ready)


class Server:
    """A server on an opened storage. Everything it runs lives in one task group."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self.config = config
        self.storage = storage
        self.server_id = f"{socket.gethostname()[:20]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.credentials = Credentials(_tls_files(config), config.tokens_file)
        self.metrics = Metrics(queues_max=config.metrics_queues_max)
        self.engine = engine = make_engine(
            ScriptRunner(storage.link, observe=self.metrics.observe_script),
            server_id=self.server_id,
            observe_batch=self.metrics.observe_batch,
            name_limits=NameLimits(queues_max=config.queues_max, owned_max=config.principal_queues_max),
            first_settings=partial(settings_of, [parse(text) for text in config.queue_default]),
        )
        self.format = StoreFormat(storage.link)
        self.wakeups = Wakeups(storage.listen)
        self.sessions = Sessions(self.server_id, Rooms(_room_bounds(config)))
        self._group = asyncio.TaskGroup()
        self.hand_back = HandBack(engine.transitions, spawn=self._spawn)
        self.dispatchers = Dispatchers(
            engine.transitions,
            self.wakeups,
            self.sessions,
            self.hand_back,
            spawn=self._spawn,
            on_claimed=self.metrics.claimed,
        )
        self.roster_writer = RosterWriter(engine.roster, self.server_id)
        self.streams = ClaimStreams(
            engine.transitions,
            self.sessions,
            self.dispatchers,
            self.roster_writer,
            self.hand_back,
            ClaimFrames(),
            spawn=self._spawn,
            on_count=self.metrics.set_streams,
            streams_max=config.streams_max,
            principal_streams_max=config.principal_streams_max,
            keep_alive_s=config.keep_alive_s,
            age_max_s=config.stream_age_max_s,
        )
        self.windows = Windows(
            self.server_id, self.sessions, self.dispatchers, partial(tell_server, engine.scripts)
        )
        self.snapshots = Snapshots(engine.names, engine.operations)
        self.feed = StatsFeed(self.snapshots)
        self._draining = asyncio.Event()
        self._serving = False
        self.gate = Gate(self.credentials.tokens, _principal_limits(config))
        self.grpc = self._make_grpc()
        self._health = Health()
        self._probes = Probes(serving=lambda: self._serving, health=lambda: self._health, stale=self._stale)
        self.http: HttpEdge | None = None
        self.scraped: HttpListener | None = None

    def _make_grpc(self) -> GrpcServer:
        engine = self.engine
        queue = QueueService(
            engine.transitions,
            engine.names,
            self.streams,
            self.windows,
            payload_bytes_max=self.config.payload_bytes_max,
            on_acked=self.metrics.acked,
        )
        facts = ServerFacts(
            version=__version__,
            server_id=self.server_id,
            start_ms=time.time_ns() // 1_000_000,
            payload_bytes_max=self.config.payload_bytes_max,
            streams_max=self.config.streams_max,
            store_info=store_info_of(self.storage, self.format),
            streams=lambda: len(self.streams),
            script_timings=self.metrics.script_timings,
        )
        desk = Desk(ops=engine.operations, names=engine.names, turns=Turns(), draining=self._draining)
        return GrpcServer(
            queue,
            DeadLetterService(desk),
            AdminService(desk, engine.roster, self.feed, facts),
            ScalerService(
                ScalerReads(engine.operations, engine.names, engine.roster),
                self.feed,
                draining=self._draining,
            ),
            observe=self.metrics.grpc_handled,
            gate=self.gate,
            most=_grpc_limits(self.config),
        )

    async def run(self, stop: asyncio.Event, ready: Ready) -> None:
        """Starts everything, waits for `stop`, and ends everything in the opposite order."""
        async with self._group:
            await self.format.read_or_set()
            await self.engine.scripts.load()
            tls = self.credentials.tls
            if tls is not None:
                await tls.check()
            port = self.grpc.bind(self.config.listen, tls)
            self._health = await self.storage.health()
            await self._start_http()
            bound = _bound(self.config.listen, port)
            forever = [*self._follow_credentials(bound), *self._start_loops()]
            await self.grpc.start()
            self._serving = True
            watching = [
                self._spawn(self._watch_health(), "health"),
                # Not through _spawn: StoreFormatRefused must end the process, before it harms a newer format.
                self._group.create_task(self._watch_format(), name="format"),
            ]
            memory.quiet_garbage_collector()
            let_the_loop_go_first()
            _warn_if_open(self.config)
            http = f"{self.http.host}:{self.http.port}" if self.http else HTTP_OFF
            scraped = f" metrics={self.scraped.host}:{self.scraped.port}" if self.scraped else ""
            ready(f"relay-server ready grpc={bound} http={http}{scraped} redis={self.storage.shown}")
            await stop.wait()
            await tasks.end(watching)  # otherwise it could report the server as serving again
            await self._shut_down(forever)

    def _start_loops(self) -> "list[asyncio.Task[None]]":
        """The loops, and what else runs from the start to the end. `run` starts what follows credentials and health."""
        self.wakeups.listen_channel(server_channel(self.server_id), self.windows.forwarded)
        names, ops = self.engine.names, self.engine.operations
        loops: list[Loop[Any]] = [
            *sweeps.make_sweeps(self.engine.transitions, names, self.metrics),
            sampler.make_sampler(ops, self.metrics, self.snapshots),
            renewer.make_renewer(names, ops, self.metrics),
        ]
        if idle_s := self.config.queue_idle_forget_s:
            loops.append(forgetter.make_forgetter(names, ops, self.metrics, idle_s=idle_s))
        return [
            self._spawn(self.wakeups.run(), "wakeups"),
            self._spawn(self.roster_writer.run(self.streams.connected), "roster-writer"),
            self._spawn(memory.Remains().run(), "memory"),
            *(self._spawn(loop.run(), loop.name) for loop in loops),
        ]

    def _follow_credentials(self, address: str) -> "list[asyncio.Task[None]]":
        followers = self.credentials.follow(address, failed=self.metrics.reload_failed)
        for follower in followers:
            self.metrics.follow_reloads(follower)
        started = [self._spawn(follower.run(), follower.kind) for follower in followers]
        if self.credentials.tokens is not None:
            started.append(self._spawn(self._end_refused_streams(), "refused-streams"))
        return started

    def _stale(self) -> str:
        return self.credentials.stale(self.config.credentials_stale_max_s)

    async def _end_refused_streams(self) -> None:
        while True:
            await asyncio.sleep(_REFUSED_STREAMS_EVERY_S)
            self.grpc.end_refused_streams()

    async def _start_http(self) -> None:
        exposition = Exposition(self.metrics.parts)
        tls = self.credentials.tls.context if self.credentials.tls is not None else None
        if self.config.http != HTTP_OFF:
            self.http = await start_http(
                self.config,
                bind_grpc=self.grpc.bind,
                metrics=self.metrics,
                exposition=exposition,
                tls=tls,
                gate=self.gate,
                probes=self._probes,
                version=__version__,
            )
        if self.config.metrics != HTTP_OFF:
            self.scraped = await start_metrics(
                self.config, exposition=exposition, probes=self._probes, tls=tls
            )

    async def _shut_down(self, forever: "list[asyncio.Task[None]]") -> None:
        """Ends streams first, as an idle stream would wait out the grace. The caller closes the storage afterwards."""
        started = time.monotonic()
        self._serving = False
        await self.grpc.set_serving(serving=False)
        self._draining.set()
        self.feed.close()
        streams = len(self.streams)
        await self.streams.drain(self.config.drain_grace_s)
        await self.dispatchers.stop()
        await self.grpc.stop(self.config.drain_grace_s, ended=streams)
        for listener in (self.http, self.scraped):
            if listener is not None:
                await listener.stop()
        if self.credentials.tls is not None:
            self.credentials.tls.port.close()
        await self.hand_back.finish(_HAND_BACK_S)
        await self.roster_writer.flush()
        await tasks.end(forever)
        _log.info("stopped", seconds=round(time.monotonic() - started, 3))

    async def _watch_health(self) -> None:
        """Readiness depends on Redis and on current credentials; liveness depends on neither."""
        serving: bool | None = None
        while True:
            health = self._health = await self.storage.health()
            stale = self._stale()
            ok = health.ok and not stale
            if ok is not serving:
                serving = ok
                await self.grpc.set_serving(serving=serving)
                reason = health.trouble or ("stale_credentials" if stale else None)
                _log.info(
                    "serving" if serving else "not_serving", reason=reason, detail=health.detail or stale
                )
            await asyncio.sleep(_HEALTH_EVERY_S)

    async def _watch_format(self) -> None:
        """Checks the format once a second: a failover may lead to another store, another server may upgrade it."""
        while True:
            await asyncio.sleep(_FORMAT_EVERY_S)
            await self.format.look_again()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Starts work that no call waits for. A failure is logged, and ends nothing else."""

        async def guarded() -> None:
            try:
                await work
            except Exception:  # noqa: BLE001 - logged, and no call waits for it
                _log.exception("background_failed", work=name)

        return self._group.create_task(guarded(), name=name)


def _room_bounds(config: Config) -> RoomBounds:
    return RoomBounds(
        session=config.session_bytes_max,
        principal=config.principal_bytes_max,
        server=config.waiting_bytes_max,
        # A claim brings at least one job, however large.
        claim=max(CLAIMED_BODIES_BYTES_MAX, config.payload_bytes_max + limits.HEADERS_BYTES_MAX),
    )


def _tls_files(config: Config) -> TlsFiles | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return TlsFiles(cert=config.tls_cert, key=config.tls_key, client_ca=config.tls_client_ca)


def _principal_limits(config: Config) -> PrincipalLimits:
    return PrincipalLimits(
        streams=config.principal_streams_max,
        calls_per_s=config.principal_calls_per_s,
        opens_per_s=config.principal_opens_per_s,
        subscriptions=config.principal_subscriptions_max,
        watches=config.principal_watches_max,
    )


def _grpc_limits(config: Config) -> GrpcLimits:
    return GrpcLimits(
        connections=config.connections_max,
        connection_calls=config.connection_calls_max,
        calls=config.calls_max,
        message_within_s=config.message_within_s,
    )


def _warn_if_open(config: Config) -> None:
    missing = config.guards_missing
    if not missing or not config.public_addresses:
        return
    banner = "ANYONE WHO REACHES THIS SERVER MAY READ AND USE EVERY QUEUE"
    if config.tokens_file is not None:
        banner = "TOKENS AND PAYLOADS CROSS THE NETWORK IN THE CLEAR"
    _log.warning(banner, open=", ".join(config.public_addresses), missing=" and ".join(missing))


def _bound(address: str, port: int) -> str:
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
