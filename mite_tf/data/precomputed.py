"""Image features that somebody else computed."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mite_tf.data.problem import counted
from mite_tf.errors import MiteError
from mite_tf.reading import open_arrays, reading


class PrecomputedFeatures:
    """Features by image id, from an `.npz` file with the arrays `ids` and `features`.

    Args:
        path: The file; `ids` holds the ids or paths that the captions name, `features` has shape
            `[images, C]` or `[images, H, W, C]`. An id may have folders in front that the captions
            leave out, or leave out folders that they name, as long as it fits one image alone.

    Raises:
        MiteError: The file is absent or holds something else, or an id twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "features.npz"
        >>> np.savez(path, ids=["train2017/9.jpg", "a.jpg"], features=np.eye(2))
        >>> PrecomputedFeatures(path).of(["9.jpg"]).tolist()
        [[1.0, 0.0]]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        advice = "Expected an .npz with the arrays 'ids' and 'features'."
        with (
            reading(path, "a file of features", advice),
            self.path.open("rb") as opened,
            open_arrays(opened, compressed=True) as file,
        ):
            ids, self._features = file["ids"], file["features"]
            if self._features.dtype.kind not in "fiub" or ids.dtype.kind not in "USiu":
                raise ValueError("its features are no real numbers, or its ids no names")
            names = [each.decode() if isinstance(each, bytes) else str(each) for each in ids.flat]
        if self._features.ndim not in (2, 4) or ids.shape != self._features.shape[:1]:
            raise MiteError(
                f"{path}: 'features' has shape [images, C] or [images, H, W, C] and 'ids' "
                f"[images]. Received: {self._features.shape} and {ids.shape}."
            )
        self._names = names
        self._row_of: dict[str, int] = {}
        self._rows_by_last: dict[str, list[int]] = defaultdict(list)  # part of the path
        for row, name in enumerate(self._names):
            first = self._row_of.setdefault(_plain(name), row)
            if first != row:
                raise MiteError(
                    f"{path}: ids[{first}] = {self._names[first]!r} and ids[{row}] = {name!r} are "
                    "one image; give the features of each image once."
                )
            self._rows_by_last[posixpath.basename(_plain(name))].append(row)
        self._image_of: dict[int, str] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's features."""
        return self._features.shape[1:]

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """Returns the features of images, `[images, ...]`.

        Raises:
            MiteError: An image has none in the file, or an id fits several images.
        """
        rows = [self._row(image) for image in ids]
        missing = [image for image, row in zip(ids, rows, strict=True) if row is None]
        if missing:
            raise MiteError(
                f"{self.path}: holds no features of {counted(len(missing), 'image')}, such as "
                f"{missing[0]!r}; an id in it is {next(iter(self._names), None)!r}."
            )
        return self._features[np.array(rows, np.int64)]

    def _row(self, image: str) -> int | None:
        name = _plain(image)
        row = self._row_of.get(name)
        if row is None:
            rows = [
                each
                for each in self._rows_by_last.get(posixpath.basename(name), [])
                if _ends_in(_plain(self._names[each]), name)
            ]
            if len(rows) > 1:
                told = " and ".join(repr(self._names[each]) for each in rows[:2])
                raise MiteError(f"{self.path}: the ids {told} both fit the image {image!r}.")
            if not rows:
                return None
            [row] = rows
        other = self._image_of.setdefault(row, name)
        if other != name:
            raise MiteError(
                f"{self.path}: the id {self._names[row]!r} fits two images, {other!r} and "
                f"{image!r}; write the ids as the captions name the images."
            )
        return row


def _plain(name: str) -> str:
    """Writes a path in the one way that all its spellings share."""
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def _ends_in(one: str, other: str) -> bool:
    """Returns whether one of two paths is the other with folders in front."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")
