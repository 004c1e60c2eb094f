"""How long Hypothesis looks: a bounded while in `make test`; as long as RELAY_STATEFUL_EXAMPLES says in a soak."""

import os

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("RELAY_STATEFUL_EXAMPLES", "0"))

BOUNDED = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    # Without `explain`, which traces every line of every replay.
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

WIDE = settings(BOUNDED, max_examples=EXAMPLES, stateful_step_count=100) if EXAMPLES else BOUNDED
