"""The program `relay`: global options, the table of commands, and how every ending becomes an exit code."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from relay_cli import bench, dead, doctor, enqueue, jobs, queues, tokens, top, workers
from relay_cli.demo import command as demo
from relay_cli.errors import EXIT_CODES_HELP, EXIT_FAILED, CliError
from relay_cli.options import DEFAULT_SERVER, Options, Output
from relay_cli.output import note, write_any_text

app = typer.Typer(
    name="relay",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=f"--server and --output may also follow the command. {EXIT_CODES_HELP}",
)

# Options of the program itself that people also write after the command; True: a value follows.
_GLOBAL: Final = {
    "--server": True,
    "--output": True,
    "--token": True,
    "--ca-file": True,
    "--cert-file": True,
    "--key-file": True,
    "--tls": False,
}


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"relay {version('relay-broker')}\n")
        raise typer.Exit


@app.callback(help="Enqueues jobs, and looks at and looks after the queues of a Relay server.")
def _globals(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The server, or several separated by commas. Default: RELAY_SERVER, else "
            + DEFAULT_SERVER
            + ".",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Output,
        typer.Option(
            envvar="RELAY_OUTPUT", help="Tables for people, or JSON: every line of stdout is one value."
        ),
    ] = Output.TABLE,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="RELAY_TOKEN", metavar="TOKEN", help="Bearer token; better given in the environment."
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", envvar="RELAY_TLS", help="Encrypt the connection and check the server.")
    ] = False,
    ca_file: Annotated[
        str | None,
        typer.Option(
            envvar="RELAY_CA_FILE", metavar="FILE", help="Authorities to trust, PEM. Default: the system's."
        ),
    ] = None,
    cert_file: Annotated[
        str | None,
        typer.Option(
            envvar="RELAY_CERT_FILE", metavar="FILE", help="Certificate of this client, PEM; with --key-file."
        ),
    ] = None,
    key_file: Annotated[
        str | None, typer.Option(envvar="RELAY_KEY_FILE", metavar="FILE", help="Key of --cert-file, PEM.")
    ] = None,
    version: Annotated[  # noqa: ARG001, RUF100 - typer calls back
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Options(
        server=server or os.environ.get("RELAY_SERVER") or DEFAULT_SERVER,
        server_given=server is not None,
        output=output,
        token=token,
        tls=tls,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )


app.command("demo", help=demo.HELP)(demo.demo)
app.command("enqueue", help=enqueue.HELP)(enqueue.enqueue)
app.command("queues", help="List queues with their settings and how many jobs are in each state.")(
    queues.list_
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dead.app, name="dead")
app.command("pause", help="Stop claims from a queue; jobs in flight go on, enqueues are accepted.")(
    queues.pause
)
app.command("resume", help="Let claims from a queue go on.")(queues.resume)
app.command("limit", help=queues.LIMIT_HELP)(queues.limit)
app.command("purge-queue", help=queues.PURGE_HELP)(queues.purge)
app.command(
    "workers",
    help="List the sessions of workers on all servers, also those that broke off up to a minute ago.",
)(workers.list_)
app.add_typer(tokens.app, name="token")
app.command("top", help=top.HELP)(top.top)
app.command("doctor", help=doctor.HELP)(doctor.doctor)
app.command("bench", help=bench.HELP)(bench.bench)


def hoist(arguments: Sequence[str]) -> list[str]:
    """Moves the program's own options to the front, wherever they were written before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for argument in words:
        if argument == "--":
            rest += [argument, *words]
            break
        name, equals, _ = argument.partition("=")
        if name not in _GLOBAL:
            rest.append(argument)
            continue
        front.append(argument)
        if _GLOBAL[name] and not equals:
            value = next(words, None)
            if value is None:
                return [argument]  # refused, and named: what follows in front must not be taken for its value
            front.append(value)
    return front + rest


def main() -> None:
    """The entry point of the program `relay`."""
    write_any_text()
    try:
        app(args=hoist(sys.argv[1:]), prog_name="relay")
    except CliError as error:
        note(f"relay: {error}")
        sys.exit(error.code)
    except OSError as error:  # what commands read, they explain themselves
        note(f"relay: the output cannot be written: {error.strerror or error}")
        # Or Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
