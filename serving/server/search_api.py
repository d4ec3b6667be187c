"""`/search`: what an index holds that fits a text, a picture, or both."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from grpc import StatusCode

from mite_tf.retrieval.cosine import first_values
from mite_tf.retrieval.index_interface import By, Wanted, weighed
from mite_tf.serving.backends import Backend
from mite_tf.serving.server.json_tensors import parse_object, shown
from mite_tf.serving.server.lanes import Lane
from mite_tf.serving.server.mixed_inputs import Input, embed_inputs, image_input, text_input
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.outcomes import Refusal, invalid
from mite_tf.serving.wire import messages

if TYPE_CHECKING:
    from mite_tf.retrieval.collection_index import CollectionIndex

_MOST_RESULTS = 1000
_MODALITIES = ("image", "text", "both")
# Searches at a time, and that wait; what comes beyond is refused at once.
_THREADS, _MOST_WAITING = os.cpu_count() or 1, 256


class Query(NamedTuple):
    """What a request asks for; `inputs` holds a text, a picture, or both.

    Example:
        >>> parse_search(b'{"text": "a dog"}').k
        10
    """

    inputs: Sequence[Input]
    k: int = 10
    modality: Wanted = "both"
    text_weight: float = 0.5
    hub_correction: bool = True


# What each key but `text` and `image` may be, and how that is said.
_KEYS: dict[str, tuple[Any, str]] = {
    "k": (
        lambda value: type(value) is int and 1 <= value <= _MOST_RESULTS,
        f"an integer from 1 to {_MOST_RESULTS}",
    ),
    "modality": (lambda value: value in _MODALITIES, "image, text or both"),
    "text_weight": (
        lambda value: type(value) in (int, float) and 0 <= value <= 1,
        "a number from 0 (the picture alone) to 1",
    ),
    "hub_correction": (lambda value: isinstance(value, bool), "true or false"),
}


def parse_search(body: bytes) -> Query:
    """Reads the body of `/search`.

    Example:
        >>> parse_search(b'{"text": "a dog", "k": 0}')
        Traceback (most recent call last):
        mite_tf.serving.server.outcomes.Refusal: k is 0; it must be an integer from 1 to 1000.
    """
    document = parse_object(body)
    inputs = []
    for name, read in (("text", text_input), ("image", image_input)):
        value = document.pop(name, None)
        if value is not None and not isinstance(value, str):
            raise invalid(f"{name} is {shown(value)}; it must be a string.")
        if value and not value.isspace():
            inputs.append(read(value, name))
    if not inputs:
        raise invalid("Say what to search for: text, image (in base64), or both.")
    for name, value in document.items():
        if name not in _KEYS:
            known = ", ".join(("text", "image", *_KEYS))
            raise invalid(f"The key {shown(name)} is unknown; there are {known}.")
        fits, what = _KEYS[name]
        if not fits(value):
            raise invalid(f"{name} is {shown(value)}; it must be {what}.")
    return Query(inputs, **document)


# no example: made by a server; see `start_server`.
class SearchApi:
    """An index, searched in threads with what the models of a server embed."""

    def __init__(self, path: str | Path, models: Models) -> None:
        from mite_tf.retrieval.collection_index import open_index

        self._models = models
        self._index: CollectionIndex = open_index(path)
        self._lane = Lane(_THREADS)
        self._under_way = 0

    def check(self) -> None:
        """Refuses an index of another space than that of the models, once these are loaded."""
        self._check(self._models.find(messages.ModelSpec(name="text")).backend)

    async def answer(self, query: Query) -> str:
        """Returns results as JSON, best first."""
        if self._under_way >= _MOST_WAITING:
            raise Refusal(
                StatusCode.RESOURCE_EXHAUSTED,
                f"{self._under_way} searches are under way. Try again later.",
            )
        self._under_way += 1
        try:
            vectors, _, version = await embed_inputs(self._models, query.inputs)
            self._check(version.backend)
            return str(await self._lane.work(self._search, query, vectors))
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Begins no more searches."""
        self._lane.close()

    def _check(self, backend: Backend) -> None:
        space = backend.spaces.get(self._index.dimension, backend.space)
        self._index.require_space(space, "the export that is served")

    def _search(self, query: Query, vectors: np.ndarray) -> str:
        vectors = first_values(vectors, self._index.dimension)
        by: By = "text" if query.inputs[0].model == "text" else "image"
        vector = vectors[0]
        if len(vectors) == 2:  # the text first
            vector, by = weighed(vector, vectors[1], query.text_weight)
        [found] = self._index.search(
            vector[None],
            by=by,
            k=query.k,
            modality=query.modality,
            hub_correction=query.hub_correction,
        )
        return json.dumps({"results": [each._asdict() for each in found]})
