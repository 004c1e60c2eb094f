"""The record: what was cut, lengthened, shifted or is of another version is told. Lua and Python agree on it."""

import asyncio
import random
import struct
from collections.abc import Sequence
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_server.engine import record
from relay_server.model import Extension
from relay_server.words import DeadReason
from tests.support.engine import Lab, a_job

LIBRARY = resources.files("relay_server.engine").joinpath("lua", "lib", "record.lua").read_text()
# For each record: empty when it cannot be read, else the record as it would be written back.
READ = (
    LIBRARY
    + """
local reply = {}
for i, raw in ipairs(ARGV) do
  local whole, read = pcall(decode, raw)
  reply[i] = whole and read and encode(read) or ""
end
return reply
"""
)
# Where the fields are whose values are not free: version; cancelled, reason; lengths of texts are found below.
VERSION_AT, CANCELLED_AT, REASON_AT = 8, 10, 11
FIXED_BYTES = 78


async def read_by_lua(lab: Lab, raws: Sequence[bytes]) -> list[bytes]:
    """Each as it would be written back, or empty."""
    found: list[bytes] = []
    for i in range(0, len(raws), 1000):
        found += await lab.command("EVAL", READ, 0, *raws[i : i + 1000])
    return found


def read_by_python(raw: bytes) -> bool:
    try:
        record.unpack_record(raw)
    except record.Unreadable:
        return False
    return True


async def some_records(lab: Lab) -> list[bytes]:
    """Of jobs in every state, with every field set somewhere."""
    await lab.enqueued(a_job(job_type="t" * 40, priority=-3), a_job(delay_ms=5, max_runtime_ms=7))
    await lab.dead()
    lease = await lab.in_flight()
    await lab.transitions.extend(lab.queue, [Extension(*lease, 0.5, "half way")])
    await lab.nack(await lab.in_flight(), error_type="ValueError")
    raws: list[bytes] = await lab.command("HVALS", lab.key("state"))
    assert len(raws) == 5
    return raws


async def test_what_was_written_is_read_and_written_back_as_it_was(lab: Lab) -> None:
    raws = await some_records(lab)
    assert await read_by_lua(lab, raws) == raws
    assert all(map(read_by_python, raws))


async def test_a_record_that_was_cut_anywhere_is_told(lab: Lab) -> None:
    mutated = [
        raw[:start] + raw[stop:]
        for raw in await some_records(lab)
        for start in range(len(raw))
        for stop in range(start + 1, min(start + 17, len(raw)) + 1)
    ] + [raw[:length] for raw in await some_records_again(lab) for length in range(len(raw))]
    await all_are_told(lab, mutated)


async def some_records_again(lab: Lab) -> list[bytes]:
    raws: list[bytes] = await lab.command("HVALS", lab.key("state"))
    return raws


async def test_a_record_with_bytes_put_in_anywhere_is_told(lab: Lab) -> None:
    """Of one byte, every value; of a number's size, such as another version of Relay might put in, some."""
    raws = await some_records(lab)
    ones = [bytes((value,)) for value in range(256)]
    numbers = [
        b"\0\0", b"\1\0", struct.pack("<I", 0), struct.pack("<I", 1), struct.pack("<d", 0), struct.pack("<d", 1),
        struct.pack("<d", 1.8e12), bytes(16),
    ]  # fmt: skip
    await all_are_told(
        lab, [raws[0][:at] + put + raws[0][at:] for at in range(len(raws[0]) + 1) for put in ones]
    )
    for raw in raws:
        await all_are_told(lab, [raw[:at] + put + raw[at:] for at in range(len(raw) + 1) for put in numbers])


async def test_a_byte_that_no_record_has_is_told(lab: Lab) -> None:
    """Lengths, the version and what has few values; a number that became another number cannot be told."""
    told: list[bytes] = []
    untold: list[bytes] = []
    for raw in await some_records(lab):
        lengths = {len(raw) - 1, len(raw) - 2, VERSION_AT}
        at = FIXED_BYTES
        for _ in range(6):
            lengths.add(at)
            at += 1 + raw[at]
        lengths |= {at, at + 1}
        for at in range(len(raw)):
            for value in range(256):
                mutated = raw[:at] + bytes((value,)) + raw[at + 1 :]
                if value == raw[at]:
                    continue
                sure = (
                    at in lengths
                    or (at == CANCELLED_AT and value > 1)
                    or (at == REASON_AT and value > max(DeadReason))
                )
                (told if sure else untold).append(mutated)
    await all_are_told(lab, told)
    random.shuffle(untold)
    await both_agree(lab, untold[:20_000])


async def all_are_told(lab: Lab, mutated: Sequence[bytes]) -> None:
    assert not [raw.hex() for raw in mutated if read_by_python(raw)]
    assert not [raw.hex() for raw, back in zip(mutated, await read_by_lua(lab, mutated), strict=True) if back]


async def both_agree(lab: Lab, mutated: Sequence[bytes]) -> None:
    by_lua = await read_by_lua(lab, mutated)
    assert not [
        raw.hex() for raw, back in zip(mutated, by_lua, strict=True) if bool(back) != read_by_python(raw)
    ]
    # What is read is written back as something that can be read again.
    again = await read_by_lua(lab, [back for back in by_lua if back])
    assert all(again)


async def test_what_a_newer_version_appended_survives_every_script_that_writes_the_record(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    raw = await lab.command("HGET", lab.key("state"), lease.id)
    later = b"fields of tomorrow"
    grown = raw[:-4] + struct.pack("<H", len(later)) + later + struct.pack("<H", len(raw) + len(later))
    await lab.command("HSET", lab.key("state"), lease.id, grown)
    assert record.unpack_record(grown) == record.unpack_record(raw)
    await lab.transitions.extend(lab.queue, [Extension(*lease, 0.5, "half")])
    assert later in await lab.command("HGET", lab.key("state"), lease.id)
    await lab.nack(lease)
    await lab.ops.requeue(lab.queue, [lease.id], died_until_ms=1 << 52)
    taken = await lab.claim()
    await lab.transitions.hand_back(lab.queue, taken.leases)
    assert later in await lab.command("HGET", lab.key("state"), lease.id)
    assert await lab.findings(lab.queue) == []


async def test_random_damage_is_read_alike_by_both(lab: Lab) -> None:
    """Whatever bytes there are: no error, and what one half of Relay reads the other reads too."""
    raws = await some_records(lab)
    random_bytes = st.binary(max_size=300)
    spans = st.tuples(
        st.sampled_from(raws), st.integers(0, 400), st.integers(0, 40), st.binary(max_size=40)
    ).map(lambda c: c[0][: c[1]] + c[3] + c[0][c[1] + c[2] :])
    runner = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.lists(st.one_of(random_bytes, spans), min_size=1, max_size=40))
    def check(mutated: list[bytes]) -> None:
        asyncio.run_coroutine_threadsafe(both_agree(lab, mutated), runner).result()

    await asyncio.to_thread(check)


@pytest.mark.parametrize("raw", [b"", b"x", b"\xff" * 20, b"\0" * 17])
def test_failures_that_cannot_be_read_are_none(raw: bytes) -> None:
    assert len(record.unpack_failures(raw)) <= 1
