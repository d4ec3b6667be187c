"""Requests that no honest client sends, drawn by a `random.Random`, which hypothesis can play."""

from __future__ import annotations

import gzip
import math
import random
import struct
import zlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mite_tf.serving.wire.messages import PREDICTION_SERVICE
from tests.benchmarks.serving_processes import request_of

NUMBERS = [*range(-1, 4), 33, 255, 300, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -1.0, 256.0, 3e38, 1e39, 1e308, math.inf, -math.inf, math.nan]
WORDS = ["", "text", "image", "serving_default", "pixels", "dog", "\0", "é", "a" * 20_000]
BYTES = [b"", b"a", b"\xff", b"\xed\xa0\x80", bytes(100), b"a" * 20_000]
SHAPES = [
    [1, 16384, 16384, 3], [1 << 31, 1 << 31, 1 << 31], [1 << 62, 4], [1] * 300, [0], [0, 1 << 62],
    [33], [1 << 20, 1 << 20], [-1], [1, -1, -1, 3], [1, 1, 60_000_000, 3], [1, 1 << 31], [],
]  # fmt: skip
METHODS = [f"/{PREDICTION_SERVICE}/Predict"] * 8 + [
    f"/{PREDICTION_SERVICE}/GetModelMetadata",
    "/tensorflow.serving.ModelService/GetModelStatus",
    f"/{PREDICTION_SERVICE}/Classify",
    "/grpc.health.v1.Health/Check",
    "/nobody/knows",
]


@cache
def honest() -> list[Any]:
    """A request of each signature, to begin with."""
    from mite_tf.export.verification.cases import images

    rows = [
        ("text", "", "text", np.array([b"a dog"], object)),
        ("text", "token_ids", "token_ids", np.array([[1, 2]], np.int32)),
        ("image", "", "image_bytes", np.array([images()["photo.jpg"]], object)),
        ("image", "pixels", "pixels", np.ones((1, 4, 4, 3), np.float32)),
        ("image", "pixels_uint8", "pixels", np.ones((1, 4, 4, 3), np.uint8)),
    ]
    requests = [request_of(model, name, value) for model, _, name, value in rows]
    for request, (_, signature, _, _) in zip(requests, rows, strict=True):
        request.model_spec.signature_name = signature
    return requests


def hostile_request(choose: random.Random) -> bytes:
    """A `PredictRequest` that was honest, until its fields or its bytes were changed."""
    request = type(honest()[0])()
    request.CopyFrom(choose.choice(honest()))
    [name] = request.inputs
    tensor = request.inputs[name]
    for _ in range(choose.randint(1, 3)):
        match choose.randrange(8):
            case 0 | 1:
                _change_a_field(tensor, choose)
            case 2 | 3:
                claim(tensor, choose.choice(SHAPES))
            case 4 if tensor.tensor_shape.dim:
                choose.choice(tensor.tensor_shape.dim).size = choose.choice(NUMBERS)
            case 5:
                tensor.dtype = choose.randrange(130)
            case 6:
                _change_a_field(request.model_spec, choose)
            case _:
                request.inputs[choose.choice(WORDS)].CopyFrom(tensor)
                request.output_filter.append(choose.choice(["embedding", *WORDS]))
    data = request.SerializeToString()
    return mutated(data, choose) if choose.random() < 0.2 else data


def claim(tensor: Any, shape: list[int]) -> None:
    """Lets a tensor say that it has a shape."""
    del tensor.tensor_shape.dim[:]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def _change_a_field(message: Any, choose: random.Random) -> None:
    field = choose.choice(message.DESCRIPTOR.fields)
    value = getattr(message, field.name)
    if field.message_type:
        _change_a_field(value.add() if field.is_repeated else value, choose)
    elif field.is_repeated:
        value.extend([_value(field, choose)] * choose.choice([1, 1, 2, 33]))
    else:
        setattr(message, field.name, _value(field, choose))


