"""record.py and lib/record.lua read and write the same bytes."""

import dataclasses
import struct
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from relay_server.engine import record
from relay_server.model import Record
from relay_server.words import DeadReason, FailureKind
from tests.support.redis_server import RedisServer

_LIB = resources.files("relay_server.engine").joinpath("lua", "lib", "record.lua").read_text()
# The names that Lua has for the fields, in the order of the model.
_LUA_NAMES = {
    "initial_backoff_ms": "initial_backoff", "max_backoff_ms": "max_backoff", "max_runtime_ms": "max_runtime",
    "lease_ms": "lease", "body_bytes": "body_len", "claimed_ms": "claimed", "extended_ms": "extended",
    "expires_ms": "expires", "worker_id": "worker",
}  # fmt: skip
_ENCODE = (
    _LIB
    + """
local r = {}
for i = 1, #ARGV, 3 do
  local value = ARGV[i + 2]
  if ARGV[i] == "n" then value = tonumber(value) end
  r[ARGV[i + 1]] = value
end
local raw = encode(r)
return {raw, encode(decode(raw))}
"""
)
_DECODE = (
    _LIB
    + """
local r, reply = decode(ARGV[1]), {encode(decode(ARGV[1]))}
for name, value in pairs(r) do
  table.insert(reply, name)
  table.insert(reply, type(value) == "number" and string.format("%.17g", value) or value)
end
return reply
"""
)

times = st.integers(0, record.TIME_MAX_MS)
scores = st.floats(-record.TIME_MAX_MS, record.TIME_MAX_MS)
u16, u32 = st.integers(0, 65535), st.integers(0, (1 << 32) - 1)
text = st.text(max_size=60)
floats32 = st.floats(0, 1000, width=32)


def one_of_length(*lengths: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from(lengths).flatmap(lambda n: st.binary(min_size=n, max_size=n))


records = st.builds(
    Record,
    score=scores, priority=st.integers(-9, 9), cancelled=st.booleans(), reason=st.sampled_from(DeadReason),
    attempt=u16, expirations=u16, max_attempts=u16, initial_backoff_ms=u32, max_backoff_ms=u32, multiplier=floats32,
    max_runtime_ms=u32, lease_ms=u32, body_bytes=u32, epoch=times, claimed_ms=times, extended_ms=times,
    expires_ms=times, progress=st.floats(0, 1, width=32), token=one_of_length(0, 16), settled=one_of_length(0, 25),
    type=text, error_type=text, worker_id=text, note=text,
)  # fmt: skip
against_redis = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis(unix_socket_path=redis_server.socket, protocol=2) as client:
        yield client


def _eval(client: Redis, script: str, *args: Any) -> list[bytes]:
    reply: Any = client.eval(script, 0, *args)
    return list(reply)


@against_redis
@given(record_in=records, later=st.binary(max_size=600))
def test_what_lua_writes_python_reads(client: Redis, record_in: Record, later: bytes) -> None:
    """`later` is what a newer version appended: kept by Lua, passed over by Python."""
    args: list[Any] = ["s", "later", later]
    for name, value in dataclasses.asdict(record_in).items():
        number = isinstance(value, int | float)
        args += ["n" if number else "s", _LUA_NAMES.get(name, name), repr(value + 0) if number else value]
    raw, again = _eval(client, _ENCODE, *args)
    assert record.unpack_record(raw) == record_in
    assert again == raw


@against_redis
@given(
    job_type=st.text(max_size=30),
    body_bytes=u32,
    priority=st.integers(-9, 9),
    max_attempts=st.integers(1, 1000),
    initial=u32,
    maximum=u32,
    multiplier=floats32,
    max_runtime=u32,
    expires=times,
    score=scores,
)
def test_what_python_packs_for_a_new_job_lua_reads(
    client: Redis, job_type: str, body_bytes: int, priority: int, max_attempts: int, initial: int, maximum: int,
    multiplier: float, max_runtime: int, expires: int, score: float,
) -> None:  # fmt: skip
    retry = record.Retry(max_attempts, initial, maximum, multiplier)
    tail = record._pack_tail(job_type, body_bytes, priority, retry, max_runtime, expires)
    raw = struct.pack("<d", score) + tail
    again, *flat = _eval(client, _DECODE, raw)
    assert again == raw
    seen = dict(zip(flat[::2], flat[1::2], strict=True))
    python = dataclasses.asdict(record.unpack_record(raw))
    for name, value in python.items():
        lua = seen[_LUA_NAMES.get(name, name).encode()]
        assert (
            (lua.decode() == value)
            if isinstance(value, str)
            else (lua == value if isinstance(value, bytes) else float(lua) == value)
        ), name
    assert (python["type"], python["score"], python["expires_ms"]) == (job_type, score, expires)
    assert (python["attempt"], python["token"], python["cancelled"]) == (0, b"", False)


def test_failures_are_read_oldest_first() -> None:
    frames = b"".join(
        struct.pack("<dHBB", 1000.0 + n, n, 1, 1) + b"w" + struct.pack("<I", 2) + b"e%d" % n for n in range(3)
    )
    failures = record.unpack_failures(frames)
    assert [(failure.at_ms, failure.attempt, failure.error) for failure in failures] == [
        (1000, 0, b"e0"), (1001, 1, b"e1"), (1002, 2, b"e2"),
    ]  # fmt: skip
    assert record.unpack_failures(b"") == ()


def test_a_failure_of_a_kind_that_nobody_knows_is_shown_without_one() -> None:
    frame = struct.pack("<dHBB", 1000.0, 1, 250, 1) + b"w" + struct.pack("<I", 2) + b"e1"
    (failure,) = record.unpack_failures(frame)
    assert (failure.kind, failure.error) == (FailureKind.UNKNOWN, b"e1")
