"""Milvus on one machine and on a cluster: files that keep their schemas, and fit each other."""

import json
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.serving.deployment.files import SERVING, documents, kustomize, objects_of, one
from tests.serving.deployment.milvus_facts import (
    CHART,
    CLIENTS,
    METRICS,
    QUEUES,
    VALUES,
    VARIABLES,
    VERSION,
)

MILVUS = SERVING / "milvus"
CLUSTER = MILVUS / "kubernetes"


def compose():
    [found] = documents(MILVUS / "compose.yaml")
    return found


def values():
    [found] = documents(CLUSTER / "values.yaml")
    return found


def leaves(value, name=""):
    """Dotted names with their values, as deep as the chart names them."""
    if isinstance(value, dict) and VALUES.get(name) is not dict:
        for key, each in value.items():
            yield from leaves(each, f"{name}.{key}".lstrip("."))
    else:
        yield name, value


def test_compose_keeps_its_specification():
    found = find_spec("check_jsonschema")
    if found is None:
        pytest.skip("check-jsonschema, which brings the schema, is not installed")
    path = Path(found.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(compose(), json.loads(path.read_text(encoding="utf-8")))


def test_compose_opens_milvus_alone_and_to_this_machine_alone():
    services = compose()["services"]
    assert {name for name, each in services.items() if "ports" in each} == {"milvus"}
    ports = [f"${{MITE_BIND:-127.0.0.1}}:{port}:{port}" for port in (CLIENTS, METRICS)]
    assert services["milvus"]["ports"] == ports
    for each in services.values():
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "healthcheck", "restart"} <= each.keys()
        assert {volume["source"] for volume in each["volumes"]} <= set(compose()["volumes"])


def test_one_machine_needs_nothing_but_milvus_and_its_volume():
    [milvus] = compose()["services"].values()
    assert milvus["environment"] == VARIABLES
    [volume] = milvus["volumes"]
    assert milvus["environment"]["ETCD_DATA_DIR"].startswith(volume["target"])


def test_the_secret_of_a_cluster_stands_in_no_file():
    assert "secretKey" not in values()["minio"]
    assert "--set minio.secretKey=$(" in (CLUSTER / "kustomization.yaml").read_text("utf-8")


def test_values_are_those_of_the_chart():
    found = dict(leaves(values()))
    assert {name: type(value) for name, value in found.items()} == VALUES
    assert yaml.safe_load(found["extraConfigFiles.user.yaml"])["mq"]["type"] in QUEUES
    # One queue: Pulsar, which is the chart's default, would be a second.
    assert found["pulsarv3.enabled"] is False


def test_one_version_everywhere():
    assert compose()["services"]["milvus"]["image"] == f"milvusdb/milvus:v{VERSION}"
    assert values()["image"]["all"]["tag"] == f"v{VERSION}"
    text = (CLUSTER / "kustomization.yaml").read_text(encoding="utf-8")
    assert f"--version {CHART} " in text


@pytest.mark.parametrize(
    "name", ["proxy", "mixCoordinator", "queryNode", "dataNode", "streamingNode"]
)
def test_what_kubernetes_reads_of_the_values_is_valid(name):
    part = values()[name]
    labels = {"app.kubernetes.io/instance": "mite-milvus", "component": name.lower()}
    pod = {
        "containers": [{"name": "milvus", "image": "milvus", "resources": part["resources"]}],
        "affinity": part.get("affinity", {}),
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name.lower()},
        "spec": {
            "replicas": part["replicas"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)
    for rule in part.get("affinity", {}).get("podAntiAffinity", {}).values():
        assert rule[0]["podAffinityTerm"]["labelSelector"]["matchLabels"] == labels


def test_objects_beside_the_chart_are_valid_and_in_its_namespace():
    objects = kustomize(CLUSTER) or objects_of(CLUSTER)
    for each in objects:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    [kustomization] = documents(CLUSTER / "kustomization.yaml")
    name = one(objects, "Namespace")["metadata"]["name"]
    assert kustomization["namespace"] == name
    text = (CLUSTER / "kustomization.yaml").read_text(encoding="utf-8")
    assert f"helm upgrade --install {name} milvus/milvus" in text
    assert f"--namespace {name} " in text


def test_only_clients_and_monitoring_enter():
    policy = one(objects_of(CLUSTER), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    opened = {
        rule["ports"][0]["port"]: json.dumps(rule["from"])
        for rule in policy["ingress"]
        if "ports" in rule
    }
    assert set(opened) == {CLIENTS, METRICS}
    assert "mite-milvus-client" in opened[CLIENTS]
    assert "monitoring" in opened[METRICS]
    # Its own pods reach each other on every port, and nobody else does.
    assert [rule["from"] for rule in policy["ingress"] if "ports" not in rule] == [
        [{"podSelector": {}}]
    ]
