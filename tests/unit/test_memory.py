"""When memory is given back: after it grew, and no more often than the loop can bear."""

from relay_server.memory import GROWN_BYTES_MIN, Remains, give_back, rss_bytes


class Process:
    """Memory that a test sets, and what was done about it."""

    def __init__(self) -> None:
        self.rss = 100 << 20
        self.kept = 100 << 20
        self.times = 0
        self.took_s = 0.01
        self.remains = Remains(lambda: self.rss, self.give_back)

    def give_back(self) -> float:
        self.times += 1
        self.rss = min(self.rss, self.kept)
        return self.took_s


def test_nothing_is_done_while_memory_does_not_grow() -> None:
    process = Process()
    process.rss += GROWN_BYTES_MIN - 1
    assert not process.remains.look(0)
    assert process.times == 0


def test_what_a_burst_left_is_given_back_once() -> None:
    process = Process()
    process.rss *= 3
    assert process.remains.look(10)
    assert not process.remains.look(20)
    assert (process.times, process.rss) == (1, 100 << 20)


def test_what_stays_is_the_new_measure() -> None:
    process = Process()
    process.rss = process.kept = 300 << 20
    assert process.remains.look(10)
    assert not process.remains.look(1000)
    process.rss = process.kept = 150 << 20  # its owners let go of it later
    assert not process.remains.look(2000)
    process.rss = 150 * (1 << 20) + GROWN_BYTES_MIN
    assert process.remains.look(3000)


def test_long_collections_are_rare() -> None:
    """However fast memory grows, half a percent of the time is spent on it."""
    process = Process()
    process.took_s = 0.1
    process.kept = 1 << 40
    done = 0
    for second in range(0, 1000, 5):
        process.rss += 100 << 20
        done += process.remains.look(second)
    assert process.times == done == 50


def test_it_can_be_told_and_done_here() -> None:
    assert rss_bytes() > 1 << 20
    assert give_back() < 60
