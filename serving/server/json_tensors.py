"""The tensors of REST: JSON in row or column format to arrays, and embeddings back.

The rules and the wording are those of util/json_tensor.cc of TensorFlow Serving.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from mite_tf.serving.backends import SignatureSpec
from mite_tf.serving.server.outcomes import Refusal, invalid
from mite_tf.serving.wire.tensors import type_name, type_number

_SHOWN = 256
# A list of three bytes takes thirty times as many in memory, a number of two four times.
_MOST_LISTS, _MOST_VALUES = 1 << 19, 1 << 21
_PART = 1 << 20
# Far more dimensions than any input has, and fewer than NumPy's limit.
_DEEPEST = 8
_DIGITS = 400  # more than the largest double has
# What rounds to a float32: below half a step above the largest.
_FLOAT32 = math.nextafter(2.0**128 - 2.0**103, 0.0)


def count_values(body: bytes) -> int:
    """Returns how many values JSON may hold at most, before it is read.

    Raises:
        Refusal: If there are so many lists, objects or values that they take many times its memory.

    Example:
        >>> count_values(b'{"instances": ["a dog", "a cat"]}')
        4
    """
    lists = values = 0
    for first in range(0, len(body), _PART):
        end = first + _PART
        lists += body.count(b"[", first, end) + body.count(b"{", first, end)
        values += body.count(b",", first, end) + body.count(b":", first, end)
        if lists > _MOST_LISTS or values > _MOST_VALUES:
            raise invalid(
                f"JSON Parse error: more than {_MOST_LISTS} lists and objects, or {_MOST_VALUES} "
                "values. Send images as files in base64, or numbers over gRPC."
            )
    return lists + values


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads a body that holds one JSON object, as RFC 8259 has it.

    Example:
        >>> parse_object(b'{"k": 10}')
        {'k': 10}
    """
    try:
        # By itself the parser takes UTF-16 too, NaN, and a key that is twice.
        document = json.loads(
            body.decode(), parse_int=_integer, parse_constant=_no_number, object_pairs_hook=_once
        )
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def parse_request(body: bytes) -> tuple[str, Any, bool]:
    """Reads the body of `:predict`.

    Returns:
        Name of the signature, empty for the default; values; whether they came as `instances`.

    Example:
        >>> parse_request(b'{"instances": ["a dog"]}')
        ('', ['a dog'], True)
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty. Send instances or inputs.")
    document = parse_object(body)
    name, instances = document.get("signature_name", ""), document.get("instances")
    if not isinstance(name, str):
        wrong = "not formatted correctly. 'signature_name' key must be a string value."
    elif "instances" in document and "inputs" in document:
        wrong = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif "inputs" in document:
        return name, document["inputs"], False
    elif "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    elif not isinstance(instances, list):
        wrong = "Expecting 'instances' to be an list/array"
    elif not instances:
        wrong = "No values in 'instances' array"
    else:
        return name, instances, True
    raise invalid(f"JSON Value: {shown(document)} {wrong}")


def _integer(digits: str) -> int:
    # Thousands of digits take as many times longer as there are.
    if len(digits) > _DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits.")
    return int(digits)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is named twice in an object.")
    return found


def to_input(
    values: Any, by_row: bool, signature: SignatureSpec, check_rows: Callable[[int], None]
) -> np.ndarray:
    """Returns the input of a signature; strings as `bytes` with dtype `object`.

    `check_rows` is asked first whether there may be so many rows.

    Example:
        >>> token_ids = SignatureSpec("token_ids", "int32", (None, None))
        >>> to_input([[1, 2]], True, token_ids, check_rows=lambda rows: None).tolist()
        [[1, 2]]
    """
    if by_row:
        check_rows(len(values))
        values = _instances(values, signature)
    elif isinstance(values, dict) and not _is_base64(values):
        if signature.input not in values:
            raise invalid(f"Missing named input: {signature.input} in 'inputs' object.")
        values = values[signature.input]
    if isinstance(values, list):
        check_rows(len(values))
    return _array(values, signature)


def _instances(instances: list[Any], signature: SignatureSpec) -> list[Any]:
    named = _is_named(instances[0])
    rows = []
    for number, row in enumerate(instances):
        if named != _is_named(row):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {number} of input list")
        if named:
            if unknown := row.keys() - {signature.input}:
                name = min(unknown)
                raise invalid(
                    f"Failed to process element: {number} key: {name} of 'instances' list. "
                    f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                )
            if not row:
                raise invalid(
                    f"Failed to process element: {number} of 'instances' list. JSON object: "
                    f"{shown(row)} keys must be equal to: {signature.input}"
                )
            row = row[signature.input]
        rows.append(row)
    shape = _shape(rows[0])
    for number, row in enumerate(rows):
        if _shape(row) != shape:
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. Error: "
                f"INVALID_ARGUMENT: Expecting shape {_brackets(shape)} but got: "
                f"{_brackets(_shape(row))}"
            )
    return rows


def _array(values: Any, signature: SignatureSpec) -> np.ndarray:
    shape = _shape(values)
    if len(shape) > _DEEPEST:
        raise invalid(
            f"Encountered list at unexpected level: {_DEEPEST} expected < {len(signature.shape)}"
        )
    flat = [values]
    for level, size in enumerate(shape):
        for value in flat:
            if not isinstance(value, list):
                raise invalid(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {len(shape)}"
                )
            if len(value) != size:
                raise invalid(
                    f"Encountered list at unexpected size: {len(value)} at level: {level} "
                    f"expected size: {size}"
                )
        flat = [each for value in flat for each in value]
    if any(isinstance(value, list) for value in flat):
        raise invalid(f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}")
    dtype = signature.dtype
    if dtype == "string":
        flat = [_string(value, dtype) for value in flat]
    else:
        _check_numbers(flat, dtype)
    array = np.empty(len(flat), object if dtype == "string" else dtype)
    array[:] = flat
    return array.reshape(shape)


def _string(value: Any, dtype: str) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise invalid(f"JSON Value: {shown(value)} is not valid Unicode: {error}") from error
    if not isinstance(value, dict):
        raise _wrong_type(value, dtype)
    if not _is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    return from_base64(value["b64"])


def from_base64(text: str) -> bytes:
    """Returns what base64 stands for: with or without padding, in the plain alphabet.

    Example:
        >>> from_base64("ZG9n")
        b'dog'
    """
    try:  # as absl::Base64Unescape reads
        text = text.rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _check_numbers(values: list[Any], dtype: str) -> None:
    kinds: tuple[type, ...] = (int,)
    if dtype == "float32":
        kinds, low, high = (int, float), -_FLOAT32, _FLOAT32
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for value in values:
        if type(value) not in kinds or not low <= value <= high:  # True is no number
            raise _wrong_type(value, dtype)


def to_json(embedding: np.ndarray, by_row: bool) -> str:
    """Returns the answer to `:predict`, in the format of the request.

    A signature has one output, so that its rows stand alone, without a name.

    Example:
        >>> to_json(np.array([[0.5, 1.0]], np.float32), by_row=True)
        '{"predictions": [[0.5, 1.0]]}'
    """
    # The shortest digits that give the same float32 again, rather than those of a double.
    rows = ", ".join(f"[{', '.join(row)}]" for row in embedding.astype(str).tolist())
    return f'{{"{"predictions" if by_row else "outputs"}": [{rows}]}}'


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def shown(value: Any) -> str:
    """Returns the beginning of a value as JSON; a large one is not written out for it.

    Example:
        >>> shown({"k": None})
        '{"k": null}'
    """
    return json.dumps(_beginning(value, 4))[:_SHOWN]


def _beginning(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value[:_SHOWN]
    if isinstance(value, list):
        return [_beginning(each, depth - 1) for each in value[:16]] if depth else []
    if isinstance(value, dict):
        few = islice(value.items(), 16) if depth else ()
        return {key[:_SHOWN]: _beginning(each, depth - 1) for key, each in few}
    return value


_KINDS = {dict: "Object", list: "Array", str: "String", type(None): "Null"}


def _wrong_type(value: Any, dtype: str) -> Refusal:
    kind = _KINDS.get(type(value)) or (str(value) if isinstance(value, bool) else "Number")
    return invalid(
        f"JSON Value: {shown(value)} Type: {kind} is not of expected type: "
        f"{type_name(type_number(dtype))}"
    )
