from contextlib import nullcontext

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf2onnx
from tf2onnx import optimizer

from mite_tf.errors import MiteError
from mite_tf.export.onnx import convert, rewrites
from mite_tf.export.onnx.convert import convert_image_encoder, convert_text_encoder
from mite_tf.export.onnx.quantize import quantize_dynamically, quantize_statically
from mite_tf.export.runtimes import OnnxEncoder
from mite_tf.export.signatures import vocabulary_size
from mite_tf.models import (
    ImageEncoder,
    application_backbone,
    hub_backbone,
    hub_encoder,
    image_head,
    load_text_backbone,
)
from tests.tiny_hub import SIZE, write_tiny_hub


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def token_ids(longest=12):
    """Rows of every length, an empty one first."""
    ids = np.random.default_rng(0).integers(1, 50, (longest + 1, longest)).astype(np.int32)
    return np.where(np.arange(longest) < np.arange(longest + 1)[:, None], ids, 0).astype(np.int32)


def assert_equals_keras(path, encoder, inputs, atol=1e-6):
    found = OnnxEncoder(path).embed(inputs)
    np.testing.assert_allclose(found, encoder(inputs, training=False).numpy(), atol=atol)


@pytest.mark.parametrize("pooling", ["average", "max", "generalized"])
@pytest.mark.parametrize("text", ["bag-of-words", "recurrent", "transformer"])
def test_text_encoders_equal_keras(text, pooling, make_encoders, tmp_path):
    encoder = make_encoders(text, pooling=pooling).text_encoder
    convert_text_encoder(tmp_path / "text.onnx", encoder, 12)
    assert_equals_keras(tmp_path / "text.onnx", encoder, token_ids())
    assert "Loop" not in operators(tmp_path / "text.onnx")


