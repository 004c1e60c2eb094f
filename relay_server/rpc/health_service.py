"""The health service. Anyone may call it without a credential, so the number of its watchers is bounded."""

from typing import Any

from grpc_health.v1 import health, health_pb2

from relay_server import errors, limits


class HealthService(health.aio.HealthServicer):
    """The library's, with a limit on watching; `Check` keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._watching = 0

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        if len(request.service) > limits.HEALTH_SERVICE_CHARS_MAX:
            text = f"is at most {limits.HEALTH_SERVICE_CHARS_MAX} characters"
            raise errors.InvalidField([("service", text)])
        if self._watching >= limits.HEALTH_WATCHES_MAX:
            raise errors.Overloaded(
                f"{self._watching} callers watch the health of this server, as many as may; call Check instead",
                retry_after_ms=1000,
            )
        self._watching += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watching -= 1
