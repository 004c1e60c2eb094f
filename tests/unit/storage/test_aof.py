"""How far an append-only file is good, and what at its end is only padding."""

import random
from pathlib import Path

import pytest

from relay_server.storage import aof
from relay_server.storage.errors import StoreDamaged


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


SET = command(b"SET", b"key", b"a payload")
ZEROS = command(b"SET", b"key", b"\0" * 300)


def test_whole_files() -> None:
    for data, records in ((b"", 0), (SET, 1), (SET + ZEROS, 2), (b"#TS:1700000000\r\n" + SET, 1)):
        assert aof.read(data) == aof.Reading(records, len(data))


def test_every_cut_is_a_cut_and_no_fault() -> None:
    data = command(b"SELECT", b"0") + ZEROS + SET
    ends = {0, len(command(b"SELECT", b"0")), len(data) - len(SET), len(data)}
    for size in range(len(data) + 1):
        reading = aof.read(data[:size])
        assert reading.end == max(end for end in ends if end <= size)
        assert (bool(reading.fault), reading.cut) == (size not in ends,) * 2


@pytest.mark.parametrize(
    "bad",
    [
        b"SET key value\r\n",
        b"*2\r\n$3\r\nSET",
        b"*x\r\n",
        b"*0\r\n",
        b"*1\r\n$4\r\nSET\r\n" + SET,
        b"*1\r\n$2\r\nSET\r\n",
        b"*1\r\n:3\r\n",
        b"\0" * 50 + SET,
    ],
)
def test_faults(bad: bytes) -> None:
    reading = aof.read(SET + bad + SET)
    assert (reading.records, reading.end, reading.cut) == (1, len(SET), False)
    assert reading.fault


def test_a_transaction_that_does_not_end() -> None:
    begun = SET + command(b"MULTI") + SET
    assert aof.read(begun) == aof.Reading(3, len(begun), "it ends within a transaction", True, len(SET))
    assert aof.read(begun + b"junk").open_at == len(SET)
    whole = begun + command(b"EXEC")
    assert aof.read(whole) == aof.Reading(4, len(whole))


def test_commands_that_redis_does_not_know() -> None:
    reading = aof.read(SET + command(b"SAT", b"key", b"v") + SET, frozenset({b"set"}))
    assert (reading.end, reading.cut) == (len(SET), False)
    assert "SAT" in reading.fault.upper()


def test_padding_is_cut_after_the_last_whole_command() -> None:
    whole = SET + ZEROS
    for torn in (b"", SET[:1], SET[:9], SET[:-3], SET[:-1], ZEROS[:100], command(b"MULTI") + SET[:5]):
        end = len(whole) + (len(command(b"MULTI")) if torn.startswith(command(b"MULTI")) else 0)
        for zeros in (1, 2, 17, 4096):
            found = aof.padding_from(whole + torn + b"\0" * zeros)
            # What may as well be the payload of a command that was cut is Redis' to take back.
            assert found == end or (found is None and aof.read(whole + torn + b"\0" * zeros).cut)
    assert aof.padding_from(b"\0" * 4096) == 0


def test_zeros_that_fill_a_payload_are_padding_where_its_end_is_missing() -> None:
    """Redis would take such a command: it does not look at what follows a payload."""
    torn = SET[: -len(b"payload\r\n")]
    assert aof.padding_from(SET + torn + b"\0" * len(b"payload\r\n")) == len(SET)


def test_nothing_else_is_padding() -> None:
    for data in (b"", SET, ZEROS, SET[:-2], SET + b"junk" + b"\0" * 9, SET + b"\0" * 9 + SET, ZEROS[:100]):
        assert aof.padding_from(data) is None, data


def test_padding_never_touches_a_whole_command() -> None:
    rng = random.Random(7)
    for _ in range(2000):
        whole = b"".join(
            command(
                *(bytes(rng.choice(b"\0\r\n$*1a") for _ in range(rng.randrange(8))) or b"x" for _ in range(3))
            )
            for _ in range(rng.randrange(4))
        )
        found = aof.padding_from(whole + SET[: rng.randrange(len(SET))] + b"\0" * rng.randrange(40))
        assert found in (None, len(whole))


def folder(tmp_path: Path, manifest: str, **files: bytes) -> Path:
    (tmp_path / aof.MANIFEST).write_text(manifest)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_the_manifest(tmp_path: Path) -> None:
    lines = "# made\nfile b seq 2 type b\nfile old seq 1 type h\nfile j seq 11 type i startoffset 5\n"
    lines += "file i seq 2 type i\n"
    base, files = aof.manifest_of(folder(tmp_path, lines, b=b"", i=b"", j=b""))
    assert base == tmp_path / "b"
    assert [file.name for file in files] == ["i", "j"]


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "\0" * 60,
        "this is no manifest\n",
        "file b seq x type b\n",
        "file gone seq 1 type i\n",
        'file "b\n',
    ],
)
def test_a_damaged_manifest(tmp_path: Path, lines: str) -> None:
    with pytest.raises(StoreDamaged, match=aof.MANIFEST):
        aof.manifest_of(folder(tmp_path, lines))


def test_files_without_a_manifest(tmp_path: Path) -> None:
    assert aof.manifest_of(tmp_path / "nowhere") == (None, [])
    (tmp_path / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS")
    (tmp_path / "appendonly.aof.1.incr.aof").write_bytes(b"")
    (tmp_path / "temp-rewriteaof-1.aof").write_bytes(b"x")
    assert aof.manifest_of(tmp_path) == (None, [])  # a first start that was killed
    (tmp_path / "appendonly.aof.1.incr.aof").write_bytes(SET)
    with pytest.raises(StoreDamaged, match=r"appendonly\.aof\.1\.incr\.aof"):
        aof.manifest_of(tmp_path)