@pytest.mark.parametrize(
    "kind", ["vit", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dinov2", "siglip"))]
)
def test_image_networks_of_keras_hub_equal_keras(kind, tmp_path):
    pytest.importorskip("keras_hub")
    pooling = {"feature_map": False} if kind == "siglip" else {}
    backbone = hub_backbone(str(write_tiny_hub(tmp_path / kind, kind)), **pooling)
    head = image_head(backbone.output_shape[1:], embedding_size=4, pooling="generalized")
    encoder = ImageEncoder(backbone, head)
    convert_image_encoder(tmp_path / "image.onnx", encoder)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
    assert_equals_keras(tmp_path / "image.onnx", encoder, pixels, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as of KerasHub
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_text_towers_of_keras_hub_equal_keras(kind, tmp_path):
    pytest.importorskip("keras_hub")
    captions = ["the quick brown fox jumps over a lazy dog, zebras vex judge mike"] * 2
    backbone = load_text_backbone(str(write_tiny_hub(tmp_path / kind, kind, captions=captions)))
    encoder = hub_encoder(backbone, range(1, 9), bag_of_words=True, embedding_size=4)
    convert_text_encoder(tmp_path / "text.onnx", encoder, 12)
    ids = np.minimum(token_ids(), backbone.vocabulary_size - 1)
    assert_equals_keras(tmp_path / "text.onnx", encoder, ids, atol=1e-5)
    assert "Loop" not in operators(tmp_path / "text.onnx")


def test_columns_beyond_the_longest_are_cut_and_none_is_one_of_padding(make_encoders, tmp_path):
    encoder = make_encoders("transformer").text_encoder
    convert_text_encoder(tmp_path / "text.onnx", encoder, 12)
    model = OnnxEncoder(tmp_path / "text.onnx")
    ids = token_ids()[-2:]
    wide = np.concatenate([ids, np.full((2, 30), 7, np.int32)], axis=1)
    np.testing.assert_allclose(model.embed(wide), model.embed(ids), atol=1e-6)
    np.testing.assert_allclose(
        model.embed(np.zeros((1, 0), np.int32)), model.embed(np.zeros((1, 3), np.int32)), atol=1e-6
    )


class TestRewrites:
    """Each is needed: without it the result is not what it should be."""

    def test_gru_is_one_operator_and_would_be_loops(self, make_encoders, tmp_path, monkeypatch):
        encoder = make_encoders("recurrent").text_encoder
        convert_text_encoder(tmp_path / "with.onnx", encoder, 12)
        assert operators(tmp_path / "with.onnx").count("GRU") == 1
        monkeypatch.setattr(rewrites, "mark_gru", lambda model: model)
        convert_text_encoder(tmp_path / "without.onnx", encoder, 12)
        assert "Loop" in operators(tmp_path / "without.onnx")

    def test_exact_gelu_converts_and_would_not(self, tmp_path, monkeypatch):
        inputs = keras.Input((4,), name="features")
        encoder = keras.Model(inputs, keras.layers.Dense(3, activation="gelu")(inputs))
        convert_image_encoder(tmp_path / "gelu.onnx", encoder)
        x = np.linspace(-3, 3, 8, dtype=np.float32).reshape(2, 4)
        assert_equals_keras(tmp_path / "gelu.onnx", encoder, x)
        monkeypatch.setattr(rewrites, "write_erfc", dict)
        with pytest.raises(MiteError, match="Erfc"):
            convert_image_encoder(tmp_path / "gelu.onnx", encoder)

    def test_hard_sigmoid_leaves_few_transposes_and_would_leave_many(self, tmp_path, monkeypatch):
        x = inputs = keras.Input((16, 16, 3), name="pixels")
        for _ in range(3):
            x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
            gate = keras.layers.Conv2D(8, 1, use_bias=False)(x)
            x = x * (keras.layers.ReLU(6)(gate + 3.0) * (1 / 6))
        encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        convert_image_encoder(tmp_path / "with.onnx", encoder)
        few = operators(tmp_path / "with.onnx").count("Transpose")
        monkeypatch.setattr(rewrites, "optimizers", optimizer._get_optimizers)
        convert_image_encoder(tmp_path / "without.onnx", encoder)
        assert few <= 2
        assert operators(tmp_path / "without.onnx").count("Transpose") > 4 * few

    def test_einsum_stays_one_and_would_be_many(self, make_encoders, tmp_path, monkeypatch):
        encoder = make_encoders(pooling="average").text_encoder
        convert_text_encoder(tmp_path / "with.onnx", encoder, 12)
        assert "Einsum" in operators(tmp_path / "with.onnx")
        monkeypatch.setattr(rewrites, "optimizers", optimizer._get_optimizers)
        convert_text_encoder(tmp_path / "without.onnx", encoder, 12)
        more = len(operators(tmp_path / "without.onnx")) - len(operators(tmp_path / "with.onnx"))
        assert more > 10

    def test_attention_multiplies_and_would_be_einsums(self, make_encoders, tmp_path, monkeypatch):
        encoder = make_encoders("transformer").text_encoder
        whole, left = [], []
        for name in ("with", "without"):
            path, quantized = tmp_path / f"{name}.onnx", tmp_path / f"{name}.int8.onnx"
            convert_text_encoder(path, encoder, 12)
            assert_equals_keras(path, encoder, token_ids())
            quantize_dynamically(path, quantized)
            whole.append(operators(quantized).count("MatMulInteger"))
            left.append(operators(path).count("Einsum"))
            monkeypatch.setattr(rewrites, "write_products", lambda graph: None)
        projections = 4 * 2  # query, key, value and output of two layers
        assert left[0] == left[1] - projections
        assert whole[0] == whole[1] + projections

    def test_grouped_convolution_is_inlined_and_would_be_a_call(self, tmp_path, monkeypatch):
        inputs = keras.Input((8, 8, 4), name="pixels")
        x = keras.layers.Conv2D(4, 3, groups=4)(inputs)
        encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        convert_image_encoder(tmp_path / "grouped.onnx", encoder)
        x = np.random.default_rng(0).random((2, 8, 8, 4), np.float32)
        assert_equals_keras(tmp_path / "grouped.onnx", encoder, x)
        monkeypatch.setattr(rewrites, "functions_inlined", nullcontext)
        with pytest.raises(MiteError, match="PartitionedCall"):
            convert_image_encoder(tmp_path / "grouped.onnx", encoder)

    def test_large_weights_are_not_copied_and_would_be_constants(
        self, make_encoders, tmp_path, monkeypatch
    ):
        """tf2onnx copies constants many times over: 24 GB for a network of 70 M weights."""
        encoder = make_encoders("transformer").text_encoder
        tables = []
        write = tf2onnx.convert.from_keras
        monkeypatch.setattr(
            tf2onnx.convert, "from_keras", lambda *a, **k: tables.append(a[1][1:]) or write(*a, **k)
        )
        for number, least in enumerate((1, 10**9)):
            monkeypatch.setattr(convert, "_LARGE", least)
            convert_text_encoder(tmp_path / f"{number}.onnx", encoder, 12)
            assert_equals_keras(tmp_path / f"{number}.onnx", encoder, token_ids())
        assert len(tables[0]) > 10
        assert not tables[1]
        graph = onnx.load(tmp_path / "0.onnx").graph
        assert [each.name for each in graph.input] == ["token_ids"]

    def test_captured_constants_stay_inside_and_would_be_inputs(self, tmp_path):
        inputs = keras.Input((4, 4, 3), name="pixels")
        x = keras.layers.Rescaling([0.1, 0.2, 0.3])(inputs)  # as EfficientNet begins
        x = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x)
        encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        convert_image_encoder(tmp_path / "image.onnx", encoder)
        x = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
        assert_equals_keras(tmp_path / "image.onnx", encoder, x)
        specification = tf.TensorSpec((None, 4, 4, 3), tf.float32, name="pixels")
        without, _ = tf2onnx.convert.from_function(
            tf.function(lambda pixels: encoder(pixels), input_signature=[specification]),
            [specification],
        )
        assert len(without.graph.input) > 1


class TestInt8:
    def test_text_is_quantised_as_it_comes(self, exported):
        found = set(operators(exported / "onnx" / "text_encoder.int8.onnx"))
        assert {"DynamicQuantizeLinear", "MatMulInteger"} <= found

    def test_convolutions_have_ranges_but_linear_bottlenecks(self, tmp_path):
        path, quantized = tmp_path / "image.onnx", tmp_path / "image.int8.onnx"
        convert_image_encoder(path, encoder_with_a_linear_bottleneck())
        random = np.random.default_rng(0)
        batches = [random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32) for _ in range(2)]
        quantize_statically(path, quantized, batches)
        graph = onnx.load(quantized).graph
        assert not any("Dynamic" in node.op_type for node in graph.node)
        made_by = {name: node.op_type for node in graph.node for name in node.output}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        is_quantised = [made_by.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
        assert is_quantised == [True, False, True]
        # Their activations are part of the ranges of what they give.
        assert not {"Clip", "Relu"} & set(made_by.values())
        found = OnnxEncoder(quantized).embed(batches[0])
        assert (found * OnnxEncoder(path).embed(batches[0])).sum(axis=1).min() > 0.999


def encoder_with_a_linear_bottleneck():
    pixels = keras.Input((32, 32, 3))
    rows = keras.layers.Rescaling(1 / 255)(pixels)
    rows = keras.layers.ReLU(6)(keras.layers.Conv2D(8, 3, strides=2)(rows))
    rows = keras.layers.Conv2D(4, 1)(rows)
    rows = keras.layers.Conv2D(8, 3, activation="relu")(rows)
    backbone = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(rows))
    return ImageEncoder(backbone, image_head(backbone.output_shape[1:], embedding_size=16))


