"""Answers over REST, asked with the standard library and with curl."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest

from mite_tf.serving.server import start_server
from tests.serving.stubs import close, images


@pytest.fixture
def rest(server):
    def ask(path, body=None, port=server.http_port):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, 30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())["error"]

    return ask


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


CAPTIONS = ["a dog", "é red circle."]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"instances": CAPTIONS}, "predictions"),
        ({"instances": [{"text": each} for each in CAPTIONS]}, "predictions"),
        ({"instances": [b64(each.encode()) for each in CAPTIONS]}, "predictions"),
        ({"instances": [{"text": b64(each.encode())} for each in CAPTIONS]}, "predictions"),
        ({"inputs": CAPTIONS}, "outputs"),
        ({"inputs": {"text": CAPTIONS}, "signature_name": "serving_default"}, "outputs"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models/text", "/v1/models/text/versions/1"])
def test_row_and_column_format(rest, export, path, body, key):
    status, answer = rest(f"{path}:predict", body)
    assert (status, list(answer)) == (200, [key])
    close(answer[key], export.keras.text(CAPTIONS))


def test_numbers_come_back_to_the_bit(rest, stubs):
    _, answer = rest("/v1/models/text:predict", {"instances": CAPTIONS})
    assert np.array_equal(
        np.array(answer["predictions"], np.float32), stubs.embed("text", text=CAPTIONS)
    )


def test_image_files_and_pixels(rest, export):
    files = [images()[name] for name in ("photo.jpg", "photo.png")]
    status, answer = rest("/v1/models/image:predict", {"instances": [b64(each) for each in files]})
    assert status == 200
    close(answer["predictions"], export.keras.images(files), 2e-5)
    grey = np.full((1, 32, 32, 3), 127)
    for signature in ("pixels", "pixels_uint8"):
        body = {"signature_name": signature, "instances": grey.tolist()}
        status, answer = rest("/v1/models/image:predict", body)
        expected = export.keras.encoders.image_encoder(grey.astype(np.float32), training=False)
        close(answer["predictions"], expected)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl(server, export):
    command = ["curl", "-s", "-d", '{"instances": ["a dog"]}',
               f"http://127.0.0.1:{server.http_port}/v1/models/text:predict"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    close(json.loads(done.stdout)["predictions"], export.keras.text(["a dog"]))


def test_status(rest):
    expected = {"version": "1", "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""}}  # fmt: skip
    for path in ("/v1/models/text", "/V1/models/image/versions/1"):
        assert rest(path) == (200, {"model_version_status": [expected]})


def test_metadata(rest):
    status, answer = rest("/v1/models/text/metadata")
    assert (status, answer["model_spec"]) == (
        200, {"name": "text", "version": "1", "signature_name": ""},
    )  # fmt: skip
    signature = answer["metadata"]["signature_def"]["signature_def"]["token_ids"]
    assert signature["inputs"]["token_ids"]["dtype"] == "DT_INT32"
    assert signature["inputs"]["token_ids"]["tensor_shape"]["dim"][0]["size"] == "-1"


PREDICT = "/v1/models/text:predict"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/models/dog", None, 404, "Could not find any versions of model dog"),
        ("/v1/models/text/versions/7", None, 404, "Could not find version 7 of model text"),
        ("/v1/models/dog:predict", {"instances": ["a"]}, 404, "Servable not found for request"),
        ("/v1/models/text/metadata/more", None, 400, "Malformed request: GET"),
        ("/v1/models/text", {"instances": ["a"]}, 400, "Malformed request: POST"),
        ("/v1/models/text:classify", {"examples": []}, 501, "tf.Example"),
        ("/v1/models/text/labels/canary:predict", {"instances": ["a"]}, 400, "label: canary"),
        ("/v1/models/text/versions/99999999999999999999", None, 400, "Failed to convert version"),
        (PREDICT, b"{", 400, "JSON Parse error"),
        (PREDICT, b"\xff", 400, "JSON Parse error"),
        (PREDICT, b"[" * 50_000, 400, "JSON Parse error"),
        (PREDICT, [1], 400, "Is not object"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (PREDICT, {"instances": ["a"], "inputs": ["a"]}, 400, "only one of"),
        (PREDICT, {"instances": "a"}, 400, "to be an list/array"),
        (PREDICT, {"instances": []}, 400, "No values in 'instances'"),
        (PREDICT, {"instances": ["a"], "signature_name": 3}, 400, "must be a string value"),
        (PREDICT, {"instances": ["a"], "signature_name": "dog"}, 400, '"dog" not found'),
        (PREDICT, {"instances": [1]}, 400, "Type: Number is not of expected type: string"),
        (PREDICT, {"instances": [None]}, 400, "Type: Null is not of expected type: string"),
        (PREDICT, {"instances": [{"texts": "a"}]}, 400, "does not have named input: texts"),
        (PREDICT, {"instances": ["a", {"text": "b"}]}, 400, "got object at item 1"),
        (PREDICT, {"instances": [{"text": "b"}, "a"]}, 400, "got list at item 1"),
        (PREDICT, {"instances": [["a", "b"], ["c"]]}, 400, "Expecting shape [2] but got: [1]"),
        (PREDICT, {"instances": [{"b64": "!"}]}, 400, "Unable to base64 decode"),
        (PREDICT, {"inputs": {"texts": ["a"]}}, 400, "Missing named input: text"),
        (PREDICT, {"inputs": ["a", ["b"]]}, 400, "Encountered list at unexpected level"),
        (PREDICT, {"inputs": [["a"], "b"]}, 400, "found at incorrect level"),
        (PREDICT, {"inputs": "a"}, 400, "of shape []"),
        (PREDICT, b'{"instances": ["\\ud800"]}', 400, "not valid Unicode"),
        (PREDICT, {"instances": ["a"] * 33}, 400, "larger than maximum input batch size 32"),
        (PREDICT, {"signature_name": "token_ids", "instances": [[1.5]]}, 400, "type: int32"),
        (PREDICT, {"signature_name": "token_ids", "instances": [[True]]}, 400, "type: int32"),
        (PREDICT, {"signature_name": "token_ids", "instances": [[1 << 40]]}, 400, "type: int32"),
        ("/v1/models/image:predict", {"instances": ["a"]}, 400, "image_bytes[0]: The bytes"),
        ("/v1/models/text/versions/" + "9" * 5000, None, 400, "Failed to convert version"),
        ("/v1/models/text/versions/%D9%A1", None, 400, "Malformed request"),
        ("/v1/models/%ed%a0%80", None, 404, "Could not find any versions of model"),
        (PREDICT, b'{"instances": ["a"], "instances": ["b"]}', 400, "named twice"),
        (PREDICT, '{"instances": ["a"]}'.encode("utf-16"), 400, "JSON Parse error: 'utf-8'"),
        (PREDICT, b'\xef\xbb\xbf{"instances": ["a"]}', 400, "Unexpected UTF-8 BOM"),
        (PREDICT, b'{"instances": ["a"], "signature_name": "\\ud800"}', 400, '"\\ud800" not found'),
        (PREDICT, b'{"instances": [{"\\ud800": "a"}]}', 400, "named input: \\ud800"),
        (PREDICT, b'{"instances": [{"b64": "\\ud800"}]}', 400, "Unable to base64 decode"),
        (PREDICT, {"instances": [{"e" * 20_000: 1}]}, 400, "key: eee"),
        (PREDICT, b'{"instances": [' + b"[]," * 600_000 + b"[]]}", 400, "more than 524288 lists"),
        (PREDICT, b'{"instances": [' + b"1," * 2_100_000 + b"1]}", 400, "2097152 values"),
        (PREDICT, {"instances": [1] * 500_000}, 400, "Task size 500000 is larger"),
        *(
            ("/v1/models/image:predict",
             b'{"signature_name": "pixels", "inputs": [[[[1, 2, %s]]]]}' % number, 400, message)
            for number, message in (
                (b"NaN", "NaN is no number"), (b"-Infinity", "-Infinity is no number"),
                (b"1e39", "type: float"), (b"-1e999", "type: float"), (b"9" * 400, "type: float"),
                (b"9" * 401, "an integer of 401 digits"), (b"true", "type: float"),
                (b"3e38", "the embedding is not finite"),
            )
        ),
        ("/v1/models/image:predict",
         {"signature_name": "pixels_uint8", "inputs": [[[[1, 2, 256]]]]}, 400, "type: uint8"),
    ],
)  # fmt: skip
def test_statuses_are_those_of_tensorflow_serving(rest, path, body, status, message):
    code, error = rest(path, body)
    assert (code, message in error) == (status, True), error
    assert len(error.encode()) <= 1024


def test_lists_in_lists_in_lists(rest):
    body = b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}"
    assert rest(PREDICT, body)[0] == 400


def test_large_bodies_are_refused(rest, export_folder):
    with start_server(export_folder, max_message_bytes=10_000) as small:
        status, error = rest(PREDICT, {"instances": ["a" * 20_000]}, small.http_port)
        assert (status, "larger than 10000 bytes" in error) == (413, True)
        assert rest(PREDICT, {"instances": ["a"]}, small.http_port)[0] == 200
