"""Tells results: a table for people, JSON and JUnit for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as Xml

from relay_conformance.play import Result

_MARKS = {"pass": "pass", "fail": "FAIL", "skip": "skip"}


def line(result: Result) -> str:
    """One result in one line."""
    return f"{_MARKS[result.outcome]}  {result.name:<28} {result.seconds:6.1f} s  {result.about}"


def summary(results: Sequence[Result]) -> str:
    """The failures with their stories, and the count."""
    parts = [f"\n=== {one.name}: {one.why}\n{one.story}" for one in results if one.outcome == "fail"]
    counts = ", ".join(
        f"{sum(one.outcome == outcome for one in results)} {word}"
        for outcome, word in (("pass", "passed"), ("fail", "failed"), ("skip", "skipped"))
    )
    sdk = next((one.sdk for one in results if not one.sdk.startswith("?")), "?")
    return "\n".join([*parts, f"\n{sdk}: {counts}"])


def write_json(results: Sequence[Result], path: Path) -> None:
    """All results as one JSON document."""
    data = {"results": [asdict(one) for one in results]}
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def write_junit(results: Sequence[Result], path: Path) -> None:
    """All results as one JUnit suite."""
    suite = Xml.Element(
        "testsuite",
        name="relay-conformance",
        tests=str(len(results)),
        failures=str(sum(one.outcome == "fail" for one in results)),
        skipped=str(sum(one.outcome == "skip" for one in results)),
        time=f"{sum(one.seconds for one in results):.3f}",
    )
    for one in results:
        case = Xml.SubElement(suite, "testcase", classname=one.sdk, name=one.name, time=f"{one.seconds:.3f}")
        if one.outcome == "skip":
            Xml.SubElement(case, "skipped", message=one.why)
        elif one.outcome == "fail":
            Xml.SubElement(case, "failure", message=_printable(one.why)).text = _printable(one.story)
    Xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    """XML has no way to write most control characters."""
    return "".join(one if one in "\n\t" or one >= " " else "·" for one in text)
