"""Answers over gRPC, asked with the public stubs alone, against Keras."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, predict_pb2

from tests.serving.stubs import close, images, stubs_of

CAPTIONS = ["a dog runs.", "Red CIRCLE, left", "", "é dog ünknown ✓", "dogs " * 40]


@pytest.fixture(params=["onnx", "savedmodel"])
def asked(request):
    name = "server" if request.param == "onnx" else "savedmodel_server"
    with stubs_of(request.getfixturevalue(name).port) as opened:
        yield opened


def test_captions_together_and_alone(asked, export):
    expected = export.keras.text(CAPTIONS)
    close(asked.embed("text", text=CAPTIONS), expected)
    for caption, row in zip(CAPTIONS, expected, strict=True):
        close(asked.embed("text", text=[caption]), row[None])


def test_image_files(asked, export):
    files = [data for name, data in images().items() if name != "huge.jpg"]
    close(asked.embed("image", image_bytes=files), export.keras.images(files), 2e-5)


@pytest.mark.parametrize("signature", ["pixels", "pixels_uint8"])
def test_pixels_of_any_size(asked, export, signature):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, 41, 57, 3))
    dtype = np.float32 if signature == "pixels" else np.uint8
    files = [tf.io.encode_png(each.astype(np.uint8)).numpy() for each in pixels]
    found = asked.embed("image", signature=signature, pixels=pixels.astype(dtype))
    close(found, export.keras.images(files), 2e-5)


def test_token_ids(asked, export):
    ids = export.keras.encoders.tokenizer(tf.constant(CAPTIONS)).numpy()
    expected = export.keras.text(CAPTIONS)
    close(asked.embed("text", signature="token_ids", token_ids=ids), expected)
    wide = np.pad(ids, [(0, 0), (0, 3)], constant_values=5)  # beyond max_length: cut off
    close(asked.embed("text", signature="token_ids", token_ids=wide), expected)
    none = np.zeros((1, 0), np.int32)
    close(asked.embed("text", signature="token_ids", token_ids=none), export.keras.text([""]))


def test_version_and_filter_may_be_named_and_the_answer_names_what_answered(asked, export):
    response = asked.predict("text", version=1, filter=["embedding"], text=["a dog"])
    close(tf.make_ndarray(response.outputs["embedding"]), export.keras.text(["a dog"]))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("text", 1, "serving_default")


REFUSED = [
    # model, what is asked, status, beginning of the message, what to change
    ("dog", {"text": ["a"]}, "NOT_FOUND",
     "Servable not found for request: Latest(dog)", "image and text"),
    ("text", {"version": 9, "text": ["a"]}, "NOT_FOUND",
     "Servable not found for request: Specific(text, 9)", "version 1"),
    ("", {"text": ["a"]}, "INVALID_ARGUMENT", "ModelSpec has no name specified", "image or text"),
    ("text", {"label": "stable", "text": ["a"]}, "INVALID_ARGUMENT",
     "Unrecognized servable version label: stable", "name a version"),
    ("text", {"signature": "dog", "text": ["a"]}, "FAILED_PRECONDITION",
     'Serving signature key "dog" not found.', "token_ids"),
    ("text", {"texts": ["a"]}, "INVALID_ARGUMENT",
     "input tensor alias not found in signature: texts.", "{text}"),
    ("text", {}, "INVALID_ARGUMENT", "input size does not match signature: 0!=1", "{text}"),
    ("text", {"text": ["a"], "more": ["b"]}, "INVALID_ARGUMENT",
     "input size does not match signature: 2!=1", "Sent extra: {more}"),
    ("text", {"text": [1.0]}, "INVALID_ARGUMENT",
     "Expects arg[0] to be string but float is provided", "Send text as string"),
    ("image", {"signature": "pixels", "pixels": np.zeros((1, 4, 4, 3), np.uint8)},
     "INVALID_ARGUMENT", "Expects arg[0] to be float but uint8 is provided", "as float"),
    ("text", {"text": "a"}, "INVALID_ARGUMENT", "text: of shape []", "expected [?]"),
    ("text", {"text": [["a"]]}, "INVALID_ARGUMENT", "text: of shape [1,1]", "expected [?]"),
    ("text", {"text": np.array([], object)}, "INVALID_ARGUMENT", "text: the batch is empty", "one"),
    ("text", {"text": [b"dog \xff"]}, "INVALID_ARGUMENT", "text[0]: not valid UTF-8 at byte 4",
     "Encode"),
    ("image", {"signature": "pixels", "pixels": np.zeros((4, 4, 3), np.float32)},
     "INVALID_ARGUMENT", "pixels: of shape [4,4,3]", "expected [?,?,?,3]"),
    ("image", {"signature": "pixels", "pixels": np.zeros((1, 0, 4, 3), np.float32)},
     "INVALID_ARGUMENT", "pixels: of shape [1, 0, 4, 3]", "no pixel"),
    ("image", {"image_bytes": [b"no image"]}, "INVALID_ARGUMENT",
     "image_bytes[0]: The bytes cannot be decoded as an image", "JPEG, PNG"),
    ("image", {"image_bytes": [images()["photo.jpg"][:400]]}, "INVALID_ARGUMENT",
     "image_bytes[0]: The bytes cannot be decoded as an image", ""),
    ("text", {"filter": ["dog"], "text": ["a"]}, "INVALID_ARGUMENT",
     "output tensor alias not found in signature: dog", "{embedding}"),
    ("text", {"filter": ["embedding", "embedding"], "text": ["a"]}, "INVALID_ARGUMENT",
     "duplicate output tensor alias: embedding", "once"),
    ("text", {"signature": "token_ids", "token_ids": np.array([[2, -100]], np.int32)},
     "INVALID_ARGUMENT", "token_ids: hold -100 to 2; ids are 0 to 84", ""),
    ("text", {"signature": "token_ids", "token_ids": np.array([[85]], np.int32)},
     "INVALID_ARGUMENT", "token_ids: hold 85 to 85; ids are 0 to 84", ""),
    ("text", {"text": ["a"] * 33}, "INVALID_ARGUMENT",
     "Task size 33 is larger than maximum input batch size 32", "at most 32 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "request_", "status", "message", "hint"), REFUSED)
def test_statuses_are_those_of_tensorflow_serving(asked, model, request_, status, message, hint):
    code, details = asked.refused(model, **request_)
    assert (code, details[: len(message)]) == (status, message)
    assert hint in details


def test_nonsense_and_other_methods_are_refused(asked):
    request = asked.request("text", signature="token_ids", token_ids=[[1, 2]])
    request.inputs["token_ids"].tensor_content = b"abc"
    for call, message, status in (
        (asked.prediction.Predict, predict_pb2.PredictRequest(), "Missing ModelSpec"),
        (asked.prediction.Predict, request, "INVALID_ARGUMENT"),
        (asked.prediction.Classify, classification_pb2.ClassificationRequest(), "UNIMPLEMENTED"),
    ):
        with pytest.raises(grpc.RpcError, match=status):
            call(message, timeout=10)


def test_metadata_are_those_of_the_manifest(asked):
    response = asked.metadata("image")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "pixels", "pixels_uint8"}
    described = signatures.signature_def["pixels_uint8"]
    assert described.method_name == "tensorflow/serving/predict"
    assert described.inputs["pixels"].dtype == tf.uint8.as_datatype_enum
    assert [d.size for d in described.inputs["pixels"].tensor_shape.dim] == [-1, -1, -1, 3]
    assert [d.size for d in described.outputs["embedding"].tensor_shape.dim] == [-1, 16]
    for fields, message in [((), "at least one metadata_field"), (("dog",), "field dog is not")]:
        with pytest.raises(Exception, match=message):
            asked.metadata("image", fields)
    with pytest.raises(Exception, match="NOT_FOUND"):
        asked.metadata("dog")


def test_states(asked):
    assert asked.status("text") == {1: 30} == asked.status("image", 1)
    with pytest.raises(Exception, match="Could not find version 2 of model text"):
        asked.status("text", 2)
    with pytest.raises(Exception, match="Could not find any versions of model dog"):
        asked.status("dog")
