"""Searching with a run: images by a text, captions by an image."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mite_tf.data import CaptionedImages
from mite_tf.data.feature_cache import fingerprint_of_images
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError, UnknownWordsWarning
from mite_tf.progress import say
from mite_tf.recognition import recognize
from mite_tf.reports import write_contact_sheet
from mite_tf.retrieval import Hit, VectorIndex
from mite_tf.runs.evaluate import embed_table, table_of
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.hubs import hubs_for
from mite_tf.text import split_words


def search(
    run: str | Path | RunFolder,
    data: str | Path | CaptionedImages,
    query: str | None = None,
    *,
    image: str | Path | None = None,
    split: str | None = None,
    stage: str | None = None,
    top: int = 10,
    format: str | None = None,
    root: str | Path | None = None,
    html: str | Path | None = None,
    hub_correction: bool = True,
    quiet: bool = False,
) -> list[Hit]:
    """Finds the images that fit a text, or the captions that fit an image.

    Args:
        run: Run folder.
        data: Folder or file of captioned images, or a table of them.
        query: A text.
        image: An image file, instead of a text.
        split: Search in this split alone; in all by default.
        stage: Take the best encoders of this stage; of the last one by default.
        top: Number of results.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        html: Page to write that shows the results.
        hub_correction: Whether to rank by similarity less the bias of each item, which keeps those
            down that are near to everything: with the bank of the run or, where it carries none,
            one made of `data` if that is what it was trained on.
        quiet: Whether to show no progress.

    Returns:
        The results, best first: `id` is the image's id, or the caption, `score` what they are
        ranked by and `cosine` the plain similarity.

    Raises:
        MiteError: As for `embed`, or if not exactly one of `query` and `image` is given, or the
            text holds no word.

    Warns:
        UnknownWordsWarning: If no word of the text is known, so that the results say nothing.
    """
    if (query is None) == (image is None):
        raise MiteError("Give either a text or an image file to search for.")
    if query is not None and recognize(query).kind == "image":
        raise MiteError(f"{query}: is an image file. Search with it by image=... (--image ...).")
    if query is not None and not split_words(query):
        raise MiteError("The text to search for is empty: it holds no word.")
    folder = RunFolder(run)
    encoders = folder.encoders(stage)
    if query is not None and not encoders.tokenizer.knows([query])[0]:
        warnings.warn(
            f"No word of {query!r} is known from the captions that the run has learned from, so "
            "the results say nothing about it. Search with other words.",
            UnknownWordsWarning,
            stacklevel=2,
        )
    whole = table_of(folder, data, None, format, root)
    table = whole if split is None else whole.split(split)
    images, captions = _indices(folder, stage, encoders, table, quiet)
    hubs = hubs_for(folder, stage, encoders, whole, quiet=quiet) if hub_correction else None
    if image is None:
        bias = hubs.bias(images.vectors, queries="caption") if hubs else None
        [hits] = images.search(encoders.embed_text([str(query)]), k=top, bias=bias)
        shown: dict[str, Any] = {
            "image_paths": dict(zip(table.image_ids, table.paths, strict=True))
        }
    else:
        bias = hubs.bias(captions.vectors, queries="image") if hubs else None
        [hits] = captions.search(encoders.embed_images([image]), k=top, bias=bias)
        shown = {"captions": {caption: caption for caption in table.captions}}
    if html:
        write_contact_sheet(html, Path(image) if image else str(query), hits, **shown)
    return hits


def _indices(
    run: RunFolder, stage: str | None, encoders: Encoders, table: CaptionedImages, quiet: bool
) -> tuple[VectorIndex, VectorIndex]:
    """Indices of images and captions, kept in the run folder until model or data change."""
    best = run.best(stage)
    files = [best / "image_encoder.keras", best / "text_encoder.keras"]
    if encoders.preprocessing is not None:
        files += table.paths
    key = f"{table.fingerprint()} {fingerprint_of_images(files)}"
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    paths = [run.path / "index" / f"{name}-{kind}.npz" for kind in ("images", "captions")]
    kept = _kept(paths, table)
    if kept is None:
        if any(path.exists() for path in paths) and not quiet:
            say(f"{paths[0].parent}: the index is damaged or cut off; it is made again.")
        embeddings = embed_table(run, encoders, table, quiet=quiet)
        images = VectorIndex(table.image_ids, embeddings.images)
        captions = VectorIndex(table.captions, embeddings.captions)
        with suppress(OSError):  # a run that is only read serves as well
            images.save(paths[0])
            captions.save(paths[1])
        return images, captions
    return kept


def _kept(paths: Sequence[Path], table: CaptionedImages) -> tuple[VectorIndex, VectorIndex] | None:
    """Reads the indices of a table; None if they are missing, damaged or of something else."""
    try:
        images, captions = (VectorIndex.load(path) for path in paths)
    except (MiteError, OSError):
        return None
    fit = (images.ids, captions.ids) == (tuple(table.image_ids), tuple(table.captions))
    return (
        (images, captions) if fit and images.vectors.shape[1] == captions.vectors.shape[1] else None
    )
