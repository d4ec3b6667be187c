import sys

import keras
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.models import application_backbone, file_backbone, load_backbone, small_cnn
from mite_tf.models.applications import preprocessed_colours, with_preprocessing
from mite_tf.models.backbone_checks import probe


def saved(path, *, pooled=True, size=32):
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, name="conv")(pixels)
    output = keras.layers.GlobalAveragePooling2D()(x) if pooled else x
    keras.Model(pixels, output).save(path)
    return path


def test_file_backbone_gives_the_vector_or_the_map_before_pooling(tmp_path):
    path = saved(tmp_path / "mine.keras")
    vector, features = (file_backbone(path, feature_map=wanted) for wanted in (False, True))
    assert vector.output_shape == (None, 4)
    assert features.output_shape == (None, 8, 8, 4)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        features.predict_on_batch(pixels).mean((1, 2)), vector.predict_on_batch(pixels), rtol=1e-5
    )
    assert vector.name == "backbone"


def test_file_backbone_takes_other_sizes_where_its_layers_do(tmp_path):
    path = saved(tmp_path / "mine.keras")
    own, larger = (file_backbone(path, feature_map=True, image_size=size) for size in (32, 48))
    assert (own.input_shape, larger.input_shape) == ((None, 32, 32, 3), (None, 48, 48, 3))
    assert larger.output_shape == (None, 12, 12, 4)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 48, 48, 3)).astype("float32")
    np.testing.assert_allclose(
        larger(pixels)[:, :8, :8], own(pixels[:, :32, :32]), rtol=1e-4, atol=1e-3
    )
    flat = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    flat.add(keras.layers.Dense(2))
    flat.save(tmp_path / "flat.keras")
    with pytest.raises(MiteError, match=r"allow images of 48 px.*backbone\.image_size to 32"):
        file_backbone(tmp_path / "flat.keras", feature_map=False, image_size=48)


@pytest.mark.parametrize("family", ["MobileNetV3Small", "MobileNetV2", "EfficientNetV2B0"])
def test_applications_take_pixels_in_0_to_255(family):
    backbone = application_backbone(family, image_size=64, weights=None)
    build = getattr(keras.applications, family)
    plain = build(include_top=False, weights=None, input_shape=(64, 64, 3))
    plain.set_weights(backbone.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    module = sys.modules[build.__module__]
    expected = plain.predict_on_batch(module.preprocess_input(pixels.copy()))
    np.testing.assert_allclose(backbone.predict_on_batch(pixels), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "module"),
    [
        ("ResNet50", "resnet"),
        ("ResNet50V2", "resnet_v2"),
        ("DenseNet121", "densenet"),
        ("VGG16", "vgg16"),
        ("MobileNet", "mobilenet"),
        ("MobileNetV3Large", "mobilenet_v3"),
        ("InceptionV3", "inception_v3"),
        ("Xception", "xception"),
        ("NASNetMobile", "nasnet"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("ConvNeXtTiny", "convnext"),
        ("EfficientNetB0", "efficientnet"),
    ],
)
def test_value_range_of_every_family_is_that_of_keras(family, module):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    inputs = keras.Input((4, 4, 3))
    features = with_preprocessing(inputs, preprocessed_colours(family))
    model = keras.Model(inputs, keras.layers.Identity()(features))
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(model.predict_on_batch(pixels), expected, atol=1e-4)


def test_load_backbone_chooses_by_name(tmp_path):
    path = saved(tmp_path / "mine.keras")
    options = {"image_size": 32, "weights": None, "feature_map": True}
    assert load_backbone("small-cnn", **options).output_shape == (None, 2, 2, 256)
    assert load_backbone(str(path), **options).output_shape == (None, 8, 8, 4)
    vector = load_backbone("MobileNetV3Small", **{**options, "feature_map": False})
    assert vector.output_shape == (None, 576)


def test_small_cnn_is_the_same_in_training_and_use():
    backbone = small_cnn(image_size=32, width=8)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(backbone(pixels, training=True), backbone(pixels, training=False))


def test_errors_name_the_file_and_what_to_do(tmp_path):
    with pytest.raises(MiteError, match=r"nowhere\.keras: no such"):
        file_backbone(tmp_path / "nowhere.keras", feature_map=False)
    (tmp_path / "pointer.keras").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MiteError, match=r"pointer.keras: .* is a Git LFS pointer"):
        file_backbone(tmp_path / "pointer.keras", feature_map=False)
    (tmp_path / "broken.keras").write_text("not a model")
    with pytest.raises(MiteError, match=r"broken.keras: cannot be opened"):
        file_backbone(tmp_path / "broken.keras", feature_map=False)
    vector = keras.Input((8,))
    keras.Model(vector, keras.layers.Dense(2)(vector)).save(tmp_path / "vector.keras")
    with pytest.raises(MiteError, match="takes one input of pixels"):
        file_backbone(tmp_path / "vector.keras", feature_map=False)
    with pytest.raises(MiteError, match="Unknown backbone 'ResNext9'"):
        application_backbone("ResNext9")
    with pytest.raises(MiteError, match=r"Did you mean MobileNetV2\b"):
        load_backbone("mobilenet-v2", image_size=32, weights=None, feature_map=True)
    with pytest.raises(MiteError, match=r"missing\.h5: no such file of weights"):
        application_backbone("MobileNet", weights="missing.h5")
    with pytest.raises(MiteError, match=r"InceptionV3 could not be built for images of 32 px"):
        application_backbone("InceptionV3", image_size=32, weights=None)


def test_weights_that_cannot_be_fetched_are_one_sentence_with_a_way_out(monkeypatch):
    def fail(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -3] No name resolution")

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", fail)
    with pytest.raises(MiteError) as raised:
        application_backbone("MobileNetV2", image_size=96)
    [line] = str(raised.value).splitlines()
    assert "weights of MobileNetV2 could not be fetched from https://" in line
    assert "([Errno -3] No name resolution)" in line
    assert "`mite backbone MobileNetV2 --weights FILE --out NEW.keras`" in line


def test_efficientnet_with_weights_from_a_file_divides_by_the_deviation(tmp_path):
    """The published weights hold deviations where the layer takes variances."""
    build = keras.applications.EfficientNetB0
    published = build(include_top=False, weights=None, input_shape=(32, 32, 3))
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    published.layers[2].set_weights([np.array(mean), np.array(deviation), np.array(0)])
    published.save_weights(tmp_path / "b0.weights.h5")
    backbone = application_backbone(
        "EfficientNetB0", image_size=32, weights=tmp_path / "b0.weights.h5"
    )
    red = probe(backbone).colours[1]
    expected = ((np.array([1, 0, 0]) - mean) / deviation).tolist()
    assert red.tolist() == pytest.approx(expected, abs=1e-3)
