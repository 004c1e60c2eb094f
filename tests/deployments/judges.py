"""Programs that judge deployment files, in an environment made once, exactly as requirements/deploy.txt says."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian import cache_folder

ROOT = Path(__file__).parents[2]
_LOCK = ROOT / "requirements" / "deploy.txt"
_QUESTIONS = Path(__file__).with_name("judge.py")


@functools.cache
def _environment() -> Path:
    folder = cache_folder() / "deploy-tools"
    # It has a lock against being made twice at once, and leaves a current environment alone.
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "venv.py", folder, _LOCK],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if made.returncode:
        pytest.fail(f"no environment for the judges of deployments: {made.stderr[-1000:]}", pytrace=False)
    return folder / "bin"


def judge(
    program: str, *arguments: str | Path, stdin: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a program of that environment; the caller looks at how it ended."""
    return subprocess.run(
        [_environment() / program, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
    )


def ask(question: str, **about: Any) -> Any:
    """An answer of judge.py, which runs in that environment."""
    done = judge("python", "-I", _QUESTIONS, question, stdin=json.dumps(about))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