def _value(field: Any, choose: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING:
        return choose.choice(BYTES if field.type == field.TYPE_BYTES else WORDS)
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return choose.choice(FLOATS)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return True
    bits = 64 if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 32
    signed = field.cpp_type not in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    least = -(1 << bits - 1) if signed else 0
    return max(least, min(choose.choice(NUMBERS), least + (1 << bits) - 1))


def mutated(data: bytes, choose: random.Random) -> bytes:
    """Bytes of which some, most often at the beginning, were changed, doubled, or cut out."""
    changed = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        place = choose.randrange(min(len(changed), choose.choice([64, 1 << 30])) or 1)
        length = choose.choice([1, 2, 4, 30, 1000])
        match choose.randrange(7):
            case 0 | 1:
                changed[place : place + 1] = bytes([choose.choice([0, 1, 0x7F, 0x80, 0xFF])])
            case 2 | 3:
                number = choose.choice(NUMBERS) & 0xFFFFFFFF
                changed[place : place + 4] = number.to_bytes(4, choose.choice(["big", "little"]))
            case 4:
                del changed[place : place + length]
            case 5:
                changed[place:place] = changed[place : place + length] * choose.choice([1, 1, 50])
            case _:
                del changed[choose.randrange(len(changed) or 1) :]
    return bytes(changed)


class Http(NamedTuple):
    """What is sent over HTTP."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


PATHS = [f"/v1/models/{name}:predict" for name in ["text"] * 8 + ["image"] * 4] + [
    "/v1/models/text/versions/1:predict", f"/v1/models/text/versions/{'9' * 5000}:predict",
    "/v1/models/%ff%fe:predict", "/v1/models/text/labels/%ed%a0%80:predict", "/v1/models/%00%0a",
    f"/v1/models/{'a' * 10_000}:predict", "/v1/models/text:classify", "/v1/models/text/metadata",
    "/V1/models/text", "//", "/v1/models/%", "/monitoring/prometheus/metrics",
]  # fmt: skip
FRAGMENTS = [
    '"a dog"', '"a\\u0000"', "1", "-1", "1.5", "300", "9" * 20, "1" * 400, "1e39", "-1e400", "NaN",
    "-Infinity", '"\\ud800"', '{"b64": "\\udfff"}', '{"b64": "!"}', '{"b64": "aGk="}', '{"b64": 1}',
    '{"text": "a"}', '{"text": NaN}', '{"token_ids": [1, 2]}', '{"\\ud800": 1}', "null", "true",
    "[]", "{}", "[[]]", "[1, 2]", "[[[1, 2, 3]]]", "[[[1e39, 2, 3]]]", "[" * 3000 + "]" * 3000,
    "[" * 3000, '{"a":' * 500, "[" + "[]," * 5000 + "[]]", '"' + "a" * 20_000 + '"',
    '{"a": 1, "a": 2}', "",
]  # fmt: skip


def hostile_http(choose: random.Random) -> Http:
    """A request to REST whose path, headers, encoding or JSON is not what it should be."""
    rows = [choose.choice(FRAGMENTS) for _ in range(choose.choice([0, 1, 1, 2, 33]))]
    value = choose.choice([f"[{','.join(rows)}]", "".join(rows[:1])])
    signature = choose.choice(
        ['"serving_default"', '"token_ids"', '"pixels"', '"pixels_uint8"', *FRAGMENTS[:20]]
    )
    key = choose.choice(["instances"] * 4 + ["inputs"] * 4 + ["\\ud800", "instances\\u0000"])
    named = f'"signature_name": {signature}, ' if choose.random() < 0.6 else ""
    body = f'{{{named}"{key}": {value}}}'.encode()
    headers = {}
    match choose.randrange(12):
        case 0:
            body = mutated(body, choose)
        case 1:
            body = body.decode("utf-8").encode(choose.choice(["utf-16", "utf-32", "utf-8-sig"]))
        case 2:
            packed = choose.choice([gzip.compress, zlib.compress, lambda data: data])(body)
            body = mutated(packed, choose) if choose.random() < 0.5 else packed
            headers["Content-Encoding"] = choose.choice(["gzip", "deflate", "br", "gzip, gzip", ""])
        case 3:
            headers[choose.choice(["Content-Type", "Accept", "Expect", "Upgrade", "X"])] = (
                choose.choice(["text/html; charset=latin-1", "100-continue", "h2c", "a" * 9000])
            )
    method = choose.choice(["POST"] * 12 + ["GET", "PUT", "DELETE", "HEAD", "PATCH", "BREW"])
    return Http(method, choose.choice(PATHS), headers, body)


def zeros(count: int) -> bytes:
    """So many zeros, deflated to a thousandth at once: the same block again and again."""
    packed = []
    for size in (1 << 20, count % (1 << 20)):
        pack = zlib.compressobj(9, wbits=-15)
        packed.append(pack.compress(bytes(size)) + pack.flush(zlib.Z_FULL_FLUSH))
    return packed[0] * (count >> 20) + packed[1] + b"\3\0"


@cache
def bomb(size: int = 1 << 30) -> bytes:
    """A megabyte of gzip that unpacks to a gigabyte of zeros."""
    check = 0
    for _ in range(size >> 20):
        check = zlib.crc32(bytes(1 << 20), check)
    return b"\x1f\x8b\x08" + bytes(7) + zeros(size) + struct.pack("<II", check, size & 0xFFFFFFFF)
