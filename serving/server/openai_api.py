"""OpenAI's `/v1/embeddings` and `/v1/models`, for clients that speak no other protocol.

Requests, answers and errors are those of platform.openai.com/docs/api-reference/embeddings, which
knows texts alone. A picture is a data URL, by itself or in one of the parts that others give it in.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from starlette.responses import JSONResponse, Response

from mite_tf.retrieval.cosine import first_values
from mite_tf.serving.backends import Backend
from mite_tf.serving.server.json_tensors import parse_object, shown
from mite_tf.serving.server.mixed_inputs import Input, image_input, text_input
from mite_tf.serving.server.outcomes import Refusal, invalid

# As OpenAI has it.
_MOST_INPUTS = 2048
_FORMATS = ("float", "base64")
_SEND = 'Send a text, "data:image/jpeg;base64,…" for a picture, or a list of these.'


class Question(NamedTuple):
    """What a request asks for.

    Example:
        >>> parse_embeddings(b'{"input": "a dog"}').base64
        False
    """

    inputs: list[Input]
    base64: bool
    dimensions: int | None


def parse_embeddings(body: bytes) -> Question:
    """Reads the body of `/v1/embeddings`.

    Any `model` is taken, as there is one; fields that mean nothing here, such as `user`, are left
    aside.

    Example:
        >>> [each.model for each in parse_embeddings(
        ...     b'{"input": ["a dog", "data:image/png;base64,ZG9n"]}').inputs]
        ['text', 'image']
    """
    document = parse_object(body)
    if "input" not in document:
        raise invalid(f"input is missing. {_SEND}")
    given = document["input"]
    values = given if isinstance(given, list) else [given]
    if not values:
        raise invalid(f"input is an empty list. {_SEND}")
    if any(isinstance(each, int | list) for each in values):
        raise invalid(f"input holds token numbers, which are of another model's tokenizer. {_SEND}")
    if len(values) > _MOST_INPUTS:
        raise invalid(f"input holds {len(values)} texts and pictures; send {_MOST_INPUTS} at most.")
    dimensions = document.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise invalid(f"dimensions is {shown(dimensions)}; it must be an integer.")
    encoding = document.get("encoding_format") or _FORMATS[0]
    if encoding not in _FORMATS:
        raise invalid(f"encoding_format is {shown(encoding)}; it must be {' or '.join(_FORMATS)}.")
    inputs = [_input(each, f"input[{number}]") for number, each in enumerate(values)]
    return Question(inputs, encoding == "base64", dimensions)


def _input(value: Any, name: str) -> Input:
    if isinstance(value, dict):  # the parts of OpenAI's chat, which vLLM takes; and those of Jina
        [(kind, given)] = [
            (kind, value[kind]) for kind in ("text", "image_url", "image") if kind in value
        ][:1] or [("", None)]
        if kind == "image_url" and isinstance(given, dict):
            given = given.get("url")
        if isinstance(given, str):
            return text_input(given, name) if kind == "text" else image_input(given, name)
    elif isinstance(value, str):
        is_image = value[:11].lower() == "data:image/"
        return image_input(value, name) if is_image else text_input(value, name)
    raise invalid(f"{name} is {shown(value)}. {_SEND}")


def check_dimensions(question: Question, backend: Backend) -> None:
    """Refuses a size that the model was not trained for.

    Example:
        >>> from types import SimpleNamespace
        >>> check_dimensions(Question([], False, 4), SimpleNamespace(spaces={4: "a", 8: "b"}))
    """
    if question.dimensions not in (None, *backend.spaces):
        raise invalid(
            f"dimensions is {question.dimensions}; this model was trained for "
            f"{', '.join(map(str, backend.spaces))}. Send one of these, or leave it out."
        )


def to_answer(question: Question, vectors: np.ndarray, tokens: int, model: str) -> str:
    """Returns the answer as JSON, with the shortest digits that give the same float32 again.

    Example:
        >>> print(to_answer(Question([], True, None), np.ones((1, 1), np.float32), 2, "mine"))
        {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
        "model": "mine", "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    """
    vectors = first_values(vectors, question.dimensions or vectors.shape[1])
    if question.base64:
        rows = (f'"{base64.b64encode(row.tobytes()).decode()}"' for row in vectors.astype("<f4"))
    else:
        rows = (f"[{', '.join(row)}]" for row in vectors.astype(str).tolist())
    data = ", ".join(
        f'{{"object": "embedding", "index": {index}, "embedding": {row}}}'
        for index, row in enumerate(rows)
    )
    usage = json.dumps({"prompt_tokens": tokens, "total_tokens": tokens})
    about = f'"model": {json.dumps(model)}, "usage": {usage}'
    return f'{{"object": "list", "data": [{data}], {about}}}'


def to_models(backend: Backend) -> Response:
    """Returns the answer to `/v1/models`: the export is one model.

    Example:
        >>> from types import SimpleNamespace
        >>> mine = SimpleNamespace(export="mine", created="1970-01-01T00:00:09+00:00")
        >>> json.loads(to_models(mine).body)["data"][0]["created"]
        9
    """
    created = 0
    with suppress(ValueError):
        created = int(datetime.fromisoformat(backend.created).timestamp())
    model = {"id": backend.export, "object": "model", "created": created, "owned_by": "mite_tf"}
    return JSONResponse({"object": "list", "data": [model]})


def to_error(refusal: Refusal, status: int) -> Response:
    """Returns a refusal in the form in which OpenAI's clients read it.

    Example:
        >>> to_error(invalid("input is missing."), 400).body
        b'{"error":{"message":"input is missing.","type":"invalid_request_error",...}}'
    """
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "rate_limit_exceeded"
    about = re.match(r"(input|dimensions|encoding_format)\b", str(refusal))
    error = {
        "message": str(refusal), "type": kind, "param": about and about[0], "code": None
    }  # fmt: skip
    return JSONResponse({"error": error}, status)
