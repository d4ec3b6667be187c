"""Image features that somebody else computed."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mite_tf.errors import MiteError


class PrecomputedFeatures:
    """Features by image id, from an `.npz` file with the arrays `ids` and `features`.

    Args:
        path: The file; `ids` holds the ids or paths that the captions name, `features` has shape
            `[images, C]` or `[images, H, W, C]`.

    Raises:
        MiteError: The file is absent or holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                ids, self._features = file["ids"], file["features"]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise MiteError(
                f"{path}: not a file of features; expected an .npz with the arrays 'ids' and "
                f"'features' ({error})."
            ) from error
        if self._features.ndim not in (2, 4) or ids.shape != self._features.shape[:1]:
            raise MiteError(
                f"{path}: 'features' has shape [images, C] or [images, H, W, C] and 'ids' "
                f"[images]. Received: {self._features.shape} and {ids.shape}."
            )
        self._row_of = {str(name): row for row, name in enumerate(ids)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's features."""
        return self._features.shape[1:]

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """Returns the features of images, `[images, ...]`; all must be in the file."""
        missing = [name for name in ids if name not in self._row_of]
        if missing:
            raise MiteError(
                f"{self.path}: holds no features of {len(missing)} images, such as {missing[0]!r}."
            )
        return self._features[[self._row_of[name] for name in ids]]
