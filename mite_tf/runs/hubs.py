"""The bank of hub correction of a run: drawn from train, kept beside the encoders that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mite_tf.data import CaptionedImages
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, choose_hubs
from mite_tf.progress import progress, say
from mite_tf.reading import reading
from mite_tf.retrieval import HubCorrection
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.inputs import StageInputs

HUBS = "hubs.npz"
# A fifth of Flickr30k's train split does as well as all of it (Chowdhury et al.), which is 5,800
# images; of Flickr8k's 6,000 this leaves little out. 8 MB at 512 numbers.
_MOST = 4096
_HELD_OUT = 500  # images to choose the constants with
_FEWEST = 100  # below which a choice would be one of chance
_SEED = 0  # of the draw
_ENCODERS = ("image_encoder.keras", "text_encoder.keras")
_Embed = Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[np.ndarray, np.ndarray]]


def hubs(run: str | Path | RunFolder, stage: str | None = None) -> HubCorrection | None:
    """Returns the hub correction that a run carries for its best encoders of a stage.

    Args:
        run: The run, or its folder.
        stage: The stage; the last one by default.

    Returns:
        The correction, for embeddings of these encoders alone; None where the run has none, as
        one of an earlier version, or while its training goes on.

    Raises:
        MiteError: If the run or the stage is missing, or the file is damaged or of other encoders.
    """
    folder = RunFolder(run)
    best = folder.best(stage)
    try:
        return _read(best / HUBS, best)
    except MiteError:
        if folder.best(stage) == best:
            raise
        return hubs(run, stage)  # a training has just replaced them


def hubs_for(
    run: RunFolder,
    stage: str | None,
    encoders: Encoders,
    table: CaptionedImages,
    *,
    quiet: bool = False,
) -> HubCorrection | None:
    """Returns the hub correction of a run; made now if it has none and the data is its own.

    Args:
        run: The run.
        stage: The stage of its encoders.
        encoders: These encoders.
        table: All of the data at hand, train included.
        quiet: Whether to show no progress.

    Returns:
        The correction; None, which is said, where the data is not that of the training.
    """
    found = hubs(run, stage)
    if found is not None:
        return found
    best = run.best(stage)
    kept = run.path / "index" / f"{_space(best)[:16]}-{HUBS}"
    with suppress(MiteError):  # a cache, which is made again
        if (found := _read(kept, best)) is not None:
            return found
    if table.fingerprint() != run.info["data"]["fingerprint"]:
        if not quiet:
            say(
                f"{run.path}: carries no bank of hub correction, and the data is not what it was "
                "trained on, from which one is made: hubs are not corrected. `mite train … "
                "--resume` makes one for a training that is over."
            )
        return None
    train = table.split("train")

    def embed(images: NDArray, captions: NDArray) -> tuple[np.ndarray, np.ndarray]:
        rows = CaptionedImages(tuple(train.rows[row] for row in images), root=train.root)
        ids = encoders.tokenizer.table([train.captions[row] for row in captions]).ids
        with progress("Embedding a bank of train", "images", quiet=quiet) as report:
            if encoders.preprocessing is not None:
                found = encoders.embed_images(rows.paths, on_progress=report)
            else:
                features = PrecomputedFeatures(run.config.backbone.features)
                found = encoders.embed_features(features.of(rows.image_ids))
        return found, encoders.embed_ids(ids)

    made = _made(train, embed, _space(best))
    with suppress(OSError):  # a run that is only read serves as well
        made.save(kept)
    return made


def write_hubs(run: RunFolder, inputs: StageInputs) -> None:
    """Writes the bank beside the best encoders of each stage that have none, or a damaged one.

    The encoders of `inputs` are lent for that, and get their weights back.
    """
    models = inputs.encoders.image_encoder, inputs.encoders.text_encoder
    before = [model.get_weights() for model in models]
    try:
        for best in reversed(run.best_folders().values()):
            try:
                if _read(best / HUBS, best) is not None:
                    continue
            except MiteError:
                if not inputs.quiet:
                    say(f"{best / HUBS}: is damaged or of other encoders; it is made again.")
            for model, file in zip(models, _ENCODERS, strict=True):
                with reading(best / file, "a readable encoder", "Bring it back from a copy."):
                    model.load_weights(best / file)
            _made(inputs.train, inputs.embed_train, _space(best)).save(best / HUBS)
    finally:
        for model, weights in zip(models, before, strict=True):
            model.set_weights(weights)


def _made(train: CaptionedImages, embed: _Embed, space: str) -> HubCorrection:
    """Draws images and captions of train, each at random, and chooses the constants on others."""
    random = np.random.default_rng(_SEED)
    images, captions = (random.permutation(n) for n in (len(train), len(train.captions)))
    held_out = images[: min(_HELD_OUT, len(train) // 5)]
    of_held_out = np.isin(train.caption_image, held_out)
    if len(held_out) < _FEWEST or of_held_out.all() or not of_held_out.any():
        held_out, of_held_out = held_out[:0], np.zeros_like(of_held_out)
    images = images[len(held_out) :][:_MOST]
    captions, others = captions[~of_held_out[captions]][:_MOST], np.flatnonzero(of_held_out)
    found = embed(np.concatenate([images, held_out]), np.concatenate([captions, others]))
    (bank_images, rest_images), (bank_captions, rest_captions) = (
        np.split(each, [len(rows)]) for each, rows in zip(found, (images, captions), strict=True)
    )
    hubs = HubCorrection(bank_images, bank_captions, space=space)
    if not len(held_out):
        return hubs
    row_of = {image: row for row, image in enumerate(held_out)}
    owners = np.array([row_of[image] for image in train.caption_image[others]])
    return choose_hubs(hubs, Embeddings(rest_images, rest_captions, owners))


def _read(path: Path, best: Path) -> HubCorrection | None:
    if not path.exists():
        return None
    again = "Delete it: `mite train … --resume` makes it again."
    found = HubCorrection.load(path, advice=again)
    if found.space != _space(best):
        raise MiteError(f"{path}: belongs to other encoders than those in {best}. {again}")
    return found


def _space(best: Path) -> str:
    """A hash of the files of both encoders."""
    digest = hashlib.sha256()
    for name in _ENCODERS:
        with reading(best / name, "a readable encoder", "Bring it back from a copy."):
            digest.update(hashlib.sha256((best / name).read_bytes()).digest())
    return digest.hexdigest()
