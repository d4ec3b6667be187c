"""Texts and pictures of one request, embedded by both models of one version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from grpc import StatusCode

from mite_tf.errors import MiteError
from mite_tf.serving.backends.backend import MODELS
from mite_tf.serving.server.json_tensors import from_base64, shown
from mite_tf.serving.server.model_version import ModelVersion
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.outcomes import Refusal, invalid
from mite_tf.serving.server.service import embed
from mite_tf.serving.wire import messages

_SIGNATURE = "serving_default"
# How a backend names the row that it refuses.
_ROW = re.compile(r"^\w+\[(\d+)\]")


class Input(NamedTuple):
    """One text or picture file: the model that embeds it, its bytes, and its name in the request.

    Example:
        >>> Input("text", b"a dog", "input[0]").model
        'text'
    """

    model: str
    data: bytes
    name: str


def text_input(text: str, name: str) -> Input:
    """Returns a text as an input.

    Example:
        >>> text_input("a dog", "text").data
        b'a dog'
    """
    try:
        return Input("text", text.encode(), name)
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise invalid(f"{name}: {shown(text)} is not valid Unicode.") from error


def image_input(text: str, name: str) -> Input:
    """Returns a picture as an input, given as `data:image/jpeg;base64,…`, or as base64 alone.

    Example:
        >>> image_input("data:image/png;base64,ZG9n", "image").data
        b'dog'
        >>> image_input("https://example.com/dog.jpg", "image")
        Traceback (most recent call last):
        mite_tf.serving.server.outcomes.Refusal: image: the server fetches no address. ...
    """
    send = "Send the file itself: data:image/jpeg;base64,…."
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise invalid(f"{name}: a data URL without base64. {send}")
    elif "://" in text[:16]:
        raise invalid(f"{name}: the server fetches no address. {send}")
    try:
        return Input("image", from_base64(text), name)
    except Refusal:
        raise invalid(f"{name}: base64 that cannot be read. {send}") from None


# no example: a server calls it; see `start_server`.
async def embed_inputs(
    models: Models, inputs: Sequence[Input]
) -> tuple[np.ndarray, int, ModelVersion]:
    """Embeds texts and pictures, at most `max_batch_size` of either at a time.

    Returns:
        Float32 `[N, D]` in the order of the inputs; the number of tokens of the texts; and the
        version of the text model, which is that of the image model.

    Raises:
        Refusal: As a request of its own for each model would be, with the names of the inputs.
    """
    versions = {name: models.find(messages.ModelSpec(name=name)) for name in MODELS}
    text = versions["text"]
    vectors = np.empty((len(inputs), text.backend.embedding_size), np.float32)
    tokens = 0
    with ExitStack() as stack:
        for version in versions.values():
            stack.enter_context(version.used())
        for name, version in versions.items():
            places = [place for place, each in enumerate(inputs) if each.model == name]
            for first in range(0, len(places), version.most_rows):
                part = places[first : first + version.most_rows]
                vectors[part] = await _embed(version, [inputs[place] for place in part])
        texts = [each.data for each in inputs if each.model == "text"]
        if texts:
            tokens = await text.tokens(_array(texts))
    return vectors, tokens, text


async def _embed(version: ModelVersion, inputs: Sequence[Input]) -> np.ndarray:
    given = version.backend.signatures[_SIGNATURE].input
    if given not in ("text", "image_bytes"):
        raise invalid(f"{inputs[0].name}: this model takes {given} instead of pictures.")
    try:
        return await embed(version, _SIGNATURE, _array([each.data for each in inputs]))
    except MiteError as error:
        code = getattr(error, "code", StatusCode.INVALID_ARGUMENT)
        told = _ROW.sub(lambda row: inputs[int(row[1])].name, str(error))
        raise Refusal(code, told) from None


def _array(values: Sequence[bytes]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array
