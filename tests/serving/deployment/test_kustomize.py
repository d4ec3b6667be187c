"""What kustomize makes of base, components and the example is valid and fits together."""

import shutil

import kubernetes_validate
import pytest
import yaml

from tests.serving.deployment.files import (
    KUBERNETES,
    SERVING,
    base,
    container_of,
    flags_of,
    kustomize,
    one,
)

CUSTOM = {"ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="module", autouse=True)
def tool():
    if kustomize(KUBERNETES / "base") is None:
        pytest.skip("neither kustomize nor kubectl is installed")


def build(folder, *components):
    """Builds the base with components, in a folder that is outside of the project."""
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["serving/kubernetes/base"],
        "components": [f"serving/{each}" for each in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    if not (folder / "serving").exists():
        for part in ("kubernetes", "tf_serving"):
            shutil.copytree(SERVING / part, folder / "serving" / part)
    return kustomize(folder)


def assert_valid(objects):
    for each in objects:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def pod_of(objects):
    return one(objects, "Deployment")["spec"]["template"]["spec"]


def assert_mounts_are_declared(pod):
    declared = {each["name"] for each in pod["volumes"]}
    for container in pod["containers"] + pod.get("initContainers", []):
        assert {each["name"] for each in container["volumeMounts"]} <= declared


def config_names(pod):
    [config] = [each for each in pod["volumes"] if each["name"] == "config"]
    return [source["configMap"]["name"] for source in config["projected"]["sources"]]


def test_base_is_its_files_and_the_server_s_settings():
    objects = kustomize(KUBERNETES / "base")
    assert_valid(objects)
    maps = {
        each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"
    }
    assert len(objects) == len(base()) + len(maps)
    names = config_names(pod_of(objects))
    assert set(names) == set(maps)
    # The models' name is fixed, for the server reads it again; the settings' is their content's.
    assert names[0] == "mite-serving-models"
    assert names[1].startswith("mite-serving-settings-")
    for name in ("models.config", "batching.config", "monitoring.config"):
        [text] = [data[name] for data in maps.values() if name in data]
        assert text == (SERVING / "tf_serving" / name).read_text(encoding="utf-8")


def test_another_batching_file_is_a_rollout_and_another_models_file_is_none(tmp_path):
    before = config_names(pod_of(build(tmp_path)))
    for name in ("models.config", "batching.config"):
        path = tmp_path / "serving/tf_serving" / name
        path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    after = config_names(pod_of(build(tmp_path)))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_labels_take_the_place_of_the_models_file(tmp_path):
    objects = build(tmp_path, "tf_serving/labels")
    data = one(objects, "ConfigMap", "mite-serving-models")["data"]
    assert list(data) == ["models.config"]
    assert "version_labels" in data["models.config"]
    assert config_names(pod_of(objects))[0] == "mite-serving-models"


def test_tls_adds_the_flag_and_what_makes_its_file(tmp_path):
    objects = build(tmp_path, "kubernetes/components/tls")
    assert_valid(objects)
    pod = pod_of(objects)
    assert_mounts_are_declared(pod)
    server = container_of(one(objects, "Deployment"))
    [first] = pod["initContainers"]
    path = flags_of(server["args"])["ssl_config_file"]
    assert path in first["command"][-1]
    mounts = {each["mountPath"]: each["name"] for each in server["volumeMounts"]}
    assert mounts[path.rpartition("/")[0]] == "ssl"
    assert first["image"] == server["image"]
    # All that the base mounts is still there.
    assert {"/models", "/config", "/tmp"} <= set(mounts)
    ports = [
        port for each in objects if each["kind"] == "Service" for port in each["spec"]["ports"]
    ]
    assert not any("h2c" in port.get("appProtocol", "") for port in ports)


def test_object_storage_takes_the_place_of_the_claim(tmp_path):
    objects = build(tmp_path, "kubernetes/components/object-storage")
    assert_valid(objects)
    assert "PersistentVolumeClaim" not in {each["kind"] for each in objects}
    pod = pod_of(objects)
    assert_mounts_are_declared(pod)
    [volume] = [each for each in pod["volumes"] if each["name"] == "export"]
    assert set(volume) == {"name", "emptyDir"}
    [first] = pod["initContainers"]
    # What is copied is what the server mounts.
    [mount] = [
        each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == "/models"
    ]
    assert first["args"][-1] == f"/export/{mount['subPath']}"
    maps = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"}
    assert first["envFrom"][0]["configMapRef"]["name"] in maps
    egress = one(objects, "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 443}


def test_the_example_holds_everything():
    objects = kustomize(KUBERNETES / "overlays/production")
    assert_valid(objects)
    assert_mounts_are_declared(pod_of(objects))
    assert {each["metadata"]["namespace"] for each in objects} == {"mite"}
    assert {each["kind"] for each in objects} >= CUSTOM
    metrics = one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [each["type"] for each in metrics] == ["Resource", "Pods"]
    assert one(objects, "HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2
