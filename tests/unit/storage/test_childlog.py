"""The log of the embedded Redis stays within its bound."""

from pathlib import Path

from relay_server.storage.childlog import ChildLog


def test_one_older_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "redis.log"
    log = ChildLog(path, bytes_max=100)
    for number in range(100):
        log.write(b"line %02d\n" % number)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["redis.log", "redis.log.1"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert path.read_bytes().endswith(b"line 99\n")


def test_the_bound_holds_over_restarts(tmp_path: Path) -> None:
    for _ in range(30):
        log = ChildLog(tmp_path / "redis.log", bytes_max=100)
        log.write(b"x" * 20 + b"\n")
        log.close()
    assert all(file.stat().st_size <= 100 for file in tmp_path.iterdir())


def test_last_lines_are_those_of_this_run(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "redis.log", bytes_max=1000)
    log.write(b"old\n")
    log.forget_tail()
    log.write(b"a\nb")
    log.write(b"c\nd\n")
    log.close()
    assert log.last_lines(2) == ["bc", "d"]
    assert log.last_lines(10) == ["a", "bc", "d"]
