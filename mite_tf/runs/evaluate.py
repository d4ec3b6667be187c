"""Embedding with a run, and measuring how good its embeddings are."""

from __future__ import annotations

from pathlib import Path

from mite_tf.data import CaptionedImages, check, read
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.evaluation import Embeddings, Evaluation, evaluate_embeddings
from mite_tf.progress import progress
from mite_tf.reports import write_report
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.hubs import hubs_for


def embed(
    run: str | Path | RunFolder,
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

    Raises:
        MiteError: If run, data, split or stage are not there, or an image cannot be read.
    """
    folder = RunFolder(run)
    encoders = folder.encoders(stage)
    return embed_table(folder, encoders, table_of(folder, data, split, format, root), quiet=quiet)


def evaluate(
    run: str | Path | RunFolder,
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
    """Measures retrieval in both directions, with and without hubs corrected, and invariance.

    Hubs are corrected with the bank that the run carries. Where it has none, one is made if `data`
    holds all that the run was trained on; otherwise `corrected` is None, which is said.

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

    Raises:
        MiteError: As for `embed`, or if the split does not fit the protocol, or UMAP is asked for
            and not installed.
    """
    folder = RunFolder(run)
    after = folder.best(stage).name.partition("-")[2]
    whole = table_of(folder, data, None, format, root)
    table = whole.split(split)
    stages = [after]
    if html and (before := folder.stage_before_adversary(after)):
        stages.insert(0, before)
    embeddings, evaluations = {}, {}
    for name in stages:
        encoders = folder.encoders(name)
        embeddings[name] = embed_table(folder, encoders, table, quiet=quiet)
        hubs = hubs_for(folder, name, encoders, whole, quiet=quiet)
        evaluations[name] = evaluate_embeddings(*embeddings[name], protocol=protocol, hubs=hubs)
    if html:
        told = {"run": folder.path, "data": data, "split": split, "protocol": protocol}
        if folder.warnings_file.exists():
            told["warnings"] = folder.warnings()
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


def table_of(
    run: RunFolder,
    data: str | Path | CaptionedImages,
    split: str | None = None,
    format: str | None = None,
    root: str | Path | None = None,
) -> CaptionedImages:
    """Returns the captioned images to work on: a split of them, or all.

    Of data that a run was trained on with `skip_bad`, those that it was trained on.
    """
    table = data if isinstance(data, CaptionedImages) else read(data, format=format, root=root)
    trained = run.info["data"]
    if trained.get("skip_bad") and table.fingerprint() != trained["fingerprint"]:
        usable = check(table).table
        table = usable if usable.fingerprint() == trained["fingerprint"] else table
    return table if split is None else table.split(split)


def embed_table(
    run: RunFolder, encoders: Encoders, table: CaptionedImages, *, quiet: bool
) -> Embeddings:
    """Embeds a table with encoders of a run, from files or from the features that it names."""
    from_files = encoders.preprocessing is not None
    features = None if from_files else PrecomputedFeatures(run.config.backbone.features)
    with progress("Embedding", "images", quiet=quiet) as report:
        return encoders.embed(table, features=features, on_progress=report)
