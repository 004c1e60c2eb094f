"""Who may call what, for the matrices over gRPC and HTTP: kinds of credentials, requests, and what becomes of them."""

from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory

from relay_server.rpc.server import SERVICES
from relay_server.security.permissions import RULES
from tests.support.credentials import TokensFile

MINE, OTHERS = "mine", "others"
METHODS = {
    f"/{service}/{method.name}": method
    for service in SERVICES
    for method in descriptor_pool.Default().FindServiceByName(service).methods
}
CREDENTIALS = ("none", "malformed", "wrong", "expired", "other queue", "other role", "right")
GLOBAL = {"ListQueues", "ListWorkers", "GetServerInfo"}  # of any queue: a role on another one is enough


CLOSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


class Callers:
    """A tokens file with a principal for each role and kind of credential."""

    def __init__(self, file: TokensFile) -> None:
        self.file = file
        roles: list[Any] = sorted({rule.role.value for rule in RULES.values()})
        self._right = {role: file.add(f"{role}-mine", **{role: MINE}) for role in roles}
        self._others = {role: file.add(f"{role}-others", **{role: OTHERS}) for role in roles}
        self._expired = {role: file.add(f"{role}-late", expires_s=-1, **{role: "*"}) for role in roles}

    def token(self, credential: str, role: str) -> str:
        """The token that a caller with this kind of credential sends; empty for none."""
        right = self._right[role]
        return {
            "none": "",
            "malformed": right,  # the caller spoils how it is sent
            "wrong": right[:-2] + ("AA" if right[-2:] != "AA" else "BB"),
            "expired": self._expired[role],
            "other queue": self._others[role],
            "other role": self._right["worker" if role != "worker" else "operator"],
            "right": right,
        }[credential]


def outcome(credential: str, method: str) -> grpc.StatusCode | None:
    """How the door answers a call for the queue MINE; None when it lets it in."""
    if credential == "right" or (credential == "other queue" and method.rpartition("/")[2] in GLOBAL):
        return None
    known = credential in ("other queue", "other role")
    return grpc.StatusCode.PERMISSION_DENIED if known else grpc.StatusCode.UNAUTHENTICATED


def request_for(method: str, queue: str) -> Any:
    """A request that names the queue wherever it can."""
    request: Any = message_factory.GetMessageClass(METHODS[method].input_type)()
    if "ExternalScaler" in method:
        ref = request.scaledObjectRef if method.endswith("GetMetrics") else request
        ref.scalerMetadata["queue"] = queue
        return request
    fields = {field.name for field in request.DESCRIPTOR.fields}
    if "queue" in fields:
        request.queue = queue
    for name in (
        ("leases", "queues") if method.endswith("/Claim") else ("leases",) if "leases" in fields else ()
    ):
        getattr(request, name).add().queue = queue
    if method.endswith("/Nack"):
        request.jobs.add().queue = queue
    return request
