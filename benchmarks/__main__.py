"""`python -m benchmarks`: runs workloads, prints a Markdown table, and appends the raw figures as JSON lines."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.stack import running_stack
from benchmarks.workloads import WORKLOADS, Figures

_COUNTS = ("rpcs", "evalshas", "redis_commands")


def main(
    only: Annotated[list[str], typer.Option(help="workloads to run; may be repeated")] = list(WORKLOADS),  # noqa: B006
    jobs: Annotated[int, typer.Option(min=0, help="jobs of each workload (0: its own number)")] = 0,
    short: Annotated[
        bool, typer.Option(help="a few thousand jobs: shows that it works, measures nothing")
    ] = False,
    out: Annotated[Path, typer.Option(help="file that gets the raw figures as JSON lines")] = Path(
        "bench.jsonl"
    ),
) -> None:
    """Measures Relay on this machine: server, Redis, worker and load share its cores."""
    with running_stack() as stack:
        where = f"{os.cpu_count()} cores, Python {platform.python_version()}, {stack.version()}, log always synced"
    print(f"{where}\n")
    rows: list[tuple[str, str, str]] = []
    for name in only:
        workload, full, few = WORKLOADS[name]
        figures = workload(jobs or (few if short else full))
        load = os.getloadavg()[0]
        with out.open("a") as file:
            file.write(
                json.dumps({"workload": name, "time": time.time(), "load": load, "where": where, **figures})
                + "\n"
            )
        rows += [(name, key, value) for key, value in _lines(figures)]
        print(f"{name} done", flush=True)
    print("\n| workload | figure | value |\n|---|---|---|")
    for row in rows:
        print("| {} | {} | {} |".format(*row))


def _lines(figures: Figures) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            counts = ", ".join(f"{value[key]:.4f} {key.replace('_', ' ')}" for key in _COUNTS)
            cpu = f"{value['server_cpu_s_per_million']:.1f} s server, {value['redis_cpu_s_per_million']:.1f} s Redis"
            lines += [(f"{name}, a job", counts), (f"{name}, CPU a million jobs", cpu)]
        else:
            lines.append(
                (name, f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.2f}")
            )
    return lines


if __name__ == "__main__":
    typer.run(main)
