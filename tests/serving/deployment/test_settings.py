"""The server's own files are what its messages read, and what every deployment gives it."""

import pytest
from google.protobuf import text_format

from mite_tf.serving.wire import messages
from tests.serving.deployment.facts import METRICS_PATH
from tests.serving.deployment.files import SETTINGS

MODELS = ("models.config", "labels/models.config")


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


def test_batching_keeps_the_rules_of_the_server():
    # session_bundle_config.proto: increasing, the last equals max_batch_size, or loading fails.
    batching = parse("batching.config", messages.BatchingParameters)
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert not sizes or sizes[-1] == batching.max_batch_size.value
    assert batching.num_batch_threads.value >= 1
    if batching.enable_large_batch_splitting.value:
        execution = batching.max_execution_batch_size.value
        assert execution <= batching.max_batch_size.value
        # A request larger than the whole queue would never be taken.
        assert batching.max_enqueued_batches.value * execution >= batching.max_batch_size.value
    # Padding repeats a value of the tensor, which for token ids is no padding.
    assert not batching.pad_variable_length_inputs


def test_metrics_are_where_prometheus_looks():
    monitoring = parse("monitoring.config", messages.MonitoringConfig)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH


def test_a_wrong_field_is_noticed():
    with pytest.raises(text_format.ParseError, match="max_batchsize"):
        text_format.Parse("max_batchsize { value: 1 }", messages.BatchingParameters())
