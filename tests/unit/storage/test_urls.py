"""Redis URLs: what is accepted, and that no secret is ever shown."""

import pytest

from relay_server.storage.errors import BadRedisUrl
from relay_server.storage.urls import Topology, mask_url, read_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:s3cret@host:6379/1", "redis://user:***@host:6379/1"),
        ("rediss://:s3cret@host", "rediss://:***@host"),
        ("redis://s3cret@host", "redis://***@host"),
        ("redis://user:s3cret@s3cret/s3cret?s3cret#s3cret@host:1", "redis://user:***@host:1"),
        ("unix:///run/redis.sock?db=1&password=s3cret", "unix:///run/redis.sock?db=1&password=***"),
        ("rediss://h/0?ssl_password=s3cret&db=2", "rediss://h/0?ssl_password=***&db=2"),
        ("redis://h?PASSWORD=s3cret", "redis://h?PASSWORD=***"),
        ("user:s3cret@host", "user:***@host"),
        ("redis+sentinel://:s3cret@a:1,b:2/main", "redis+sentinel://:***@a:1,b:2/main"),
        ("redis+sentinel://a/m?sentinel_password=s3cret", "redis+sentinel://a/m?sentinel_password=***"),
        ("redis://user:s3://cret@host", "redis://user:***@host"),
        ("user:s3://cret@host", "user:***@host"),
        ("redis://h?pasword=s3cret&db=1", "redis://h?pasword=***&db=1"),
        ("redis://h?p%61ssword=s3cret", "redis://h?p%61ssword=***"),
        ("redis://h?db=1&password=s3#cret", "redis://h?db=1&password=***"),
        ("redis://h?db=s3#cret", "redis://h?db=***"),
        (
            "redis+sentinel://h/m?sentinel_username=u&wait_replicas=1",
            "redis+sentinel://h/m?sentinel_username=u&wait_replicas=1",
        ),
    ],
)
def test_mask_url(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/3",
        "rediss://u:p%40x@host:6380/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1",
        "unix:///run/with%20space/redis.sock",
        "rediss+sentinel://u:p%40x@a,b:26380/my%20master/2?sentinel_username=s&sentinel_password=t",
        "rediss+cluster://[::1]:7000,b:7001/0?wait_replicas=1",
    ],
)
def test_supported_urls_pass(url: str) -> None:
    read_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://:s3cret@a:26379", "name of the service"),
        ("redis+sentinel://:s3cret@a:26379/main/x", "after the service name is the database number"),
        ("redis+cluster://:s3cret@a:7000/1", "a cluster has database 0 only"),
        ("redis+cluster://:s3cret@a:7000?db=2", "a cluster has database 0 only"),
        ("redis+cluster://:s3cret@a:7000,", "host and port cannot be read"),
        ("redis+cluster://:s3cret@a:70000", "host and port cannot be read"),
        ("redis+cluster://:s3cret@a?sentinel_password=s3cret", "unknown option sentinel_password"),
        ("redis+cluster://:s3cret@a?wait_replicas=many", "wait_replicas is a number"),
        ("redis+ring://:s3cret@a", "must look like redis://HOST:PORT/DB"),
        ("redis://:s3cret@a:1,b:2", "several hosts need redis+sentinel:// or redis+cluster://"),
        ("http://:s3cret@a", "must look like redis://HOST:PORT/DB"),
        ("localhost:6379", "must look like redis://HOST:PORT/DB"),
        ("redis://:s3cret@h:port", "percent-encode"),
        ("redis://u:s3cret/x@h:1", "percent-encode"),
        ("redis://:s3cret@h:1/jobs", "database number"),
        ("redis://:s3cret@h:1#x", "percent-encode it as %23"),
        ("unix://redis.sock", "must be absolute"),
        ("redis://:s3cret@h?retry_on_timeout=yes", "unknown option retry_on_timeout"),
        ("redis://:s3cret@h?socket_timeout=", "unknown option socket_timeout"),
    ],
)
def test_refused_urls_name_the_fix_and_no_secret(url: str, says: str) -> None:
    with pytest.raises(BadRedisUrl) as refusal:
        read_url(url)
    assert says.lower() in str(refusal.value).lower()
    assert "--redis-url" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_sentinel_url_is_read() -> None:
    place = read_url(
        "rediss+sentinel://u:p%40x@a,b:26380/my%20master/2?sentinel_password=t%26&wait_replicas=1"
    )
    assert place.topology is Topology.SENTINEL
    assert place.addresses == (("a", 26379), ("b", 26380))
    assert (place.service, place.sentinel_username, place.sentinel_password) == ("my master", "", "t&")
    assert place.node_url == "rediss://u:p%40x@a:26379/2"
    assert place.wait_replicas == 1
    assert "p%40x" not in repr(place)
    assert "t&" not in repr(place)


def test_a_cluster_url_is_read() -> None:
    place = read_url("redis+cluster://[::1]:7000,b?ssl_ca_certs=/a%20b.pem")
    assert place.topology is Topology.CLUSTER
    assert place.addresses == (("::1", 7000), ("b", 6379))
    assert place.node_url == "redis://[::1]:7000/?ssl_ca_certs=%2Fa%20b.pem"
