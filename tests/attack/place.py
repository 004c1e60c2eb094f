"""Where a server under attack is, and the credentials that each part of an attack has. Passed on as JSON."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc

from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc, queue_service_pb2_grpc
from tests.support.credentials import Metadata, bearer

INNOCENT = "shop"
ATTACKER = "evil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Addresses, the authority to trust, and tokens: the innocent tenant may produce and work on `shop-*`; the attacker
    has one token a role, on `evil-*`. Queues of the two never meet."""

    grpc: str
    http: str
    ca: str
    server_pid: int
    store: str
    innocent: str
    producer: str
    worker: str
    viewer: str
    operator: str
    client_cert: str = ""  # files, where the server asks clients for a certificate
    client_key: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of(text: str) -> "Place":
        return Place(**json.loads(text))

    @property
    def credentials(self) -> Any:
        ca = Path(self.ca).read_bytes()
        if not self.client_cert:
            return grpc.ssl_channel_credentials(ca)
        return grpc.ssl_channel_credentials(
            ca, Path(self.client_key).read_bytes(), Path(self.client_cert).read_bytes()
        )

    @property
    def tls(self) -> ssl.SSLContext:
        """For connections by hand; the innocent's and the attacker's machine trust the same authority."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key)
        return context

    @property
    def http_port(self) -> int:
        return int(self.http.rpartition(":")[2])

    @asynccontextmanager
    async def caller(self, token: str = "", **options: Any) -> AsyncIterator["Caller"]:
        """A connection of its own, whose calls carry the token; empty: none."""
        given = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options.items()]
        async with grpc.aio.secure_channel(self.grpc, self.credentials, options=given) as channel:
            yield Caller(channel, bearer(token) if token else ())


class Caller:
    """The stubs on one connection, and the metadata to give to each call: `c.queue.Enqueue(r, metadata=c.metadata)`."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self.channel = channel
        self.metadata = metadata
        self.queue: queue_service_pb2_grpc.QueueServiceAsyncStub
        self.admin: admin_service_pb2_grpc.AdminServiceAsyncStub
        self.dead_letters: dead_letter_service_pb2_grpc.DeadLetterServiceAsyncStub
        self.queue = queue_service_pb2_grpc.QueueServiceStub(channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        self.dead_letters = dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel)
