"""The settings that new queues begin with, by their name: reads and checks what --queue-default says."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from typing import NamedTuple

from relay_server import limits

_GLOB = re.compile(r"[A-Za-z0-9._*?\[\]!-]{1,128}")
_FORM = "GLOB:SETTING=NUMBER[,SETTING=NUMBER…], such as 'tenant-*:max_jobs=100000,rate=50'"


class _Bounds(NamedTuple):
    low: float
    high: float
    whole: bool = True


_SETTINGS = {
    "rate": _Bounds(0, limits.RATE_MAX, whole=False),
    "burst": _Bounds(0, limits.BURST_MAX),
    "max_jobs": _Bounds(0, limits.MAX_JOBS_MAX),
    "max_expirations": _Bounds(1, limits.MAX_EXPIRATIONS_MAX),
    "priority_step_s": _Bounds(0, limits.PRIORITY_STEP_MS_MAX / 1000, whole=False),
}


class QueueDefault(NamedTuple):
    """One option: names that match get these settings, named as the engine names them."""

    pattern: re.Pattern[str]
    settings: Mapping[str, float]


def join(values: Sequence[str]) -> list[str]:
    """The options as they were written: whoever reads a list of options takes them apart at commas."""
    whole: list[str] = []
    for value in values:
        if ":" in value or not whole:
            whole.append(value)
        else:
            whole[-1] += f",{value}"
    return whole


def parse(text: str) -> QueueDefault:
    """Raises ValueError that says what is wrong and what is right."""
    glob, colon, rest = text.partition(":")
    if not colon or not _GLOB.fullmatch(glob.strip()):
        raise ValueError(f"must be {_FORM}, not {text!r}")
    settings: dict[str, float] = {}
    for part in rest.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        bounds = _SETTINGS.get(name)
        if bounds is None:
            raise ValueError(f"{text!r}: there is no setting {name!r}; there are {', '.join(_SETTINGS)}")
        if name in settings or f"{name.removesuffix('_s')}" in settings:
            raise ValueError(f"{text!r}: {name} is given twice")
        value = _number(text, name, number, bounds)
        if name == "priority_step_s":
            name, value = "priority_step", round(value * 1000)
        settings[name] = value
    return QueueDefault(re.compile(translate(glob.strip())), settings)


def _number(text: str, name: str, number: str, bounds: _Bounds) -> float:
    try:
        value = int(number) if bounds.whole else float(number)
    except ValueError:
        value = -1
    if not bounds.low <= value <= bounds.high:
        kind = "a whole number" if bounds.whole else "a number"
        raise ValueError(
            f"{text!r}: {name} must be {kind} from {bounds.low:g} to {bounds.high:g}, not {number!r}"
        )
    return value


def settings_of(defaults: Sequence[QueueDefault], queue: str) -> Mapping[str, float]:
    """The settings of the first option whose pattern matches; empty when none does."""
    return next((one.settings for one in defaults if one.pattern.fullmatch(queue)), {})
