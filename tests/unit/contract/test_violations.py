"""An answer names as many wrong fields as a client can receive, and the check of a request ends with them."""

import pytest

from relay_server.contract import status
from relay_server.contract.violations import BYTES_MAX, COUNT_MAX, Violations
from relay_server.errors import InvalidField


def _refused(wrong: int, text: str) -> tuple[InvalidField, int]:
    """The error of a check that meets `wrong` bad fields, and how many of them it looked at."""
    looked = 0

    def check() -> None:
        nonlocal looked
        violations = Violations()
        for i in range(wrong):
            looked += 1
            violations.add(f"ids[{i}]", text)
        violations.done()

    with pytest.raises(InvalidField) as raised:
        check()
    return raised.value, looked


@pytest.mark.parametrize(("wrong", "end"), [(1, ""), (20, ""), (21, "; and more"), (10_000, "; and more")])
def test_twenty_are_kept_and_the_next_one_ends_the_check(wrong: int, end: str) -> None:
    error, looked = _refused(wrong, "no")
    assert looked == min(wrong, COUNT_MAX + 1)
    assert len(error.violations) == min(wrong, COUNT_MAX)
    assert status.to_status(error).message.endswith(f"no{end}")


def test_the_first_one_that_does_not_fit_into_trailers_ends_the_check() -> None:
    error, looked = _refused(20, "x" * 200)
    assert (looked, len(error.violations)) == (7, 6)
    message = status.to_status(error).message
    assert message.endswith("x; and more")
    assert len(message) <= BYTES_MAX


def test_the_first_one_is_kept_however_long_it_is() -> None:
    error, _ = _refused(1, "x" * 2 * BYTES_MAX)
    assert status.to_status(error).message == "ids[0]: " + "x" * 2 * BYTES_MAX


def test_a_check_that_found_nothing_raises_nothing() -> None:
    Violations().done()
