import io
from itertools import groupby

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.export.runtimes import SavedModel
from mite_tf.export.savedmodel import WARMUP, check_ops, ops_of
from mite_tf.export.verification.cases import images


@pytest.fixture(scope="module")
def models(exported):
    return {name: SavedModel(exported / "savedmodel" / name / "1") for name in ("image", "text")}


@pytest.mark.parametrize(
    ("name", "signature", "described"),
    [
        ("image", "serving_default", ["inputs['image_bytes']", "DT_STRING", "shape: (-1)"]),
        ("image", "pixels", ["inputs['pixels']", "DT_FLOAT", "shape: (-1, -1, -1, 3)"]),
        ("image", "pixels_uint8", ["inputs['pixels']", "DT_UINT8", "shape: (-1, -1, -1, 3)"]),
        ("text", "serving_default", ["inputs['text']", "DT_STRING", "shape: (-1)"]),
        ("text", "token_ids", ["inputs['token_ids']", "DT_INT32", "shape: (-1, -1)"]),
    ],
)
def test_saved_model_cli_shows_the_signatures(name, signature, described, exported, capsys):
    from tensorflow.python.tools import saved_model_cli

    saved_model_cli._show_inputs_outputs(  # the body of `saved_model_cli show`
        str(exported / "savedmodel" / name / "1"), "serve", signature
    )
    shown = capsys.readouterr().out
    for part in [*described, "outputs['embedding']", "DT_FLOAT", "shape: (-1, 128)"]:
        assert part in shown


def test_embeddings_have_unit_norm_and_any_size_will_do(models):
    image, random = models["image"], np.random.default_rng(0)
    for size in [(1, 1), (7, 90), (32, 32)]:
        pixels = random.integers(0, 256, (3, *size, 3), np.uint8)
        embeddings = image.embed(pixels, "pixels_uint8")
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(image.embed(pixels, "pixels"), embeddings, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "signature", "inputs", "message"),
    [
        ("image", "serving_default", [b"no image"], "Unknown image file format"),
        ("image", "serving_default", [images()["photo.jpg"][:300]], "Invalid JPEG|jpeg|JPEG"),
        ("image", "serving_default", [], "The batch is empty"),
        ("image", "serving_default", [[b"a"]], r"\[1,1\] is not .* with expected shape \[\?\]"),
        ("image", "pixels", np.zeros((9, 9, 3)), r"\[9,9,3\] is not compatible"),
        ("image", "pixels", np.zeros((1, 9, 9, 4)), r"\[1,9,9,4\] is not compatible"),
        ("image", "pixels_uint8", np.zeros((0, 9, 9, 3), np.uint8), "The batch is empty"),
        ("image", "pixels_uint8", np.full((1, 9, 9, 3), 0.5), "uint8"),
        ("text", "serving_default", [], "The batch is empty"),
        ("text", "token_ids", [1, 2], r"\[2\] is not compatible"),
        ("text", "token_ids", [[0.5]], "int32"),
        ("text", "token_ids", [[10**6]], "no id: ids are 0 to"),
        ("text", "token_ids", [[3, -1]], "no id: ids are 0 to"),
        ("text", "serving_default", np.array([1, 2]), "takes text as string; received int64"),
        ("text", "tokens", ["a"], "Unknown signature 'tokens'; there are serving_default, tok"),
        ("text", "token_ids", np.zeros((0, 3), np.int32), "The batch is empty"),
    ],
)
def test_unusable_input_is_refused(name, signature, inputs, message, models):
    with pytest.raises(MiteError, match=message):
        models[name].embed(inputs, signature)


def test_bytes_that_are_no_utf8_count_as_an_unknown_character(models):
    broken, told = models["text"].embed([b"red \xff circle", "red \ufffd circle".encode()])
    np.testing.assert_array_equal(broken, told)


# As a server calls it, through the session of C++, which checks no shapes.
CALL_WITH_RANK_3 = """
import sys
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

with tf.compat.v1.Session(graph=tf.Graph()) as session:
    model = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    call = model.signature_def[sys.argv[2]]
    [value], [output] = call.inputs.values(), call.outputs.values()
    options = config_pb2.CallableOptions(feed=[value.name], fetch=[output.name])
    run = session._make_callable_from_options(options)
    print("embedded", run(np.zeros((2, 32, 32, 3), np.float32))[0].shape, flush=True)
    try:
        run(np.zeros((32, 32, 3), np.float32))
    except tf.errors.InvalidArgumentError as error:
        print("refused:", "not compatible with expected shape" in str(error))
"""


class TestRankThatAborts:
    def test_guarded_signature_refuses_and_the_process_lives(self, exported, run_python):
        done = run_python(CALL_WITH_RANK_3, exported / "savedmodel" / "image" / "1", "pixels")
        assert done.returncode == 0, done.stderr
        assert "embedded (2, 128)\nrefused: True" in done.stdout

    def test_without_the_guard_the_process_would_die(self, tmp_path, run_python):
        import keras

        inputs = keras.Input((32, 32, 3))
        model = keras.Model(inputs, keras.layers.Conv2D(8, 3)(inputs))
        model.export(str(tmp_path / "bare"), verbose=False)
        done = run_python(CALL_WITH_RANK_3, tmp_path / "bare", "serving_default")
        assert "embedded (2," in done.stdout
        assert done.returncode < 0, "the guard of `_guarded` may no longer be needed"


def read_warmup(folder):
    """Signature, input name and tensor of each request in a SavedModel."""
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(str(folder / WARMUP)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        [(name, tensor)] = request.inputs.items()
        yield request.model_spec.signature_name, name, tf.make_ndarray(tensor)


def test_warmup_requests_replay(exported):
    for name, count in (("image", 3), ("text", 2)):
        folder = exported / "savedmodel" / name / "1"
        signatures = tf.saved_model.load(str(folder)).signatures
        requests = list(read_warmup(folder))
        replayed = {key for key, _ in groupby(requests, key=lambda request: request[0])}
        assert replayed == set(signatures)
        assert len(requests) == 3 * count
        for signature, input_name, tensor in requests:
            embedding = signatures[signature](**{input_name: tf.constant(tensor)})["embedding"]
            assert embedding.shape == (len(tensor), 128)


class TestServingOps:
    def test_text_needs_what_the_server_links(self, exported):
        ops = ops_of(exported / "savedmodel" / "text" / "1")
        assert {"NormalizeUTF8", "CaseFoldUTF8", "FastWordpieceTokenizeWithOffsets"} <= ops
        check_ops(exported / "savedmodel" / "text" / "1")

    def test_an_operation_that_it_lacks_is_refused(self, tmp_path):
        import tensorflow_text

        module = tf.Module()
        module.call = tf.function(
            lambda text: tensorflow_text.utf8_binarize(text),
            input_signature=[tf.TensorSpec((None,), tf.string)],
        )
        tf.saved_model.save(module, str(tmp_path))
        with pytest.raises(MiteError, match="TFText>Utf8Binarize"):
            check_ops(tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_images_are_turned_upright(models, kind):
    lying, upright = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(images()["photo.png"])) as image:
        image.save(lying, kind, exif=exif, lossless=True, quality=100, subsampling=0)
        image.transpose(Image.Transpose.ROTATE_270).save(upright, "PNG")
    both = models["image"].embed([lying.getvalue(), upright.getvalue()])
    assert both[0] @ both[1] > 0.9999
    assert models["image"].embed([images()["photo.png"]])[0] @ both[1] < 0.99
