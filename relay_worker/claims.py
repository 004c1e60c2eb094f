"""Owns the Claim stream: opens it, reads it in a thread of its own, and opens it again whenever it ends."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration

from relay.v1 import queue_service_pb2 as pb
from relay_client.durations import to_proto
from relay_client.errors import RelayError, from_rpc_error
from relay_worker.leases import LeaseKeeper
from relay_worker.link import ServerLink
from relay_worker.model import HeldJob, received, seconds
from relay_worker.window import Window

_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 5.0
# Until Started brings the server's own interval.
_KEEP_ALIVE_DEFAULT_S = 15.0
# Longest wait for Started on a connection that was accepted.
_STARTED_WITHIN_S = 10.0
# After the window is closed, frames that are on the wire already have this long to arrive.
_LAST_FRAMES_S = 0.1

_HOPELESS = {
    grpc.StatusCode.INVALID_ARGUMENT: "the server refused the claim",
}
# Hopeless until the first stream. Later, a new token may still arrive, and a proxy get its servers back.
_HOPELESS_FIRST = {
    grpc.StatusCode.UNIMPLEMENTED: "this is not a Relay server, or a much older one",
    grpc.StatusCode.UNAUTHENTICATED: "the server wants credentials, or others",
    grpc.StatusCode.PERMISSION_DENIED: "these credentials may not claim from these queues",
}

_log = structlog.get_logger("relay_worker.claims")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSettings:
    """The parameters of a Claim. Times in seconds."""

    queues: Mapping[str, int]
    worker_id: str
    max_in_flight: int
    lease_s: float
    disconnect_grace_s: float
    client_version: str


class Claims:
    """The stream and its reader.

    on_jobs and on_fatal are called in the reader's thread. The reader is not the event loop: it takes jobs
    in, and their leases are kept, while a handler blocks the loop.
    """

    def __init__(
        self,
        link: ServerLink,
        window: Window,
        leases: LeaseKeeper,
        settings: ClaimSettings,
        *,
        on_jobs: Callable[[list[HeldJob]], None],
        on_fatal: Callable[[str], None],
    ) -> None:
        self._link = link
        self._window = window
        self._leases = leases
        self._settings = settings
        self._on_jobs = on_jobs
        self._on_fatal = on_fatal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-claims", daemon=True)
        self._lock = threading.Lock()
        self._call: grpc.RpcContext | None = None
        self._cut_at = float("inf")
        self._why_cut = ""
        self._target = ""
        self._failures = 0
        self._ever_started = False
        self._connected = False
        self._keep_alive_s = _KEEP_ALIVE_DEFAULT_S
        self._last_frame_at = time.monotonic()

    def start(self) -> None:
        """Starts the reader."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """True between Started and the end of a stream."""
        return self._connected

    def silence_s(self, now: float) -> tuple[float, float]:
        """Seconds since the last frame of any stream, and the most that is healthy."""
        return now - self._last_frame_at, 2 * self._keep_alive_s

    def watch(self, now: float) -> float:
        """Cuts a stream that was silent too long, or whose drain time has come. Returns seconds until the next look."""
        with self._lock:
            call, cut_at, why = self._call, self._cut_at, self._why_cut
        if call is None:
            return 1.0
        if now >= cut_at:
            _log.warning("stream cut", why=why, target=self._target)
            # Explicitly: an abandoned stream is never collected, and the server would go on writing to it.
            call.cancel()
            return 1.0
        return cut_at - now

    def stop(self) -> None:
        """Stops claiming without losing what is on the wire: closes the window first, then the stream."""
        if self._stopping.is_set():
            return
        self._window.close()
        report = self._window.restatement()
        if self._connected and report is not None:
            try:
                _, stub = self._link.current()
                stub.Extend(pb.ExtendRequest(window=report), timeout=1.0, metadata=self._link.metadata)
                self._stopping.wait(_LAST_FRAMES_S)
            except (grpc.RpcError, RelayError, ValueError):
                pass  # then jobs of frames that nobody reads come back when their leases end
        self._stopping.set()
        with self._lock:
            call = self._call
        if call is not None:
            call.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_s = self._backoff(self._one_stream())
            self._stopping.wait(wait_s)

    def _backoff(self, error: RelayError | None) -> float:
        """Seconds until the next try: a least wait and full jitter, added to the pause that the server asked for."""
        if error is None:
            self._failures = 0
            return 0.0
        ceiling = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2 ** (self._failures + 1))
        self._failures = min(self._failures + 1, 10)
        return (error.retry_after or 0.0) + random.uniform(_BACKOFF_MIN_S, ceiling)

    def _one_stream(self) -> RelayError | None:
        """One stream from its request to its end. None when the end was orderly."""
        try:
            self._target, stub = self._link.current()
            call = stub.Claim(self._request(), metadata=self._link.metadata)
        except (RelayError, ValueError):  # the channel was closed: the worker is ending
            self._stopping.set()
            return None
        self._set_call(call, time.monotonic() + _STARTED_WITHIN_S, "no Started frame")
        error: RelayError | None = None
        drain_s: float | None = None
        try:
            for frame in call:
                drain_s = self._take(frame, drain_s)
        except grpc.RpcError as rpc_error:
            error = from_rpc_error(rpc_error)
        finally:
            left_s = self._cut_at - time.monotonic()
            self._set_call(None, float("inf"), "")
            self._connected = False
            call.cancel()
        if self._stopping.is_set():
            return None
        if drain_s is not None:
            self._link.move_on(self._target)
            self._stopping.wait(max(0.0, left_s))
            return None
        self._failed(error)
        return error or RelayError("the stream ended without Drain")

    def _failed(self, error: RelayError | None) -> None:
        if error is not None:
            hopeless = _HOPELESS.get(error.code)
            if not self._ever_started:
                hopeless = hopeless or _HOPELESS_FIRST.get(error.code)
            if hopeless:
                self._stopping.set()
                self._on_fatal(f"{self._target}: {hopeless}: {error}")
                return
        _log.warning("stream ended", target=self._target, error=str(error or "closed by the server"))
        # Try another server, whatever ended the stream; with a single target this changes nothing.
        self._link.move_on(self._target)

    def _request(self) -> pb.ClaimRequest:
        settings = self._settings
        in_flight = self._window.new_stream()
        leases = self._leases.held() if self._window.session_id else []
        return pb.ClaimRequest(
            queues=[pb.QueueWeight(queue=name, weight=weight) for name, weight in settings.queues.items()],
            worker_id=settings.worker_id,
            max_in_flight=settings.max_in_flight,
            lease=_duration(settings.lease_s),
            disconnect_grace=_duration(settings.disconnect_grace_s),
            session_id=self._window.session_id,
            in_flight=in_flight,
            leases=leases,
            client_version=settings.client_version,
        )

    def _take(self, frame: pb.ClaimResponse, drain_s: float | None) -> float | None:
        now = time.monotonic()
        self._last_frame_at = now
        match frame.WhichOneof("frame"):
            case "started":
                self._started(frame.started)
            case "jobs":
                group = received(frame.jobs, now, self._leases.extend_every_s)
                jobs = self._leases.add(group)
                self._window.took(len(frame.jobs.jobs), len(jobs))
                self._on_jobs(jobs)
            case "keep_alive":
                if self._window.differs(frame.keep_alive.unsettled):
                    self._leases.restate_window()
            case "cancel":
                self._leases.stop(frame.cancel.jobs)
            case "drain":
                drain_s = seconds(frame.drain.reconnect_after)
                _log.info("stream drains", target=self._target, reconnect_after_s=drain_s)
                self._set_call(self._call, now + drain_s, "drained")
            case _:
                pass  # a frame of a later version; it still shows that the stream lives
        if drain_s is None:
            with self._lock:
                self._cut_at, self._why_cut = now + 2 * self._keep_alive_s, "two keep-alives missed"
        return drain_s

    def _started(self, started: pb.Started) -> None:
        again = bool(self._window.session_id)
        self._window.opened(started.session_id, started.stream)
        self._keep_alive_s = seconds(started.keep_alive) or _KEEP_ALIVE_DEFAULT_S
        self._leases.extend_every_s = seconds(started.extend_every) or self._settings.lease_s / 3
        self._ever_started = self._connected = True
        self._failures = 0
        _log.info(
            "stream open", target=self._target, session=started.session_id, server=started.server_version
        )
        if again:
            # Settles on their way during the reconnection named the old stream, and the server did not count them.
            self._leases.restate_window()

    def _set_call(self, call: grpc.RpcContext | None, cut_at: float, why: str) -> None:
        with self._lock:
            self._call, self._cut_at, self._why_cut = call, cut_at, why
        if call is not None and self._stopping.is_set():
            call.cancel()


def _duration(value_s: float) -> Duration:
    return to_proto(timedelta(seconds=value_s))
