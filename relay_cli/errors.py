"""Exit codes, and the errors that end a command: one line for wrong usage and for each error of the SDK."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay_client.errors import RelayError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_NOT_FOUND: Final = 4
EXIT_INTERRUPTED: Final = 130

EXIT_CODES_HELP: Final = (
    "Exit codes: 0 done; 1 refused, failed, or something was found wrong; 2 wrong usage; "
    "3 server or its store not reachable; 4 no such queue or job; 130 interrupted."
)


class CliError(Exception):
    """Ends the program with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code


def usage(message: str) -> CliError:
    """The arguments cannot be right; the message names the one and the fix."""
    return CliError(message, EXIT_USAGE)


def length(option: str, text: str) -> timedelta:
    """A length of time as people write it; CliError names the option."""
    from relay_client.durations import parse_duration

    try:
        return parse_duration(text, option)
    except ValueError as error:
        raise usage(str(error)) from error


def explain(error: "RelayError", server: str) -> CliError:
    """The line and the exit code for a refused or unanswered call."""
    from relay_client import errors

    text = str(error)
    match error:
        case errors.Unavailable(reason=""):
            return CliError(
                f"no Relay server answers at {server} ({_cause(text)}). Start one with `relay-server`, or everything "
                "with `relay demo`; name another with --server HOST:PORT or RELAY_SERVER.",
                EXIT_UNREACHABLE,
            )
        case errors.Unavailable():
            return CliError(f"the server at {server} answers, but cannot work now: {text}", EXIT_UNREACHABLE)
        case errors.DeadlineExceeded():
            return CliError(f"the server at {server} gave no answer in time: {text}", EXIT_UNREACHABLE)
        case errors.InvalidField(violations=(_, *_)):
            return usage("; ".join(f"{v.field}: {v.description}" for v in error.violations))
        case errors.InvalidField():
            return usage(text)
        case errors.QueueNotFound():
            return CliError(f"{text}. `relay queues` lists them.", EXIT_NOT_FOUND)
        case errors.JobNotFound():
            return CliError(f"{text}", EXIT_NOT_FOUND)
        case errors.Unauthenticated() | errors.PermissionDenied():
            return CliError(f"{text}. Give other credentials with RELAY_TOKEN.")
        case errors.Internal():
            return CliError(f"{text} (a defect in the server; request id {_request_id(error)})")
    return CliError(f"{text} ({error.reason or error.code.name})")


def _cause(text: str) -> str:
    """gRPC tells the same failure at three levels; people need the last."""
    return text.rpartition("last error: ")[2].rpartition("remote host: ")[2]


def _request_id(error: "RelayError") -> str:
    return error.metadata.get("request_id", "unknown")
