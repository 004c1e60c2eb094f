"""The bytes that requests and answers hold, all together and of one caller."""

import pytest

from relay_server import errors
from relay_server.gateway.admitting.budget import FREE_BYTES, Budget

MIB = 1 << 20


def test_one_caller_has_half_and_others_the_rest() -> None:
    budget = Budget(8 * MIB)
    with budget.share("mallory") as first, budget.share("mallory") as second:
        first.add(3 * MIB)
        second.add(MIB)
        with pytest.raises(errors.Overloaded, match="--http-held-bytes-max") as refused:
            second.add(1)
        assert refused.value.retry_after_ms
        with budget.share("shop", 4 * MIB):
            with pytest.raises(errors.Overloaded), budget.share("ada", FREE_BYTES + 1):
                pass
            with budget.share("ada", FREE_BYTES):  # what any connection may hold
                pass
        assert budget.held == 4 * MIB
    assert (budget.held, budget._of) == (0, {})


def test_a_share_that_ends_badly_is_freed() -> None:
    budget = Budget(2 * MIB)
    with pytest.raises(OSError, match="gone"), budget.share("shop", MIB):
        raise OSError("gone")
    with pytest.raises(errors.Overloaded), budget.share("shop", MIB) as share:
        share.add(1)
    assert (budget.held, budget._of) == (0, {})
