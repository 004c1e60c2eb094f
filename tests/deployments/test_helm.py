"""The Helm chart: linted and rendered by Helm's own code, and its objects checked against Kubernetes' schemas."""

import copy
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from relay_server.config import Config
from relay_server.rpc.scaler import read_trigger
from tests.deployments.judges import ROOT, ask

CHART = str(ROOT / "deployments" / "helm" / "relay")
WORKER: dict[str, Any] = {
    "name": "emails",
    "jobs": "myapp.jobs:jobs",
    "queues": ["emails=3", "letters"],
    "tokenSecret": {"name": "worker-token", "key": "token"},
}
SCALED: dict[str, Any] = {
    **WORKER,
    "name": "scaled",
    "autoscaling": {"enabled": True, "targetBacklogPerWorker": 50, "targetAgeSeconds": 30.5},
}
INSECURE: dict[str, Any] = {
    "tls": {"enabled": False},
    "auth": {"enabled": False},
    "insecureAllowPublicWithoutAuth": True,
}
EVERYTHING: dict[str, Any] = {
    "workers": [WORKER, SCALED],
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "server": {"env": {"RELAY_KEEP_ALIVE_S": "20"}, "allowedHosts": ["relay.example"]},
}
WAYS = {
    "defaults": {},
    "everything": EVERYTHING,
    "client certificates": {
        **EVERYTHING,
        "tls": {"requireClientCertificate": True},
        "workers": [{**WORKER, "certificateSecret": "worker-tls"}],
    },
    "insecure": {**INSECURE, "workers": [WORKER, SCALED]},
}
WITHOUT_SCHEMA = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}


def render(values: dict[str, Any]) -> list[Any]:
    return list(_render(json.dumps(values)))


@functools.cache
def _render(values: str) -> tuple[Any, ...]:
    made = ask("rendered", chart=CHART, values=json.loads(values), name="prod", namespace="jobs")
    assert "refused" not in made, made
    return tuple(each for objects in made.values() for each in objects)


def one(objects: list[Any], kind: str, name: str) -> Any:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod(objects: list[Any], name: str) -> Any:
    return one(objects, "Deployment", name)["spec"]["template"]["spec"]


def variables(objects: list[Any], name: str) -> dict[str, Any]:
    (container,) = pod(objects, name)["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("way", WAYS)
def test_helm_lint_finds_nothing(way: str) -> None:
    assert ask("findings", chart=CHART, values=WAYS[way]) == []


def test_helm_lint_finds_a_template_that_ends_too_soon(tmp_path: Path) -> None:
    broken = shutil.copytree(CHART, tmp_path / "relay")
    with (broken / "templates" / "service.yaml").open("a") as template:
        template.write("{{- if .Values.tls }}\n")
    assert "service.yaml" in "".join(ask("findings", chart=str(broken), values={}))


@pytest.mark.parametrize("way", WAYS)
def test_kubernetes_would_take_every_object(way: str) -> None:
    objects = [each for each in render(WAYS[way]) if each["kind"] not in WITHOUT_SCHEMA]
    assert len(objects) >= 4
    assert ask("objections", objects=objects) == []


def test_kubernetes_schemas_refuse_a_misspelt_field() -> None:
    server = copy.deepcopy(one(render({}), "Deployment", "prod-relay"))
    server["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    (objection,) = ask("objections", objects=[server])
    assert "livenessProb" in objection


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"replicas": 2}, "replicas"),
        ({"tls": {"enabled": False}}, "insecureAllowPublicWithoutAuth"),
        ({"auth": {"enabled": False}}, "insecureAllowPublicWithoutAuth"),
        ({"workers": [{"name": "w", "queues": ["q"]}]}, "jobs"),
        ({"workers": [{**WORKER, "queues": ["a b"]}]}, "queues"),
        ({"workers": [{**WORKER, "autoscaling": {"enabled": True}}]}, "autoscaling"),
        ({"server": {"replicas": 0}}, "replicas"),
        ({"tls": {"requireClientCertificate": True}, "workers": [WORKER]}, "certificateSecret"),
    ],
)
def test_the_schema_refuses_values_that_would_not_work(values: dict[str, Any], word: str) -> None:
    made = ask("rendered", chart=CHART, values=values, name="prod", namespace="jobs")
    assert word in made["refused"][0]


def test_tls_and_tokens_by_default() -> None:
    known = variables(render({}), "prod-relay")
    assert known["RELAY_TLS_CERT"] == "/etc/relay/tls/tls.crt"
    assert known["RELAY_TLS_KEY"] == "/etc/relay/tls/tls.key"
    assert known["RELAY_TOKENS_FILE"] == "/etc/relay/auth/tokens.toml"
    assert known["RELAY_REDIS_URL"] == {"secretKeyRef": {"name": "relay-redis", "key": "url"}}
    assert "RELAY_INSECURE_ALLOW_PUBLIC_WITHOUT_AUTH" not in known


@pytest.mark.parametrize("way", WAYS)
def test_the_server_knows_every_variable(way: str) -> None:
    known = {f"RELAY_{name.upper()}" for name in Config.model_fields}
    # Kubernetes' own names for services would otherwise appear among them.
    assert pod(render(WAYS[way]), "prod-relay")["enableServiceLinks"] is False
    assert set(variables(render(WAYS[way]), "prod-relay")) <= known


