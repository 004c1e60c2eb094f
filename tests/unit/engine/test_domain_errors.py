"""What Redis or the way to it may fail with, as the domain knows it."""

from relay_server import errors
from relay_server.engine.domain_errors import domain_error

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False>; the handler is closed"


def test_a_write_to_a_connection_that_was_just_lost_is_an_unknown_outcome() -> None:
    assert isinstance(domain_error(RuntimeError(CLOSED)), errors.StoreUnavailable)


def test_any_other_runtime_error_stays_a_defect() -> None:
    defect = RuntimeError("dictionary changed size during iteration")
    assert domain_error(defect) is defect
