"""Files that users have: of `keras.applications`, with a classifier, broken, or of another kind."""

import zipfile

import keras
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.models import (
    application_names,
    backbone_warnings,
    file_backbone,
    small_cnn,
    write_backbone,
)
from mite_tf.models.applications import family_of

APPLICATIONS = keras.applications
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
UNTRAINED = "The backbone has random weights: nothing has trained them."


def saved(model, path):
    model.save(path)
    return path


def plain(family, **options):
    options = {"include_top": False, "weights": None, "input_shape": (32, 32, 3), **options}
    return getattr(APPLICATIONS, family)(**options)


def wrapped(model, *before):
    pooling = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input(model.input_shape[1:]), *before, model, pooling])


def refusal(path, **options):
    with pytest.raises(MiteError) as raised:
        file_backbone(path, feature_map=True, **options)
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"{path}: ")
    return line


@pytest.mark.parametrize(
    ("family", "module", "how"),
    [
        pytest.param("MobileNet", "mobilenet", "in another model", marks=pytest.mark.slow),
        ("VGG16", "vgg16", "as it is"),
    ],
)
def test_a_known_family_without_preprocessing_is_refused_and_completed(
    family, module, how, tmp_path
):
    model = plain(family, name="mine")
    whole = model if how == "as it is" else wrapped(model)
    path = saved(whole, tmp_path / "mine.keras")
    line = refusal(path)
    assert "of keras.applications without its preprocessing: it takes values from -1" in line
    assert f"`mite backbone --from {path} --out NEW.keras`" in line
    assert file_backbone(path, feature_map=True, check=False).output_shape[-1] in (512, 1024)

    completed = tmp_path / "completed.keras"
    write_backbone(completed, source=path)
    backbone = file_backbone(completed, feature_map=True)
    assert backbone_warnings(backbone) == [UNTRAINED]
    preprocessed = getattr(APPLICATIONS, module).preprocess_input(PIXELS.copy())
    np.testing.assert_allclose(
        backbone.predict_on_batch(PIXELS), model.predict_on_batch(preprocessed), atol=1e-4
    )
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.slow
def test_a_family_with_its_preprocessing_left_out_gets_it_back(tmp_path):
    bare = plain("MobileNetV3Small", include_preprocessing=False)
    path = saved(bare, tmp_path / "bare.keras")
    assert "MobileNetV3 of keras.applications without its preprocessing" in refusal(path)
    backbone = write_backbone(tmp_path / "completed.keras", source=path)
    np.testing.assert_allclose(
        backbone.predict_on_batch(PIXELS), bare.predict_on_batch(PIXELS / 127.5 - 1), atol=1e-5
    )


def test_preprocessing_in_front_is_seen_in_whatever_form_it_comes(tmp_path):
    model = plain("MobileNet")
    pixels = keras.Input((32, 32, 3))
    operations = APPLICATIONS.mobilenet.preprocess_input(pixels)
    right = {
        "rescaling": wrapped(model, keras.layers.Rescaling(1 / 127.5, offset=-1)),
        "operations": keras.Model(pixels, model(operations, training=False)),
    }
    for name, whole in right.items():
        backbone = file_backbone(saved(whole, tmp_path / f"{name}.keras"), feature_map=True)
        assert backbone.output_shape == (None, 1, 1, 1024), name
        assert backbone_warnings(backbone) == [UNTRAINED], name
    halved = saved(wrapped(model, keras.layers.Rescaling(1 / 255)), tmp_path / "halved.keras")
    [sentence, _] = backbone_warnings(file_backbone(halved, feature_map=True))
    assert "from 0 to 1, and MobileNet of keras.applications was trained on values" in sentence
    twice = wrapped(small_cnn(image_size=32, width=8), keras.layers.Rescaling(1 / 255))
    path = saved(twice, tmp_path / "twice.keras")
    [sentence, _] = backbone_warnings(file_backbone(path, feature_map=True))
    assert "are pixels scaled twice?" in sentence


def test_a_model_within_a_model_is_resized_with_it(tmp_path):
    whole = wrapped(plain("MobileNet"), keras.layers.Rescaling(1 / 127.5, offset=-1, name="conv1"))
    backbone = file_backbone(
        saved(whole, tmp_path / "whole.keras"), feature_map=True, image_size=64
    )
    assert (backbone.input_shape, backbone.output_shape) == ((None, 64, 64, 3), (None, 2, 2, 1024))
    assert not any(isinstance(layer, keras.Model) for layer in backbone.layers)
    pixels = PIXELS.repeat(2, 1).repeat(2, 2)
    expected = APPLICATIONS.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    expected.set_weights(backbone.get_weights())
    np.testing.assert_allclose(
        backbone.predict_on_batch(pixels),
        expected.predict_on_batch(pixels / 127.5 - 1),
        atol=1e-5,
    )