@pytest.mark.parametrize("name", ["prod-relay", "prod-relay-emails"])
def test_containers_can_do_little(name: str) -> None:
    spec = pod(render(EVERYTHING), name)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(
    ("way", "live", "ready"),
    [
        (
            "defaults",
            {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTPS"}},
            {"httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTPS"}},
        ),
        (
            "insecure",
            {"grpc": {"port": 50051, "service": "relay.liveness"}},
            {"grpc": {"port": 50051, "service": ""}},
        ),
        (
            "client certificates",
            {"exec": {"command": ["relay-server", "healthcheck", "--live"]}},
            {"exec": {"command": ["relay-server", "healthcheck"]}},
        ),
    ],
)
def test_probes_ask_in_a_way_that_gets_an_answer(way: str, live: Any, ready: Any) -> None:
    (container,) = pod(render(WAYS[way]), "prod-relay")["containers"]
    assert container["livenessProbe"].items() >= live.items()
    assert container["readinessProbe"].items() >= ready.items()


def ports(objects: list[Any]) -> set[str]:
    (container,) = pod(objects, "prod-relay")["containers"]
    return {each["name"] for each in container["ports"]}


def test_metrics_have_a_port_where_somebody_reads_it() -> None:
    assert "RELAY_METRICS" not in variables(render({}), "prod-relay")
    assert ports(render({})) == {"grpc", "http"}
    assert ports(render({"metrics": {"enabled": True}})) == {"grpc", "http", "metrics"}
    objects = render({**EVERYTHING, "networkPolicy": {"enabled": True, "metricsFrom": [{"podSelector": {}}]}})
    assert variables(objects, "prod-relay")["RELAY_METRICS"] == "0.0.0.0:9100"
    (endpoint,) = one(objects, "ServiceMonitor", "prod-relay")["spec"]["endpoints"]
    service = {each["name"] for each in one(objects, "Service", "prod-relay")["spec"]["ports"]}
    assert endpoint["port"] == "metrics"
    assert endpoint["port"] in service
    rules = one(objects, "NetworkPolicy", "prod-relay")["spec"]["ingress"]
    assert [[each["port"] for each in rule["ports"]] for rule in rules] == [["grpc", "http"], ["metrics"]]


def test_disruptions_leave_servers_in_service() -> None:
    objects = render({})
    budget = one(objects, "PodDisruptionBudget", "prod-relay")
    server = one(objects, "Deployment", "prod-relay")
    assert budget["spec"]["maxUnavailable"] == 1 < server["spec"]["replicas"]
    labels = server["spec"]["template"]["metadata"]["labels"]
    for selector in (budget["spec"]["selector"]["matchLabels"], server["spec"]["selector"]["matchLabels"]):
        assert labels.items() >= selector.items()


def test_selectors_of_servers_do_not_fit_workers() -> None:
    objects = render(EVERYTHING)
    worker = one(objects, "Deployment", "prod-relay-emails")["spec"]["template"]["metadata"]["labels"]
    for service in (each for each in objects if each["kind"] == "Service"):
        assert not worker.items() >= service["spec"]["selector"].items()


def test_workers_reach_the_servers_and_check_them() -> None:
    objects = render(EVERYTHING)
    known = variables(objects, "prod-relay-emails")
    assert known["RELAY_SERVER"] == "dns:///prod-relay-headless.jobs.svc:50051"
    assert one(objects, "Service", "prod-relay-headless")["spec"]["clusterIP"] == "None"
    assert (known["RELAY_TLS"], known["RELAY_CA_FILE"]) == ("true", "/etc/relay/tls/ca.crt")
    assert known["RELAY_TOKEN"] == {"secretKeyRef": {"name": "worker-token", "key": "token"}}
    (volume,) = [each for each in pod(objects, "prod-relay-emails")["volumes"] if each["name"] == "tls"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["ca.crt"], "a worker gets no private key"


def test_time_to_stop_is_longer_than_a_drain() -> None:
    objects = render(
        {**EVERYTHING, "server": {"drainGraceSeconds": 100}, "workers": [{**WORKER, "graceSeconds": 0}]}
    )
    assert pod(objects, "prod-relay")["terminationGracePeriodSeconds"] > 100
    assert variables(objects, "prod-relay-emails")["RELAY_WORKER_GRACE"] == "0s"
    assert pod(objects, "prod-relay-emails")["terminationGracePeriodSeconds"] > 0


def test_the_scaler_understands_what_keda_is_told() -> None:
    objects = render(EVERYTHING)
    (trigger,) = one(objects, "ScaledObject", "prod-relay-scaled")["spec"]["triggers"]
    assert trigger["type"] == "external-push"
    metadata = {name: value for name, value in trigger["metadata"].items() if name != "scalerAddress"}
    read = read_trigger(metadata)
    assert (read.queue, sorted(read.targets.values())) == ("emails", [30.5, 50])
    assert trigger["authenticationRef"] == {"name": "prod-relay-scaler"}
    assert one(objects, "TriggerAuthentication", "prod-relay-scaler")
    assert "replicas" not in one(objects, "Deployment", "prod-relay-scaled")["spec"], "KEDA's to say"
    assert not [
        each for each in objects if each["kind"] == "ScaledObject" and "emails" in each["metadata"]["name"]
    ]


def test_a_worker_shows_its_certificate_where_servers_want_one() -> None:
    objects = render(WAYS["client certificates"])
    known = variables(objects, "prod-relay-emails")
    assert known["RELAY_CERT_FILE"] == "/etc/relay/client/tls.crt"
    (volume,) = [each for each in pod(objects, "prod-relay-emails")["volumes"] if each["name"] == "client"]
    assert volume["secret"]["secretName"] == "worker-tls"
