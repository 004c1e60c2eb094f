"""Slots are shared by weight, exactly as if each went in turn to the queue that was served least."""

from hypothesis import given
from hypothesis import strategies as st

from relay_server.claims.shares import share_of

QUEUES = st.dictionaries(
    st.sampled_from([f"q{n}" for n in range(8)]),
    st.tuples(st.integers(0, 400).map(lambda quarter: quarter / 4), st.sampled_from([1, 2, 4, 64])),
    min_size=1,
)


def one_by_one(slots: int, queues: dict[str, tuple[float, int]]) -> dict[str, int]:
    served = {name: start for name, (start, _) in queues.items()}
    given_ = dict.fromkeys(queues, 0)
    for _ in range(slots):
        name = min(served, key=served.__getitem__)
        given_[name] += 1
        served[name] = queues[name][0] + given_[name] / queues[name][1]
    return given_


@given(queues=QUEUES, slots=st.integers(0, 600))
def test_a_share_is_what_turns_one_by_one_would_give(
    queues: dict[str, tuple[float, int]], slots: int
) -> None:
    assert {name: share_of(name, slots, queues) for name in queues} == one_by_one(slots, queues)
