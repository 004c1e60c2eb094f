"""Redis URLs: what is accepted, and that no secret is ever shown."""

import pytest

from relay_server.storage.errors import BadRedisUrl
from relay_server.storage.urls import check_url, mask_url


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
        ("redis://user:s3://cret@host", "redis://user:***@host"),
        ("user:s3://cret@host", "user:***@host"),
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
    ],
)
def test_supported_urls_pass(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://:s3cret@a:26379/main", "Sentinel is not supported yet"),
        ("rediss+sentinel://:s3cret@a:26379/main", "Sentinel is not supported yet"),
        ("redis+cluster://:s3cret@a:7000", "Cluster is not supported yet"),
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
        check_url(url)
    assert says.lower() in str(refusal.value).lower()
    assert "--redis-url" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
