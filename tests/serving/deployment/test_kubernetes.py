"""Kubernetes objects are valid, and fit each other."""

import json
import re

import kubernetes_validate
import pytest

from tests.serving.deployment.files import (
    KUBERNETES,
    SETTINGS,
    base,
    container_of,
    documents,
    objects_of,
    one,
    patches_of,
)

VERSIONS = ["1.29", "1.33", kubernetes_validate.latest_version()]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


def deployment():
    return one(base(), "Deployment")


def pod():
    return deployment()["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(version):
    for each in base():
        kubernetes_validate.validate(each, version, strict=True)


def test_every_selector_finds_the_pods():
    labels = deployment()["spec"]["template"]["metadata"]["labels"].items()
    selectors = [deployment()["spec"]["selector"]["matchLabels"]]
    for each in base():
        if each["kind"] == "Service":
            selectors.append(each["spec"]["selector"])
        elif each["kind"] == "PodDisruptionBudget":
            selectors.append(each["spec"]["selector"]["matchLabels"])
        elif each["kind"] == "NetworkPolicy":
            selectors.append(each["spec"]["podSelector"]["matchLabels"])
    selectors += [
        each["labelSelector"]["matchLabels"] for each in pod()["topologySpreadConstraints"]
    ]
    assert len(selectors) == 7
    for selector in selectors:
        assert selector
        assert selector.items() <= labels


def test_the_autoscaler_scales_the_deployment_alone():
    target = one(base(), "HorizontalPodAutoscaler")["spec"]
    assert target["scaleTargetRef"]["name"] == deployment()["metadata"]["name"]
    assert "replicas" not in deployment()["spec"]
    # A rollout and a drained node leave at least one pod.
    assert target["minReplicas"] >= 2
    assert one(base(), "PodDisruptionBudget")["spec"]["maxUnavailable"] < target["minReplicas"]


def test_ports_have_one_name_and_one_number_everywhere():
    ports = {each["name"]: each["containerPort"] for each in container_of(deployment())["ports"]}
    args = container_of(deployment())["args"]
    assert {f"--port={ports['grpc']}", f"--rest_api_port={ports['http']}"} <= set(args)
    services = [each for each in base() if each["kind"] == "Service"]
    headless = {"mite-serving-pods": "None", "mite-serving": None}
    assert {
        each["metadata"]["name"]: each["spec"].get("clusterIP") for each in services
    } == headless
    for service in services:
        for port in service["spec"]["ports"]:
            # A headless service is no proxy: its clients reach the pod's own port.
            assert ports[port["targetPort"]] == port["port"]
    policy = one(base(), "NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for rule in policy for port in rule["ports"]} == set(ports)


def test_probes_ask_a_port_that_exists_for_a_model_that_is_served():
    container = container_of(deployment())
    names = {each["name"] for each in container["ports"]}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]["httpGet"]
        assert probe["port"] in names
        assert re.fullmatch(r"/v1/models/(image|text)", probe["path"])
    # A busy pod leaves the service long before it is killed.
    ready, live = container["readinessProbe"], container["livenessProbe"]
    patience = [each["periodSeconds"] * each["failureThreshold"] for each in (ready, live)]
    assert patience[0] * 2 <= patience[1]


def test_volumes_are_declared_and_mounted():
    declared = {each["name"] for each in pod()["volumes"]}
    mounts = container_of(deployment())["volumeMounts"]
    assert {each["name"] for each in mounts} == declared
    writable = {each["mountPath"] for each in mounts if not each.get("readOnly")}
    assert writable == {"/tmp"}
    claims = {
        each["persistentVolumeClaim"]["claimName"] for each in pod()["volumes"]
        if "persistentVolumeClaim" in each
    }  # fmt: skip
    assert claims == {one(base(), "PersistentVolumeClaim")["metadata"]["name"]}


def test_config_maps_are_those_that_kustomize_makes():
    [kustomization] = documents(SETTINGS / "kustomization.yaml")
    made = {each["name"]: each["files"] for each in kustomization["configMapGenerator"]}
    [config] = [each for each in pod()["volumes"] if each["name"] == "config"]
    assert {source["configMap"]["name"] for source in config["projected"]["sources"]} == set(made)
    # Files that change while the server runs must not be mounted one by one.
    mount = [m for m in container_of(deployment())["volumeMounts"] if m["name"] == "config"]
    assert "subPath" not in mount[0]


def test_the_pod_holds_no_power():
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["serviceAccountName"] == one(base(), "ServiceAccount")["metadata"]["name"]
    security = pod()["securityContext"]
    assert security["runAsNonRoot"]
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for folder in ("components/tls", "components/object-storage"):
        patch = one(patches_of(KUBERNETES / folder), "Deployment")
        for each in patch["spec"]["template"]["spec"]["initContainers"]:
            assert_confined(each)
    assert_confined(container_of(deployment()))


def assert_confined(container):
    security = container["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}


def test_a_pod_leaves_when_its_clients_have():
    container = container_of(deployment())
    [channel] = [each for each in container["args"] if "grpc_channel_arguments" in each]
    age, grace = (int(number) / 1000 for number in re.findall(r"_ms=(\d+)", channel))
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert age * 1.1 < pause  # gRPC varies the age by 10 %
    assert pause + grace <= pod()["terminationGracePeriodSeconds"]


def test_nothing_leaves_and_only_clients_and_monitoring_enter():
    policy = one(base(), "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert not policy.get("egress")
    sources = {rule["ports"][0]["port"]: json.dumps(rule["from"]) for rule in policy["ingress"]}
    assert "mite-serving-client" in sources["grpc"]
    assert "monitoring" in sources["http"]


def test_custom_resources_are_not_in_the_base():
    assert not CUSTOM & {each["kind"] for each in base()}
    monitoring = objects_of(KUBERNETES / "components/monitoring")
    assert {each["kind"] for each in monitoring} == CUSTOM
