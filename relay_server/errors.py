"""The errors of the domain; contract/status.py alone codes them. A class's docstring is its default message."""

from collections.abc import Mapping


class RelayError(Exception):
    """Something went wrong."""

    def __init__(
        self, text: str = "", *, metadata: Mapping[str, str] | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(text or (type(self).__doc__ or "").strip())
        self.metadata = dict(metadata or {})
        self.retry_after_ms = retry_after_ms


class InvalidField(RelayError):
    """One or more fields are not valid. A violation is the path of a field and a text; `more`: there are others."""

    def __init__(self, violations: list[tuple[str, str]], *, more: bool = False) -> None:
        text = "; ".join(f"{field}: {text}" for field, text in violations)
        super().__init__(f"{text}; and more" if more else text)
        self.violations = violations


class QueueNotFound(RelayError):
    """No queue of this name has been seen."""


class JobNotFound(RelayError):
    """The queue holds no job with this id."""


class IdempotencyMismatch(RelayError):
    """The idempotency key is held by a job with another type, payload or content type."""


class QueueFull(RelayError):
    """The queue holds as many jobs as its max_jobs setting allows."""


class TooLarge(RelayError):
    """A payload or a request is over its size limit."""


class QuotaExceeded(RelayError):
    """A principal, or the store, has as many queues as it may; waiting does not help."""


class Overloaded(RelayError):
    """The server is at its limit; come back later."""


class WrongState(RelayError):
    """The job is not in a state that allows this, or what is stored of it or of its queue is damaged."""


class StoreUnavailable(RelayError):
    """Redis cannot be reached or does not take writes now; nothing is known of what was asked. Ask again."""


class StoreOutOfMemory(RelayError):
    """Redis has no memory left for new jobs. Jobs can still be worked on and acknowledged."""


class Unauthenticated(RelayError):
    """No credentials, or credentials that are not valid."""


class PermissionDenied(RelayError):
    """The credentials are valid and do not allow this."""


class Draining(RelayError):
    """This server is shutting down; ask another one, or again in a moment."""