def test_an_unknown_network_on_plain_pixels_is_warned_of(tmp_path):
    network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, strides=4)])
    network.layers[0].bias.assign(np.ones(4))  # not as it started
    path = saved(network, tmp_path / "mine.keras")
    [sentence] = backbone_warnings(file_backbone(path, feature_map=True))
    assert "from 0 to 255, pixels as they are" in sentence
    with pytest.raises(MiteError, match="Name the one whose preprocessing it needs"):
        write_backbone(tmp_path / "new.keras", source=path)
    named = write_backbone(tmp_path / "new.keras", "MobileNetV2", source=path)
    assert backbone_warnings(named) == []


@pytest.mark.parametrize(
    ("activation", "classes", "what"),
    [
        ("softmax", 7, "a soft-max over 7 classes"),
        ("sigmoid", 7, "sigmoids over 7 classes"),
        (None, 1000, "the logits of 1,000 classes"),
    ],
)
def test_a_classifier_is_warned_of_and_cut_off(activation, classes, what, tmp_path):
    trunk = small_cnn(image_size=32, width=8)
    x = keras.layers.GlobalAveragePooling2D()(trunk.output)
    x = keras.layers.Dense(classes, activation=activation)(keras.layers.Dropout(0.2)(x))
    path = saved(keras.Model(trunk.input, x), tmp_path / "classifier.keras")
    [sentence, _] = backbone_warnings(file_backbone(path, feature_map=True))
    assert sentence.startswith(f"The backbone ends in {what}")
    features = write_backbone(tmp_path / "features.keras", source=path)
    np.testing.assert_allclose(
        features.predict_on_batch(PIXELS), trunk.predict_on_batch(PIXELS), atol=1e-5
    )


def test_a_projection_is_no_classifier():
    trunk = small_cnn(image_size=32, width=8)
    x = keras.layers.Dense(256)(keras.layers.GlobalAveragePooling2D()(trunk.output))
    assert backbone_warnings(keras.Model(trunk.input, x)) == [UNTRAINED]


def test_trained_weights_are_not_called_random():
    trunk = small_cnn(image_size=32, width=8)
    trunk.get_layer("stage0_norm0").beta.assign_add(np.full(8, 0.01))
    assert backbone_warnings(trunk) == []


def test_inputs_that_another_program_left_are_made_plain(tmp_path):
    def network(inputs):
        x = keras.layers.Rescaling(1 / 255)(inputs)
        return keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(x))

    inputs = {
        "bytes": keras.Input((32, 32, 3), dtype="uint8"),
        "batch of one": keras.Input(batch_shape=(1, 32, 32, 3)),
        "any size": keras.Input((None, None, 3)),
        "another name": keras.Input((32, 32, 3), name="image_bytes"),
    }
    for name, each in inputs.items():
        path = saved(network(each), tmp_path / f"{name}.keras")
        backbone = file_backbone(path, feature_map=True, image_size=32)
        assert backbone.input_shape == (None, 32, 32, 3), name
        assert backbone.output_shape == (None, 32, 32, 4), name
        assert backbone.inputs[0].dtype == "float32", name
    backbone = file_backbone(tmp_path / "any size.keras", feature_map=True)
    assert backbone.input_shape == (None, 224, 224, 3)


def test_frozen_layers_of_a_file_learn_when_a_stage_says_so(tmp_path):
    frozen = small_cnn(image_size=32, width=8)
    frozen.trainable = False
    backbone = file_backbone(saved(frozen, tmp_path / "frozen.keras"), feature_map=True)
    assert len(backbone.trainable_variables) == len(small_cnn(width=8).trainable_variables)


def test_an_h5_file_is_opened(tmp_path):
    model = small_cnn(image_size=32, width=8)
    path = saved(model, tmp_path / "old.h5")
    backbone = file_backbone(path, feature_map=True)
    np.testing.assert_allclose(backbone.predict_on_batch(PIXELS), model.predict_on_batch(PIXELS))


