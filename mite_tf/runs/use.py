"""What a run is for: measuring it, and searching with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mite_tf.data import CaptionedImages, read
from mite_tf.data.feature_cache import fingerprint_of_images
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, Evaluation, evaluate_embeddings
from mite_tf.progress import progress
from mite_tf.reports import write_contact_sheet
from mite_tf.retrieval import Hit, VectorIndex
from mite_tf.runs.run import Run


def embed(
    run: str | Path,
    data: str | Path | CaptionedImages,
    *,
    split: str | None = None,
    stage: str | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    quiet: bool = False,
) -> Embeddings:
    """Embeds the images and captions of a split with the best encoders of a run.

    Args:
        run: Run folder.
        data: Folder or file of captioned images, or a table of them.
        split: Split to embed; all of them by default.
        stage: Take the best encoders of this stage; of the last one by default.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        quiet: Whether to show no progress.

    Returns:
        The embeddings.

    Raises:
        MiteError: If run, data, split or stage are not there, or an image cannot be read.
    """
    encoders = Run(run).encoders(stage)
    return _embed(Run(run), encoders, _table(data, split, format, root), quiet)


def evaluate(
    run: str | Path,
    data: str | Path | CaptionedImages,
    *,
    split: str = "dev",
    stage: str | None = None,
    protocol: str = "full",
    format: str | None = None,
    root: str | Path | None = None,
    html: str | Path | None = None,
    projection: str = "pca",
    quiet: bool = False,
) -> Evaluation:
    """Measures retrieval in both directions and modality invariance.

    Args:
        run: Run folder.
        data: Folder or file of captioned images, or a table of them.
        split: Split to measure on.
        stage: Take the best encoders of this stage; of the last one by default.
        protocol: `full`, `coco-1k` or `coco-5k`.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        html: Page to write, with tables and plots. For encoders from a stage with adversary, or
            after it, it shows those from before beside them.
        projection: How the page draws both modalities in two dimensions, `pca` or `umap`.
        quiet: Whether to show no progress.

    Returns:
        The evaluation.

    Raises:
        MiteError: As for `embed`, or if the split does not fit the protocol, or UMAP is asked for
            and not installed.
    """
    folder = Run(run)
    after = folder.best(stage).name.partition("-")[2]
    table = _table(data, split, format, root)
    stages = [after]
    if html and (before := folder.stage_before_adversary(after)):
        stages.insert(0, before)
    embeddings = {name: embed(run, table, stage=name, quiet=quiet) for name in stages}
    evaluations = {
        name: evaluate_embeddings(*each, protocol=protocol) for name, each in embeddings.items()
    }
    if html:
        from mite_tf.reports import write_report

        told = {"run": run, "data": data, "split": split, "protocol": protocol}
        if folder.warnings_file.exists():
            told["warnings"] = folder.warnings_file.read_text(encoding="utf-8")
        titles = {name: f"after {name}" for name in stages}
        write_report(
            html,
            title=f"{folder.path.name} on {split}",
            evaluations={titles[name]: each for name, each in evaluations.items()},
            history=folder.history(),
            embeddings={titles[name]: each for name, each in embeddings.items()},
            details=told,
            projection=projection,
        )
    return evaluations[after]


def find(
    run: str | Path,
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
    quiet: bool = False,
) -> list[Hit]:
    """Finds the images that fit a sentence, or the sentences that fit an image.

    Args:
        run: Run folder.
        data: Folder or file of captioned images, or a table of them.
        query: A sentence.
        image: An image file, instead of a sentence.
        split: Search in this split alone; in all by default.
        stage: Take the best encoders of this stage; of the last one by default.
        top: Number of results.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        html: Page to write that shows the results.
        quiet: Whether to show no progress.

    Returns:
        The results, best first: `id` is the image's id, or the sentence.

    Raises:
        MiteError: As for `embed`, or if not exactly one of `query` and `image` is given.
    """
    if (query is None) == (image is None):
        raise MiteError("Give either a sentence or an image file to search for.")
    if query is not None and not query.strip():
        raise MiteError("The sentence to search for is empty.")
    folder = Run(run)
    encoders = folder.encoders(stage)
    table = _table(data, split, format, root)
    images, captions = _indices(folder, stage, encoders, table, quiet)
    if image is None:
        [hits] = images.search(encoders.embed_text([str(query)]), k=top)
        shown: dict[str, Any] = {
            "image_paths": dict(zip(table.image_ids, table.paths, strict=True))
        }
    else:
        [hits] = captions.search(encoders.embed_images([image]), k=top)
        shown = {"captions": {caption: caption for caption in table.captions}}
    if html:
        write_contact_sheet(html, Path(image) if image else str(query), hits, **shown)
    return hits


def _table(
    data: str | Path | CaptionedImages,
    split: str | None,
    format: str | None,
    root: str | Path | None,
) -> CaptionedImages:
    table = data if isinstance(data, CaptionedImages) else read(data, format=format, root=root)
    return table if split is None else table.split(split)


def _embed(run: Run, encoders: Encoders, table: CaptionedImages, quiet: bool) -> Embeddings:
    features = None
    if encoders.preprocessing is None:
        features = PrecomputedFeatures(run.config.model.features)
    with progress("Embedding", "images", quiet=quiet) as report:
        return encoders.embed(table, features=features, on_progress=report)


def _indices(
    run: Run, stage: str | None, encoders: Encoders, table: CaptionedImages, quiet: bool
) -> tuple[VectorIndex, VectorIndex]:
    """Indices of images and captions, kept in the run folder until model or data change."""
    best = run.best(stage)
    files = [best / "image_encoder.keras", best / "text_encoder.keras"]
    if encoders.preprocessing is not None:
        files += table.paths
    key = f"{table.fingerprint()} {fingerprint_of_images(files)}"
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    paths = [run.path / "index" / f"{name}-{kind}.npz" for kind in ("images", "captions")]
    if not all(path.exists() for path in paths):
        embeddings = _embed(run, encoders, table, quiet)
        VectorIndex(table.image_ids, embeddings.images).save(paths[0])
        VectorIndex(table.captions, embeddings.captions).save(paths[1])
    return VectorIndex.load(paths[0]), VectorIndex.load(paths[1])
