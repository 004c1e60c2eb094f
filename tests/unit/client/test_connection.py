"""Targets, credentials and options of a connection; turning from target to target."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay_client._retry import POLICY
from relay_client.connection import SERVICE_CONFIG, Rotation, connection, parse_targets
from relay_client.errors import RelayError


@pytest.mark.parametrize(
    ("server", "targets"),
    [
        ("localhost:1", ("localhost:1",)),
        ("localhost", ("localhost:50051",)),
        ("a:1, b:2,a:1", ("a:1", "b:2")),
        ("dns:///relay.svc:50051", ("dns:///relay.svc:50051",)),
        ("dns:///relay.svc", ("dns:///relay.svc:50051",)),
        ("unix:/run/relay.sock", ("unix:/run/relay.sock",)),
        ("unix:///run/relay.sock", ("unix:///run/relay.sock",)),
        ("[::1]:5", ("[::1]:5",)),
        ("[::1]", ("[::1]:50051",)),
    ],
)
def test_targets(server: str, targets: tuple[str, ...]) -> None:
    assert parse_targets(server) == targets


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("", "is not a target"),
        ("a:1,,b:2", "is not a target"),
        ("http://a:1", "is not a target"),
        ("a b:1", "is not a target"),
        (":1", "has no host"),
        ("a:x", "has port 'x'"),
        ("a:", "has port ''"),
        ("a:0", "a port is a number from 1 to 65535"),
        ("a:65536", "a port is a number from 1 to 65535"),
        ("::1", "in brackets"),
        ("unix:", "names no socket"),
    ],
)
def test_bad_targets_are_refused_with_the_fix(server: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^server: .*{message}"):
        connection(server)


def test_a_list_is_tried_in_random_order() -> None:
    server = ",".join(f"h{i}:1" for i in range(10))
    orders = {connection(server).targets for _ in range(20)}
    assert len(orders) > 1
    assert {frozenset(order) for order in orders} == {frozenset(parse_targets(server))}


@pytest.mark.parametrize(
    "server", ["relay.example:1", "127.0.0.1:1,relay.example:1", "dns:///relay.example:1"]
)
def test_a_token_does_not_leave_the_machine_in_the_clear(server: str) -> None:
    with pytest.raises(ValueError, match=r"^token: .*; set tls=True"):
        connection(server, token="secret")
    assert connection(server, token="secret", tls=True).metadata == (("authorization", "Bearer secret"),)


@pytest.mark.parametrize("server", ["localhost:1", "127.9.9.9:1", "[::1]:1", "unix:/x", "dns:///localhost:1"])
def test_on_this_machine_it_may_go_in_the_clear_and_no_proxy_is_asked(server: str) -> None:
    made = connection(server, token="secret")
    assert made.metadata == (("authorization", "Bearer secret"),)
    assert dict(made.options)["grpc.enable_http_proxy"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": ""}, "token: must be one or more"),
        ({"token": "a b"}, "token: must be one or more"),
        ({"ca_file": "x"}, "ca_file: has no effect without TLS"),
        ({"tls": True, "ca_file": "/nonexistent"}, "ca_file: cannot read /nonexistent: No such file"),
        ({"tls": True, "cert_file": "x"}, "cert_file and key_file: a client certificate needs both"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        connection("localhost:1", **options)


def test_tls_reads_the_authority_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert connection("relay.example:1", tls=True, ca_file=tmp_path / "ca.pem").credentials is not None


def test_the_published_service_config_retries_unavailable_only_and_is_what_the_sdk_uses() -> None:
    config = json.loads(SERVICE_CONFIG)
    (method,) = config["methodConfig"]
    assert method["name"] == [{}]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert (POLICY.initial, POLICY.maximum, POLICY.multiplier) == (0.1, 2.0, 2.0)
    options = dict(connection("localhost:1").options)
    assert json.loads(options["grpc.service_config"]) == config
    # Both layers repeating would multiply attempts.
    assert options["grpc.enable_retries"] == 0


def test_a_forked_child_cannot_be_handed_its_parents_connection() -> None:
    # Without it about one child in forty writes to its parent's socket, and only the repeat hides it.
    assert dict(connection("localhost:1").options)["grpc.use_local_subchannel_pool"] == 1


def test_rotation_turns_once_however_many_calls_saw_the_failure() -> None:
    opened: list[str] = []

    def open_(target: str) -> str:
        opened.append(target)
        return target.upper()

    rotation = Rotation(("a", "b", "c"), open_)
    assert rotation.current() == ("a", "A")
    assert rotation.current() == ("a", "A")
    rotation.move_on("a")
    rotation.move_on("a")
    assert rotation.current() == ("b", "B")
    rotation.move_on("b")
    rotation.move_on("c")
    assert rotation.current() == ("a", "A")
    assert opened == ["a", "b"]
    assert rotation.close() == ["A", "B"]
    with pytest.raises(RelayError, match="this client is closed"):
        rotation.current()