@pytest.mark.parametrize("name", ["image", "text"])
def test_opset_and_free_sizes(name, exported):
    model = onnx.load(exported / "onnx" / f"{name}_encoder.onnx")
    assert [each.version for each in model.opset_import if not each.domain] == [convert.OPSET]
    [only_input] = model.graph.input
    sizes = [each.dim_value for each in only_input.type.tensor_type.shape.dim]
    assert sizes == {"image": [0, 32, 32, 3], "text": [0, 0]}[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "most_transposes"),
    [("EfficientNetV2B0", 30), ("MobileNetV3Small", 10), ("MobileNetV2", 10), ("ConvNeXtTiny", 60)],
)
def test_backbones_equal_keras_and_take_one_input(family, most_transposes, tmp_path):
    keras.utils.set_random_seed(1)
    backbone = application_backbone(family, image_size=64, weights=None)
    encoder = ImageEncoder(backbone, image_head(backbone.output_shape[1:], power=0.5))
    convert_image_encoder(tmp_path / "image.onnx", encoder)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 64, 64, 3)).astype(np.float32)
    assert_equals_keras(tmp_path / "image.onnx", encoder, pixels, atol=1e-5)
    [only_input] = onnx.load(tmp_path / "image.onnx").graph.input
    assert only_input.name == "pixels"
    assert operators(tmp_path / "image.onnx").count("Transpose") <= most_transposes


