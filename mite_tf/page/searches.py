"""What the page asks of an index and its encoders, without anything of a page in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mite_tf.collection.pictures import thumbnail
from mite_tf.collection.query import QueryEncoder
from mite_tf.errors import UnknownWordsWarning
from mite_tf.retrieval.collection_index import CollectionIndex, Found
from mite_tf.retrieval.index_interface import Stored, Wanted

# Pictures that are kept small in memory, some 15 KB each.
_REMEMBERED = 2048


class Searches:
    """Searches of one index, by an encoder of its space, and small pictures of what they find."""

    def __init__(self, index: CollectionIndex, encoder: QueryEncoder) -> None:
        self.index, self.encoder = index, encoder
        self._lock = Lock()
        self._thumbnail = lru_cache(_REMEMBERED)(thumbnail)

    def ask(
        self,
        text: str | None,
        image: str | None,
        *,
        text_weight: float = 0.5,
        k: int = 24,
        modality: Wanted = "both",
        hub_correction: bool = True,
    ) -> tuple[list[Found], str]:
        """Finds what fits a text, a picture at a path, or both; nothing for neither.

        Returns:
            The results, and what is to be said of the query, if anything.
        """
        text = (text or "").strip()
        if not text and not image:
            return [], ""
        # What warnings are caught is a matter of the whole process.
        with self._lock, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UnknownWordsWarning)
            query, by = self.encoder.embed(text or None, image, text_weight=text_weight)
        [found] = self.index.search(
            query[None], by=by, k=k, modality=modality, hub_correction=hub_correction
        )
        return found, " ".join(str(each.message) for each in told)

    def like(
        self, row_id: str, *, k: int = 24, modality: Wanted = "both", hub_correction: bool = True
    ) -> list[Found]:
        """Finds what is near to a row of the index, without the row itself."""
        [row] = self.index.get([row_id])
        [found] = self.index.search(
            row.vector[None],
            by="text" if row.modality == "text" else "image",
            k=k + 1,
            modality=modality,
            hub_correction=hub_correction,
        )
        return [each for each in found if each.id != row_id][:k]

    def sample(self, most: int) -> tuple[list[Stored], NDArray[np.float32]]:
        """Returns rows of the index at even distances, at most so many, with vectors `[N, D]`."""
        step = max(1, -(-len(self.index) // most))
        rows = list(self._every(step))
        return rows, np.stack([row.vector for row in rows])

    def _every(self, step: int) -> Iterator[Stored]:
        passed = 0
        for rows in self.index.rows():
            count = len(rows.ids)
            for place in range(-passed % step, count, step):
                yield Stored(
                    rows.ids[place],
                    rows.modalities[place],
                    rows.paths[place],
                    rows.texts[place],
                    rows.vectors[place],
                )
            passed += count

    def thumbnail(self, path: str, side: int = 320) -> str:
        """Returns the picture at a path of the index, made small, as a `data:` address.

        It is empty where the file is gone or no picture.
        """
        return self._thumbnail(path, side)
