"""The workload `sdks`: enqueue and a worker that does nothing, by each SDK against one server in one run."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.stack import Stack, running_stack

ROOT = Path(__file__).parent.parent
_RATES = ("enqueue_per_s", "enqueue_batch_per_s", "work_per_s")
_WITHIN_S = 600


def sdk_throughput(jobs: int) -> dict[str, Any]:
    """Jobs a second of each SDK's own program: the mean of two turns, in the order A B C C B A."""
    figures: dict[str, list[dict[str, float]]] = {}
    with running_stack() as stack:
        commands = _commands(stack.folder)
        for turn, name in enumerate([*commands, *reversed(commands)]):
            figures.setdefault(name, []).append(_run(stack, commands[name], f"sdk-{turn}", jobs))
    means = {
        f"{name}_{rate}": statistics.fmean(turn[rate] for turn in turns)
        for name, turns in figures.items()
        for rate in _RATES
    }
    return {"jobs": jobs, **means}


def _commands(folder: Path) -> dict[str, list[str]]:
    """SDK -> its program, built."""
    go, typescript = folder / "go-bench", ROOT / "clients" / "typescript"
    _build(sys.executable, str(ROOT / "tools" / "go.py"), "build", "-o", str(go), "./examples/bench")
    if not (typescript / "node_modules" / "typescript").is_dir():
        _build("npm", "install", "--no-save", "--silent", cwd=typescript)
    _build("npx", "tsc", "-p", ".", cwd=typescript)
    return {
        "python": [sys.executable, "-m", "benchmarks.python_sdk"],
        "go": [str(go)],
        "typescript": ["node", str(typescript / "build" / "load" / "main.js")],
    }


def _build(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_WITHIN_S)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {cwd}:\n{done.stdout}{done.stderr}")


def _run(stack: Stack, command: list[str], queue: str, jobs: int) -> dict[str, float]:
    options = ("--server", stack.target, "--queue", queue, "--jobs", str(jobs))
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=_WITHIN_S)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    acked = int(stack.redis.hget(f"relay:{{{queue}}}:count", "acked") or 0)
    if acked != 2 * jobs + 1:
        raise SystemExit(f"{command[0]}: {acked} of {2 * jobs + 1} jobs were acknowledged")
    report: dict[str, float] = json.loads(done.stdout)
    return report
