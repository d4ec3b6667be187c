"""A request that is refused says whose fault it is, fails no other, and leaves nothing behind."""

import gc
import json
import sys
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from mite_tf.serving.wire.messages import PredictRequest, TensorProto
from mite_tf.serving.wire.tensors import to_tensor

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def ask(server, caplog):
    """Sends bytes; gives the status and its message. No fault of a client may be logged."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:

        def call(data, method=PREDICT):
            try:
                if method == REFLECTION:
                    [*channel.stream_stream(method)(iter([data]), timeout=30)]
                elif method == WATCH:
                    [*channel.unary_stream(method)(data, timeout=30)]
                else:
                    channel.unary_unary(method)(data, timeout=30)
            except grpc.RpcError as error:
                return error.code().name, error.details()
            return "OK", ""

        yield call
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def request_of(model, signature, **inputs):
    request = PredictRequest(model_spec={"name": model, "signature_name": signature})
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    return request.SerializeToString()


def tensor_of(dtype, *sizes, **values):
    dims = [{"size": size} for size in sizes]
    return TensorProto(dtype=dtype, tensor_shape={"dim": dims}, **values)


def texts(*values):
    return to_tensor(np.array(values, object))


def filled(value, side=4):
    return to_tensor(np.full((1, side, side, 3), value, np.float32))


CLAIMS = [
    # signature, its tensor, a part of the message
    ("pixels", tensor_of(1, 1, 16384, 16384, 3, float_val=[1]), "805306368 values; received 1"),
    ("pixels", tensor_of(1, 1, -4, 4, 3, float_val=[1]), "a size is negative"),
    ("pixels", tensor_of(1, 1, 1 << 62, 1 << 62, 3, float_val=[1]), "larger than any message"),
    ("pixels", tensor_of(1, 1, 0, 1 << 62, 3), "larger than any message"),
    ("pixels", tensor_of(1, *[1] * 1000, float_val=[1]), "1000 dimensions"),
    ("pixels", tensor_of(1, *[1] * 30, float_val=[1]), "expected [?,?,?,3]"),
    ("pixels", tensor_of(1, 33, 1, 1, 3), "Task size 33"),
    ("pixels", tensor_of(1, 1 << 38, 1, 1, 3), "Task size 274877906944"),
    ("pixels", filled(np.nan), "NaN or infinity"),
    ("pixels", filled(-np.inf, 32), "NaN or infinity"),
    ("pixels", filled(3e38), "the embedding is not finite"),
    ("pixels_uint8", tensor_of(4, 1, 1, 1, 3, int_val=[300]), "300 out of bounds for uint8"),
    ("pixels_uint8", tensor_of(4, 1, 1, 1, 3, int_val=[0, 0, -1]), "-1 out of bounds for uint8"),
    ("serving_default", tensor_of(7, 30, string_val=[b"a" * 40_000]), "The last stands"),
    ("serving_default", tensor_of(7, 1 << 40, string_val=[b"a"]), "Task size 1099511627776"),
]


@pytest.mark.parametrize(("signature", "tensor", "message"), CLAIMS)
def test_claims_are_not_believed(ask, signature, tensor, message):
    name = "pixels" if "pixels" in signature else "image_bytes"
    status, details = ask(request_of("image", signature, **{name: tensor}))
    assert (status, message in details) == ("INVALID_ARGUMENT", True), details


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x0a\x03\x0a\x01\xff", b"\x0a" * 100_000])
@pytest.mark.parametrize("method", [PREDICT, METADATA, STATUS, CHECK, WATCH, REFLECTION])
def test_bytes_that_are_no_message(ask, method, data):
    assert ask(data, method)[0] == "INVALID_ARGUMENT"


def test_health_and_reflection_answer_and_a_method_without_code_does_not(ask):
    assert ask(b"", CHECK)[0] == "OK"
    assert ask(b"", REFLECTION)[0] == "OK"
    assert ask(b"", "/grpc.health.v1.Health/List")[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize("letter", ["a", "é", "🐕"])
def test_messages_are_cut(ask, letter):
    name = letter * 16_000
    for data, status in (
        (request_of(name, "", text=texts(b"a")), "NOT_FOUND"),
        (request_of("text", name, text=texts(b"a")), "FAILED_PRECONDITION"),
        (request_of("text", "", **{name: texts(b"a")}), "INVALID_ARGUMENT"),
        (request_of("text", "", text=texts(b"a"), **{name: texts(b"a")}), "INVALID_ARGUMENT"),
    ):
        found, details = ask(data)
        assert (found, letter * 99 in details) == (status, True)
        assert 1020 < len(details.encode()) <= 1024


LONG = b"x" * 100_000
IDS = np.full((1, 99_999), 99, np.int32)
GRPC = {
    "answered": request_of("image", "pixels", pixels=filled(127, 200)),
    "too many rows": request_of("text", "", text=texts(*[LONG[:9999]] * 33)),
    "no number": request_of("image", "pixels", pixels=filled(np.nan, 200)),
    "not finite": request_of("image", "pixels", pixels=filled(3e38, 200)),
    "no text": request_of("text", "", text=texts(LONG + b"\xff")),
    "no image": request_of("image", "", image_bytes=texts(LONG)),
    "no such id": request_of("text", "token_ids", token_ids=to_tensor(IDS)),
    "no such model": request_of(LONG.decode(), "", text=texts(LONG)),
    "no such signature": request_of("text", LONG.decode(), text=texts(LONG)),
    "no such input": request_of("text", "", **{LONG.decode(): texts(LONG)}),
    "malformed": request_of("text", "", text=texts(LONG)) + b"\xff",
    "no service": b"\x0a\xa0\x8d\x06" + LONG,
}  # fmt: skip
REST = {
    "answered": ("image", '{"signature_name": "pixels", "inputs": [[['
                 + "[1, 2, 3], " * 20_000 + "[1, 2, 3]]]]}"),
    "malformed": ("text", '{"instances": ["' + LONG.decode()),
    "no text": ("text", json.dumps({"instances": [LONG.decode() + "\ud800"]})),
    "too many rows": ("text", json.dumps({"instances": [LONG.decode()[:9999]] * 33})),
    "no such input": ("text", json.dumps({"instances": [{"dog": LONG.decode()}]})),
    "no such model": ("dog", json.dumps({"instances": [LONG.decode()]})),
    "no image": ("image", json.dumps({"instances": [{"b64": LONG.decode()}]})),
    "no number": ("image", '{"signature_name": "pixels", "inputs": [[['
                  + "[1, 2, 3], " * 20_000 + "[1, 2, 1e39]]]]}"),
    "not finite": ("image", '{"signature_name": "pixels", "inputs": [[['
                   + "[1, 2, 3e38], " * 20_000 + "[1, 2, 3e38]]]]}"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)  # a round over all of TensorFlow takes long
def _what_is_loaded_is_not_looked_at():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.collect()  # here, and not in the middle of another test


def left_behind(ask, *arguments):
    """Asks without the garbage collector; gives what large things it alone would free."""
    ask(*arguments)  # what the first request makes stays, and is not looked at
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            ask(*arguments)
        time.sleep(0.05)  # a client has its answer before the server has put the request away
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = [each for one in gc.garbage for each in (one, *gc.get_referents(one))]
        return [(type(each), size) for each in found if (size := size_of(each)) > 50_000]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def size_of(thing):
    if isinstance(thing, PredictRequest | TensorProto):
        return thing.ByteSize()
    return thing.nbytes if isinstance(thing, np.ndarray) else sys.getsizeof(thing)


@pytest.mark.parametrize("name", GRPC)
def test_nothing_of_a_request_is_left(ask, name):
    arguments = (GRPC[name], CHECK if name == "no service" else PREDICT)
    assert (ask(*arguments)[0] == "OK") == (name == "answered")
    assert left_behind(ask, *arguments) == []


@pytest.mark.parametrize("name", REST)
def test_nothing_of_a_body_is_left(server, name):
    model, body = REST[name]
    url = f"http://127.0.0.1:{server.http_port}/v1/models/{model}:predict"
    data = body.encode()

    def post():
        try:
            with urllib.request.urlopen(url, data, 30) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert post() == {"answered": 200, "no such model": 404}.get(name, 400)
    assert left_behind(post) == []


def test_nothing_is_left_of_what_a_model_fails_at(ask, monkeypatch):
    def fail(parts):
        raise RuntimeError("broken")

    monkeypatch.setattr("mite_tf.serving.server.batcher.together", fail)
    assert ask(GRPC["answered"]) == ("INTERNAL", "The model failed: broken")
    assert left_behind(ask, GRPC["answered"]) == []
