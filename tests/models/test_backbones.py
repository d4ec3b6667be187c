import keras
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.models import application_backbone, file_backbone, load_backbone, small_cnn


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
    inner = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    module = {
        "MobileNetV3Small": keras.applications.mobilenet_v3,
        "MobileNetV2": keras.applications.mobilenet_v2,
        "EfficientNetV2B0": keras.applications.efficientnet_v2,
    }[family]
    expected = inner.predict_on_batch(module.preprocess_input(pixels.copy()))
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
    from mite_tf.models.backbones import _to_value_range

    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Identity()(_to_value_range(inputs, family)))
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
    with pytest.raises(MiteError, match=r"pointer.keras is a Git LFS pointer"):
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
