"""Answers about YAML, Helm charts and Kubernetes objects, as JSON. Runs in the judges' environment; see judges.py."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def documents(*, text: str) -> list[Any]:
    """Every document of a YAML file."""
    import yaml  # type: ignore[import-untyped] # of the judges' environment

    return list(yaml.safe_load_all(text))


def findings(*, chart: str, values: dict[str, Any]) -> list[str]:
    """What `helm lint --strict` says."""
    import helm_python  # type: ignore[import-not-found] # of the judges' environment

    found = helm_python.lint(chart, values=values, strict=True)
    said = [one if isinstance(one, str) else json.dumps(one) for one in found["messages"]]
    # An icon is for chart museums.
    return [*found["errors"], *(text for text in said if "icon is recommended" not in text)]


def rendered(*, chart: str, values: dict[str, Any], name: str, namespace: str) -> dict[str, list[Any]]:
    """What `helm template` gives: template -> its objects. Values that the schema refuses: {"refused": [why]}."""
    import helm_python

    with helm_python.Chart.load(chart) as loaded:
        try:
            loaded.validate_schema(values)
            made = loaded.render(values, name=name, namespace=namespace)
        except helm_python.HelmError as error:
            return {"refused": [str(error)]}
    return {
        Path(template).name: [each for each in documents(text=text) if each]
        for template, text in made.items()
        if template.endswith(".yaml")
    }


def objections(*, objects: list[Any]) -> list[str]:
    """What Kubernetes would refuse, unknown fields included. Objects of other APIs are left out."""
    import kubernetes_validate  # type: ignore[import-not-found] # of the judges' environment

    found = []
    for each in objects:
        try:
            kubernetes_validate.validate(each, "1.34", strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(map(str, error.path))
            found.append(f"{each['kind']} {each['metadata']['name']}: {where}: {error.message}")
    return found


_QUESTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (documents, findings, rendered, objections)
}

if __name__ == "__main__":
    json.dump(_QUESTIONS[sys.argv[1]](**json.load(sys.stdin)), sys.stdout)