@pytest.mark.parametrize("form", ["", ".int8"])
@pytest.mark.parametrize(
    ("name", "inputs", "reason"),
    [
        ("text", np.zeros((2, 3), np.float32), "Unexpected input data type"),
        ("text", np.zeros(3, np.int32), "Invalid rank"),
        ("text", np.zeros((0, 3), np.int32), "an empty batch"),
        ("text", np.zeros((0, 0), np.int32), "an empty batch"),
        ("text", np.array([[2, -1, -100]], np.int32), "ids not in 0 to"),
        ("text", np.array([[1, 2], [3, -(2**31)]], np.int32), "ids not in 0 to"),
        ("text", np.array([[1] * 60 + [-1]], np.int32), "ids not in 0 to"),
        ("text", np.array([[1, 2], [3, 2**31 - 1]], np.int32), "ids not in 0 to"),
        ("image", np.zeros((0, 32, 32, 3), np.float32), "an empty batch"),
        ("image", np.zeros((1, 32, 31, 3), np.float32), "Got invalid dimensions"),
        ("image", np.zeros((32, 32, 3), np.float32), "Invalid rank"),
        ("image", np.zeros((1, 32, 32, 3), np.uint8), "Unexpected input data type"),
    ],
)
def test_the_graph_refuses_what_the_savedmodel_refuses(name, inputs, reason, form, exported):
    model = OnnxEncoder(exported / "onnx" / f"{name}_encoder{form}.onnx")
    with pytest.raises(MiteError, match=f"is refused: .*{reason}"):
        model.embed(inputs)


@pytest.mark.parametrize("text", ["bag-of-words", "recurrent", "transformer"])
def test_the_last_id_is_taken_and_the_next_is_not(text, make_encoders, tmp_path):
    encoder = make_encoders(text).text_encoder
    convert_text_encoder(tmp_path / "text.onnx", encoder, 12)
    last = vocabulary_size(encoder) - 1
    ids = np.array([[last, 0]], np.int32)
    assert_equals_keras(tmp_path / "text.onnx", encoder, ids)
    with pytest.raises(MiteError, match=f"ids not in 0 to {last}$"):
        OnnxEncoder(tmp_path / "text.onnx").embed(ids + 1)


def test_features_come_in_batches_of_one_row_at_least(tmp_path):
    encoder = ImageEncoder(None, image_head((6,), embedding_size=4))
    convert_image_encoder(tmp_path / "image.onnx", encoder)
    model = OnnxEncoder(tmp_path / "image.onnx")
    assert model.embed(np.ones((1, 6), np.float32)).shape == (1, 4)
    with pytest.raises(MiteError, match="an empty batch"):
        model.embed(np.ones((0, 6), np.float32))


def test_what_is_no_onnx_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"no model")
    with pytest.raises(MiteError, match=r"text\.onnx: onnxruntime cannot load it"):
        OnnxEncoder(tmp_path / "text.onnx")
