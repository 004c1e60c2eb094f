"""`relay-server`: reads the options, runs the server, and says in one line what is wrong when it cannot."""

# Whatever takes long to import waits until Ctrl-C is looked after.
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from relay_server.config import Config

EXIT_FAILED, EXIT_USAGE, EXIT_STORE_DAMAGED, EXIT_INTERRUPTED = 1, 2, 3, 130
INSTALL_LINE = "pip install 'relay-broker[server]' (in a checkout: pip install ./clients/python '.[server]')"


def main() -> None:
    """The program. Ends with 0 after a clean stop, 1 when it cannot serve, 2 when an option is wrong, 3 when the
    embedded store is damaged and trying again does not help, 130 on Ctrl-C before it serves."""
    # Until the running server takes the signal over there is nothing to stop.
    signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    if sys.argv[1:2] == ["healthcheck"]:
        from relay_server import healthcheck

        sys.exit(healthcheck.main(sys.argv[2:]))
    try:
        import pydantic

        from relay_server import app, repair  # noqa: F401 - app: what the base install cannot run
        from relay_server.config import Config
    except ModuleNotFoundError as error:
        sys.exit(f"relay-server needs packages that are not installed ({error.name}); run: {INSTALL_LINE}")
    if sys.argv[1:2] == ["repair"]:
        sys.exit(repair.main(sys.argv[2:]))
    try:
        config = Config(_cli_parse_args=sys.argv[1:])  # type: ignore[call-arg] # taken by BaseSettings
    except pydantic.ValidationError as error:
        for violation in error.errors():
            option = "--" + "-".join(map(str, violation["loc"])).replace("_", "-")
            prefix = f"{option}: " if violation["loc"] else ""
            print(f"relay-server: {prefix}{violation['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(_serve(config))


def _serve(config: "Config") -> int:
    import asyncio

    from relay_server import app, errors, notify, storage

    def ready(line: str) -> None:
        print(line, flush=True)
        notify.serving(line)

    expected = (errors.RelayError, storage.StorageError, OSError)
    failed: list[BaseException] = []
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(app.run(config, ready))
    except* expected as group:
        failed.extend(group.exceptions)
    for error in failed:
        print(f"relay-server: {error}", file=sys.stderr)
    if any(isinstance(error, storage.StoreDamaged) for error in failed):
        return EXIT_STORE_DAMAGED
    return EXIT_FAILED if failed else 0


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
