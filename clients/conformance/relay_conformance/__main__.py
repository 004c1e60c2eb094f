"""`python -m relay_conformance --driver "command"`: plays the scenarios against a driver and reports."""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from relay_conformance.play import play_all
from relay_conformance.report import line, summary, write_json, write_junit
from relay_conformance.scenario import FOLDER, SCHEMA, BadScenario, load, schema

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 nothing failed, 1 a scenario failed, 2 the arguments or a scenario file are wrong."""
    options = _parser().parse_args(arguments)
    if options.schema:
        SCHEMA.write_text(schema(), "utf-8")
        return EXIT_PASSED
    try:
        scenarios = load(options.scenario, options.folder)
    except BadScenario as error:
        print(f"relay-conformance: {error}", file=sys.stderr)
        return EXIT_USAGE
    if options.list:
        for name, scenario in scenarios.items():
            print(f"{name:<28} {scenario.about}")
        return EXIT_PASSED
    command = shlex.split(options.driver or "")
    if not command:
        print("relay-conformance: --driver: name the command that starts your driver", file=sys.stderr)
        return EXIT_USAGE
    results = asyncio.run(
        play_all(
            scenarios,
            command,
            at_once=options.at_once,
            on_result=lambda result: print(line(result), flush=True),
        )
    )
    print(summary(results))
    if options.json:
        write_json(results, options.json)
    if options.junit:
        write_junit(results, options.junit)
    return EXIT_FAILED if any(one.outcome == "fail" for one in results) else EXIT_PASSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay-conformance",
        description="Plays the conformance scenarios of Relay against a client. Exit codes: 0 nothing failed, "
        "1 a scenario failed, 2 wrong arguments or scenario files.",
    )
    parser.add_argument(
        "--driver", metavar="COMMAND", help="starts your driver (see PROTOCOL.md); split as a shell would"
    )
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="only this one; repeatable"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the scenario files are")
    parser.add_argument(
        "--at-once", type=_positive, default=8, metavar="N", help="scenarios played at once; default 8"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results there as JUnit XML")
    parser.add_argument("--list", action="store_true", help="only list the scenarios")
    parser.add_argument(
        "--schema", action="store_true", help="only write scenarios/schema.json anew from the step language"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
