"""Cleaning a folder of pictures: all that fits a query, listed, copied or moved."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.reading import reading
from mite_tf.retrieval.collection_index import CollectionIndex, Found
from mite_tf.retrieval.index_interface import BY, By, Wanted, centred_biases, wanted


def above(
    index: CollectionIndex,
    query: NDArray[np.float32],
    *,
    by: By,
    threshold: float,
    modality: Wanted = "image",
    hub_correction: bool = True,
) -> list[Found]:
    """Returns all rows of at least a score, best first.

    Every row is compared, so that none is missed, however the index searches.

    Args:
        index: Where to search.
        query: A vector `[D]` of length 1, as of `QueryEncoder.embed`.
        by: Its modality.
        threshold: Lowest score.
        modality: Whether to find pictures, texts or both.
        hub_correction: Whether to take off the bias of what is near to everything.

    Raises:
        MiteError: If the threshold is no number.
    """
    if np.isnan(threshold):
        raise MiteError(f"threshold must be a number; received {threshold}.")
    centres = index.facts.centres if hub_correction else None
    modalities, found = wanted(modality), []
    for rows in index.rows():
        cosines = rows.vectors @ query
        biases = centred_biases(len(rows.ids), (rows.image_bias, rows.text_bias), centres)
        scores = cosines - biases[:, BY.index(by)]
        found += [
            Found(
                rows.ids[row], rows.modalities[row], rows.paths[row], rows.texts[row],
                float(scores[row]), float(cosines[row]),
            )
            for row in np.flatnonzero(scores >= threshold).tolist()
            if rows.modalities[row] in modalities
        ]  # fmt: skip
    return sorted(found, key=lambda each: -each.score)


def take_files(
    found: Iterable[Found], folder: str | Path, *, move: bool
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Copies or moves the pictures of results into a folder, and never overwrites a file.

    A name that is taken gets a number: `dog.jpg` becomes `dog-2.jpg`.

    Args:
        found: The results; those without a picture are passed over.
        folder: The folder; it is made if it is missing.
        move: Whether files are moved, not copied.

    Returns:
        What was taken, as pairs of old and new path; and a sentence for each that could not be.

    Raises:
        OSError: If the folder cannot be written.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp())
        >>> _ = (place / "dog.jpg").write_bytes(b"1")
        >>> dog = Found("1", "image", str(place / "dog.jpg"), None, 0.5, 0.5)
        >>> _ = take_files([dog], place / "dogs", move=False)
        >>> [pair], _ = take_files([dog], place / "dogs", move=True)
        >>> pair[1].name, (place / "dog.jpg").exists()
        ('dog-2.jpg', False)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    taken, left = [], []
    for each in found:
        if each.path is None:
            continue
        source = Path(each.path)
        if not source.is_file():
            left.append(f"{each.path}: no such file here; it is passed over.")
            continue
        if source.resolve().parent == folder.resolve():
            left.append(f"{each.path}: lies there already.")
            continue
        taken.append((source, _taken(source, folder, move)))
    return taken, left


def _taken(source: Path, folder: Path, move: bool) -> Path:
    for target in _names(folder / source.name):
        try:
            # Made before it is filled, so that a file of this name is never replaced.
            with target.open("xb"):
                pass
        except FileExistsError:
            continue
        try:
            if move:
                try:
                    source.replace(target)
                except OSError:  # on another disk
                    shutil.copy2(source, target)
                    source.unlink()
            else:
                shutil.copy2(source, target)
        except BaseException:
            if source.exists():
                target.unlink()
            raise
        return target
    raise AssertionError  # there are numbers without end


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def read_lines(path: str | Path, what: str) -> list[str]:
    """Reads a text file of one thing a line; empty lines are passed over.

    Args:
        path: The file.
        what: What it holds, as in "texts to search for".

    Raises:
        MiteError: If it cannot be read, is no UTF-8, or holds none.

    Example:
        >>> read_lines("nowhere.txt", "ids")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere.txt: not a text file of ids: No such file or directory.
    """
    with reading(path, f"a text file of {what}"):
        lines = [line.strip() for line in Path(path).read_text("utf-8-sig").splitlines()]
    if not any(lines):
        raise MiteError(f"{path}: holds no line. Write {what} into it, one a line.")
    return [line for line in lines if line]
