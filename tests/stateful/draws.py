"""What the state machine draws from: jobs, settings, steps of time, and which of what it saw."""

from hypothesis import strategies as st

from tests.stateful.contents import DELAY, RUN_AT

LEASES_MS = (1000, 30_000)
STEPS_MS = (
    0,
    1,
    999,
    1000,
    1001,
    29_999,
    30_001,
    60_000,
    3_600_000,
    86_400_000,
    -1,
    -5000,
    -5001,
    -86_400_000,
)
DAMAGE = (
    lambda raw: b"",
    lambda raw: raw[:-1],
    lambda raw: raw[:30] + raw[38:],
    lambda raw: raw[:20] + bytes(4) + raw[20:],
    lambda raw: raw + b"\0",
)
UNLIMITED = {"rate": 0.0}
SETTINGS: tuple[dict[str, float], ...] = (
    {"rate": 1.0},
    {"rate": 2.0, "burst": 3.0},
    {"rate": 0.3, "burst": 2.5},
    UNLIMITED,
    {"max_jobs": 3.0},
    {"max_jobs": 0.0},
    {"max_expirations": 1.0},
    {"max_expirations": 3.0},
    {"priority_step": 1000.0},
    {"priority_step": 0.0},
)

# Counted from the newest: the latest are the likeliest to be alive, and the oldest must never come back.
picks = st.one_of(st.integers(0, 2), st.integers(0, 5), st.integers(0, 40))
some = st.lists(picks, min_size=1, max_size=3)
rarely = st.sampled_from((False, False, False, True))
jobs = st.fixed_dictionaries(
    {},
    optional={
        "body": st.sampled_from((b"", b"xyz", b"x" * 600)),
        "priority": st.sampled_from((-1, 1, 9)),
        "placing": st.sampled_from(
            ((DELAY, 0), (DELAY, 1), (DELAY, 1000), (DELAY, 30_000), (RUN_AT, -1), (RUN_AT, 1000))
        ),
        "key": st.sampled_from(("a", "b")),
        "window_ms": st.sampled_from((60_000, 86_400_000)),
        "content": st.sampled_from((b"1" * 16, b"2" * 16)),
        "max_attempts": st.sampled_from((1, 2)),
        "backoff": st.sampled_from(((0, 0, 1.0), (1000, 500, 1.5), (100, 1_000_000, 8.0))),
        "max_runtime_ms": st.sampled_from((1, 20_000)),
        "expires_in_ms": st.sampled_from((1, 1000, 30_000)),
    },
)
