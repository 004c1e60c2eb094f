"""Does what a Dockerfile says, without an engine: stage by stage in plain folders, with the shell of this machine.

Paths of the image that steps use come from its ARGs, so a test can point them into a folder of its own. Ownership
(--chown, USER) is not acted out; what is not known here is an error, so that no step is passed over unnoticed.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instruction, its continued lines joined."""

    word: str
    rest: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """What a stage left behind. `environment` is what its ENVs say; a build argument is not part of it."""

    base: str
    environment: dict[str, str] = field(default_factory=dict)
    workdir: Path
    user: str = "root"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    """The instructions in order; comments are left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            found.append(Step(word=word.upper(), rest=rest.strip()))
    return found


def build(text: str, context: Path, root: Path, arguments: dict[str, str]) -> Stage:
    """Builds all stages in this file system; returns the last. `root` stands for `/` where a path is not an ARG's."""
    builder = _Builder(context, root, arguments)
    for step in steps(text):
        builder.act(step)
    assert builder.stage is not None, "the Dockerfile has no FROM"
    return builder.stage


class _Builder:
    def __init__(self, context: Path, root: Path, arguments: dict[str, str]) -> None:
        self._context, self._root, self._given = context, root, arguments
        self._defaults: dict[str, str] = {}
        self._variables: dict[str, str] = {}
        self._names: set[str] = set()
        self.stage: Stage | None = None

    def act(self, step: Step) -> None:
        if step.word in {"EXPOSE", "LABEL"}:
            return
        getattr(self, f"_{step.word.lower()}")(step.rest)

    def _from(self, rest: str) -> None:
        base, _, name = self._expanded(rest, self._defaults).partition(" AS ")
        self._names.add(name)
        self._variables = {}
        self.stage = Stage(base=base, workdir=self._root)

    def _arg(self, rest: str) -> None:
        name, equals, default = rest.partition("=")
        if name in self._given or equals:
            into = self._defaults if self.stage is None else self._variables
            into[name] = self._given.get(name, default)

    def _env(self, rest: str) -> None:
        for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', rest):
            self._now.environment[name] = self._expanded(value.strip('"'), self._known)

    def _workdir(self, rest: str) -> None:
        self._now.workdir = self._inside(self._expanded(rest, self._known))
        self._now.workdir.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        words = self._expanded(rest, self._known).split()
        flags = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")]
        stages = [flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")]
        assert set(stages) <= self._names, f"COPY from a stage that does not exist: {rest}"
        into = self._inside(target)
        for source in sources:
            found = self._inside(source) if stages else self._context / source
            assert found.exists(), f"COPY {rest}: there is no {source}"
            if found.resolve() == into.resolve():
                continue  # an ARG gave it the same place in both stages
            if found.is_dir():
                shutil.copytree(found, into, dirs_exist_ok=True, symlinks=True)
            else:
                place = into / found.name if target.endswith("/") or into.is_dir() else into
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, place)

    def _run(self, rest: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", rest],
            cwd=self._now.workdir,
            env={**_clean_environment(), **self._known},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        assert done.returncode == 0, f"RUN {rest}\nended with {done.returncode}:\n{said}"
        self._now.ran.append(rest)

    def _user(self, rest: str) -> None:
        self._now.user = rest

    def _cmd(self, rest: str) -> None:
        self._now.command = json.loads(rest)

    def _healthcheck(self, rest: str) -> None:
        self._now.health = json.loads(rest.partition("CMD ")[2])

    @property
    def _now(self) -> Stage:
        assert self.stage is not None, "an instruction before FROM"
        return self.stage

    @property
    def _known(self) -> dict[str, str]:
        return {**self._variables, **self._now.environment}

    def _inside(self, path: str) -> Path:
        """Where a path of the image is here."""
        if path.startswith("/"):
            known = any(Path(path).is_relative_to(place) for place in self._given.values())
            return Path(path) if known else self._root / path.lstrip("/")
        return self._now.workdir / path

    def _expanded(self, text: str, variables: dict[str, str]) -> str:
        outside = {"PATH": os.environ["PATH"]}
        return _VARIABLE.sub(lambda found: {**outside, **variables}[found[1] or found[2]], text)


def _clean_environment() -> dict[str, str]:
    """This machine's, without what would reach into the environments that steps make."""
    dropped = ("PYTHON", "VIRTUAL_ENV", "RELAY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
