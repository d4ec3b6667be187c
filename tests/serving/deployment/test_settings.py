"""The server's flags and files: known to it, and the same in every deployment."""

import re

import pytest
from google.protobuf import text_format

from mite_tf.serving.server import read_batching
from mite_tf.serving.wire import messages
from tests.serving.deployment.facts import CHANNEL_ARGUMENTS, FLAGS, METRICS_PATH
from tests.serving.deployment.files import (
    KUBERNETES,
    SETTINGS,
    base,
    compose,
    container_of,
    documents,
    flags_of,
    one,
)

MODELS = ("models.config", "labels/models.config")
# What only many pods need, and what only one of them can know.
CLUSTER_ONLY = {"grpc_channel_arguments"}


def default(value):
    """A value of the compose file where no variable is set."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


def compose_flags():
    command = compose()["services"]["serving"]["command"]
    return {name: default(value) for name, value in flags_of(command).items()}


def cluster_flags():
    return flags_of(container_of(one(base(), "Deployment"))["args"])


def tls_flags():
    patch = documents(KUBERNETES / "components/tls/server_flag.yaml")[0]
    return flags_of([each["value"] for each in patch])


@pytest.mark.parametrize("flags", [compose_flags, cluster_flags, tls_flags])
def test_flags_exist_and_have_values_of_their_type(flags):
    for name, value in flags().items():
        kind = FLAGS[name]
        if kind is bool:
            assert value in ("true", "false")
        else:
            kind(value)


def test_compose_and_cluster_start_the_server_alike():
    cluster = cluster_flags()
    assert set(cluster) - set(compose_flags()) == CLUSTER_ONLY
    assert compose_flags() == {k: v for k, v in cluster.items() if k not in CLUSTER_ONLY}


def test_channel_arguments_are_those_of_grpc():
    pairs = [pair.split("=") for pair in cluster_flags()["grpc_channel_arguments"].split(",")]
    assert {name for name, _ in pairs} == CHANNEL_ARGUMENTS
    assert all(int(value) > 0 for _, value in pairs)


def test_named_files_are_mounted():
    for name, value in (compose_flags() | cluster_flags()).items():
        if name.endswith("_file"):
            assert value.startswith("/config/")
            assert (SETTINGS / value.removeprefix("/config/")).is_file()


def test_threads_of_the_graph_are_the_cores_of_the_container():
    deployment = one(base(), "Deployment")
    cores = container_of(deployment)["resources"]["limits"]["cpu"]
    flags = cluster_flags()
    assert flags["tensorflow_intra_op_parallelism"] == cores
    assert flags["tensorflow_inter_op_parallelism"] == cores
    assert default(compose()["services"]["serving"]["cpus"]) == cores
    assert str(batching().num_batch_threads.value) == cores


def test_more_requests_may_be_open_than_one_batch_holds():
    # Each open request keeps a thread; the batching guide advises twice the batch size.
    size = batching().max_batch_size.value
    assert int(cluster_flags()["grpc_max_threads"]) >= 2 * size


def parse(name, message):
    return text_format.Parse((SETTINGS / name).read_text(encoding="utf-8"), message())


def models(name):
    config = parse(name, messages.ModelServerConfig).model_config_list.config
    return {each.name: each for each in config}


@pytest.mark.parametrize("name", ["models.config", "batching.config", "monitoring.config"])
def test_an_export_holds_the_same_files(export_folder, name):
    assert (export_folder / "tf_serving" / name).read_bytes() == (SETTINGS / name).read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_both_models_are_served_from_where_the_export_has_them(export_folder, name):
    served = models(name)
    assert set(served) == {path.name for path in (export_folder / "savedmodel").iterdir()}
    for model in served.values():
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"


def test_the_newest_version_is_served():
    for model in models("models.config").values():
        policy = model.model_version_policy
        assert policy.WhichOneof("policy_choice") in (None, "latest")
        assert policy.latest.num_versions in (0, 1)
        assert not model.version_labels


def test_labels_name_versions_that_are_loaded_and_are_alike_for_both_models():
    served = models("labels/models.config")
    for model in served.values():
        loaded = set(model.model_version_policy.specific.versions)
        assert set(model.version_labels) == {"stable", "canary"}
        assert set(model.version_labels.values()) <= loaded
    image, text = served["image"], served["text"]
    assert dict(image.version_labels) == dict(text.version_labels)
    assert image.model_version_policy == text.model_version_policy


def batching():
    return parse("batching.config", messages.BatchingParameters)


def test_batching_keeps_the_rules_of_the_server():
    read_batching(SETTINGS / "batching.config")  # refuses what breaks them
    # The last of the sizes is max_batch_size, so that nothing is padded beyond it.
    assert list(batching().allowed_batch_sizes)[-1] == batching().max_batch_size.value


def test_metrics_are_where_prometheus_looks():
    monitoring = parse("monitoring.config", messages.MonitoringConfig)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH
