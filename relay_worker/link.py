"""One part's way to the server: a stub on one of several targets, moved on when it fails."""

from __future__ import annotations

import grpc

from relay.v1.queue_service_pb2_grpc import QueueServiceStub
from relay_client.connection import Connection, Rotation
from relay_client.errors import RelayError, from_rpc_error

# Codes that another server may not answer with.
_MOVE_ON = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    # What gRPC makes of the 404 of a proxy without servers.
    grpc.StatusCode.UNIMPLEMENTED,
    # The server is stopping; of our own channel, `current` says so.
    grpc.StatusCode.CANCELLED,
}


class ServerLink:
    """A stub on the current target. Each part of the worker has its own: none waits behind another's traffic."""

    def __init__(self, connection: Connection) -> None:
        self.metadata = connection.metadata
        self._rotation = Rotation(connection.targets, lambda target: _Open(connection.open(target)))

    def current(self) -> tuple[str, QueueServiceStub]:
        """The target in use and its stub. RelayError once closed."""
        target, opened = self._rotation.current()
        return target, opened.stub

    def failed(self, target: str, error: RelayError) -> None:
        """Moves to the next target when the error is one that another server may not have."""
        if error.code in _MOVE_ON:
            self._rotation.move_on(target)

    def move_on(self, target: str) -> None:
        """Uses the next target, unless somebody else has moved on from this one already."""
        self._rotation.move_on(target)

    def close(self) -> None:
        """Closes all channels; calls still open on them are cancelled."""
        for opened in self._rotation.close():
            opened.channel.close()


class _Open:
    __slots__ = ("channel", "stub")

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.stub = QueueServiceStub(channel)


def typed(error: BaseException) -> RelayError:
    """The exception of a call as the SDK's error; grpc raises ValueError on a channel that was closed meanwhile."""
    if isinstance(error, RelayError):
        return error
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error)
    return RelayError(str(error), code=grpc.StatusCode.CANCELLED)