def test_models_of_another_form_are_refused_in_a_sentence(tmp_path):
    def network(shape, outputs=1, **options):
        inputs = keras.Input(shape)
        conv = [keras.layers.Conv2D(4, 3, **options)(inputs) for _ in range(outputs)]
        return saved(keras.Model(inputs, conv if outputs > 1 else conv[0]), tmp_path / "m.keras")

    assert "(None, 3, 32, 32)" in refusal(network((3, 32, 32), data_format="channels_first"))
    assert "(None, 32, 32, 1)" in refusal(network((32, 32, 1)))
    assert "gives one output; this model gives" in refusal(network((32, 32, 3), outputs=2))
    left, right = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    both = keras.Model([left, right], keras.layers.Add()([left, right]))
    assert "takes one input" in refusal(saved(both, tmp_path / "both.keras"))


@pytest.mark.parametrize(
    ("scale", "offset", "sentence"),
    [
        (float("nan"), 0.0, "not finite"),
        (0.0, 1.0, "the same for different pictures"),
        (1e4, 0.0, "beyond float16"),
    ],
)
def test_features_of_no_use_are_refused(scale, offset, sentence, tmp_path):
    pixels = keras.Input((32, 32, 3))
    features = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(scale, offset)(pixels))
    path = saved(keras.Model(pixels, features), tmp_path / "mine.keras")
    assert sentence in refusal(path)


def test_files_that_are_no_model_are_told_apart(tmp_path):
    (tmp_path / "pointer.keras").write_text("version https://git-lfs.github.com/spec/v1\noid 1\n")
    (tmp_path / "empty.keras").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("a.txt", "a")
    whole = saved(small_cnn(image_size=32, width=8), tmp_path / "whole.keras")
    (tmp_path / "half.keras").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").write_bytes(b"")
    small_cnn(image_size=32, width=8).save_weights(tmp_path / "only.weights.h5")
    whole.rename(tmp_path / "whole.h5")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    for name, sentence in {
        "pointer.keras": "a Git LFS pointer",
        "empty.keras": "it is empty",
        "photos.keras": "a zip file without a model",
        "half.keras": "damaged or was cut off",
        "folder.keras": "it is a folder",
        "exported": "it is a TensorFlow SavedModel",
        "only.weights.h5": "holds weights without a model",
        "whole.h5": "ends in .keras",
        "model.onnx": "neither a .keras nor an .h5 file",
    }.items():
        assert sentence in refusal(tmp_path / name), name


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def test_code_that_a_file_needs_is_named(tmp_path):
    def with_layer(layer):
        pixels = keras.Input((32, 32, 3))
        return saved(keras.Model(pixels, layer(pixels)), tmp_path / "mine.keras")

    assert "it needs Doubled, which is not part of Keras" in refusal(with_layer(Doubled()))
    assert "holds a Lambda layer" in refusal(with_layer(keras.layers.Lambda(lambda x: x / 255)))


@pytest.mark.slow
@pytest.mark.parametrize("name", application_names())
def test_every_application_is_known_by_its_layers(name):
    model = getattr(APPLICATIONS, name)(include_top=False, weights=None, input_shape=(96, 96, 3))
    names = {each.name for each in model._flatten_layers()}
    kin = getattr(APPLICATIONS, family_of(names).model)
    module = getattr(APPLICATIONS, name).__module__
    assert kin.__module__ == module.replace("vgg19", "vgg16")  # of one preprocessing


@pytest.mark.parametrize("activation", ["softmax", None])
def test_a_classifier_of_few_classes_is_cut_off_though_nothing_has_trained_it(tmp_path, activation):
    options = {"include_top": True, "classes": 10, "input_shape": (64, 64, 3)}
    classifier = plain("MobileNetV2", classifier_activation=activation, **options)
    path = saved(classifier, tmp_path / "classifier.keras")
    features = write_backbone(tmp_path / "features.keras", source=path)
    assert features.output_shape[1:] == (2, 2, 1280)
    bare = keras.Model(classifier.input, classifier.get_layer("out_relu").output)
    pixels = PIXELS.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(features(pixels), bare(pixels / 127.5 - 1), atol=1e-5)


def test_a_disk_that_refuses_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    path = saved(plain("MobileNetV2"), tmp_path / "plain.keras")

    def refuse(model, draft):
        raise OSError(28, "No space left on device", str(draft))

    monkeypatch.setattr(keras.Model, "save", refuse)
    with pytest.raises(OSError, match="No space left") as refused:
        write_backbone(tmp_path / "new.keras", source=path)
    assert refused.value.filename == str(tmp_path / "new.keras")
