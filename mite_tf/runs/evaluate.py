"""Embedding with a run, and measuring how good its embeddings are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args, overload

import numpy as np

from mite_tf.data import CaptionedImages, check, read
from mite_tf.data.feature_cache import FeatureCache, TextFeatureCache
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.evaluation import (
    PROTOCOLS,
    Embeddings,
    Evaluation,
    ProtocolName,
    ProtocolScores,
    evaluate_embeddings,
    measure_protocols,
)
from mite_tf.models import TextEncoder
from mite_tf.progress import progress
from mite_tf.reports import write_protocol_report, write_report
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.hubs import hubs_for

RecallProtocol = Literal["full", "coco-1k", "coco-5k"]


def embed(
    run: str | Path | RunFolder,
    data: str | Path | CaptionedImages,
    *,
    split: str | None = None,
    stage: str | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    feature_cache: str | Path | None = None,
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
        feature_cache: Folder of cached backbone features, float16, which are taken where it has
            those of all images, or of all captions.
        quiet: Whether to show no progress.

    Raises:
        MiteError: If run, data, split or stage are not there, or an image cannot be read.
    """
    folder = RunFolder(run)
    encoders = folder.encoders(stage)
    table = table_of(folder, data, split, format, root)
    return embed_table(folder, encoders, table, feature_cache=feature_cache, quiet=quiet)


@overload
def evaluate(
    run: str | Path | RunFolder,
    data: str | Path | CaptionedImages,
    *,
    split: str = ...,
    stage: str | None = ...,
    protocol: RecallProtocol = ...,
    format: str | None = ...,
    root: str | Path | None = ...,
    html: str | Path | None = ...,
    projection: str = ...,
    dimensions: int | None = ...,
    quiet: bool = ...,
) -> Evaluation: ...
@overload
def evaluate(
    run: str | Path | RunFolder,
    data: str | Path | CaptionedImages,
    *,
    split: str = ...,
    stage: str | None = ...,
    protocol: ProtocolName,
    format: str | None = ...,
    root: str | Path | None = ...,
    html: str | Path | None = ...,
    projection: str = ...,
    dimensions: int | None = ...,
    quiet: bool = ...,
) -> ProtocolScores: ...
def evaluate(
    run: str | Path | RunFolder,
    data: str | Path | CaptionedImages,
    *,
    split: str = "dev",
    stage: str | None = None,
    protocol: RecallProtocol | ProtocolName = "full",
    format: str | None = None,
    root: str | Path | None = None,
    html: str | Path | None = None,
    projection: str = "pca",
    dimensions: int | None = None,
    quiet: bool = False,
) -> Evaluation | ProtocolScores:
    """Measures retrieval in both directions and invariance; or what another protocol measures.

    Hubs are corrected with the bank that the run carries; recall is measured without that too.
    Where it has none, one is made if `data` holds all that the run was trained on; otherwise what
    needs it is left out, which is said.

    Args:
        run: Run folder.
        data: Folder or file of captioned images, or a table of them.
        split: Split to measure on.
        stage: Take the best encoders of this stage; of the last one by default.
        protocol: `full`, `coco-1k` or `coco-5k`, for an `Evaluation`; or one of those of
            `mite_tf.evaluation.measure_protocols`, for `ProtocolScores`: `mixed`, `everything`,
            `recall`, `transfer`, `grouping` or `stability`.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        html: Page to write, with tables and plots. For encoders from a stage with adversary, or
            after it, it shows those from before beside them.
        projection: How the page draws both modalities in two dimensions, `pca` or `umap`.
        dimensions: Compare by so many of the first values of each embedding; by all by default.
        quiet: Whether to show no progress.

    Raises:
        MiteError: As for `embed`, or if the split does not fit the protocol, or UMAP is asked for
            and not installed.
    """
    folder = RunFolder(run)
    after = folder.best(stage).name.partition("-")[2]
    whole = table_of(folder, data, None, format, root)
    table = whole.split(split)
    if protocol in PROTOCOLS:
        result = protocol_scores(
            folder, after, whole, table, [protocol], dimensions=dimensions, quiet=quiet
        )[protocol]
        if result.left_out:
            raise MiteError(result.left_out)
        if html:
            place = "DATA" if isinstance(data, CaptionedImages) else str(data)
            details = {"run": str(folder.path), "data": place, "split": split, "stage": after}
            title = f"{folder.path.name} on {split}, {protocol}"
            words = ["mite", "evaluate", str(folder.path), "--data", place, "--split", split]
            if dimensions is not None:
                details["dimensions"] = str(dimensions)
                words += ["--dimensions", str(dimensions)]
            write_protocol_report(
                html,
                title=title,
                details=details,
                result=result,
                command=shlex.join([*words, "--stage", after, "--protocol", protocol]),
            )
        return result
    if protocol not in get_args(RecallProtocol):
        known = ", ".join((*get_args(RecallProtocol), *PROTOCOLS))
        raise MiteError(f"Unknown protocol {protocol!r}; choose one of {known}.")
    stages = [after]
    if html and (before := folder.stage_before_adversary(after)):
        stages.insert(0, before)
    embeddings, evaluations = {}, {}
    for name in stages:
        encoders = folder.encoders(name)
        embeddings[name] = embed_table(folder, encoders, table, quiet=quiet)
        hubs = hubs_for(folder, name, encoders, whole, quiet=quiet)
        if dimensions is not None:
            embeddings[name] = embeddings[name].first(dimensions)
            hubs = hubs and hubs.first(dimensions)
        evaluations[name] = evaluate_embeddings(*embeddings[name], protocol=protocol, hubs=hubs)
    if html:
        told = {"run": folder.path, "data": data, "split": split, "protocol": protocol}
        if dimensions is not None:
            told["dimensions"] = str(dimensions)
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


def protocol_scores(
    run: RunFolder,
    stage: str,
    whole: CaptionedImages,
    table: CaptionedImages,
    protocols: Sequence[str] = PROTOCOLS,
    *,
    embeddings: Embeddings | None = None,
    dimensions: int | None = None,
    quiet: bool = False,
) -> dict[str, ProtocolScores]:
    """Measures the encoders of a stage by protocols beyond recall, see `measure_protocols`.

    `whole` are all the captioned images at hand, `table` those to measure on, and `embeddings`
    what the encoders make of them, made now if None; `dimensions` as for `evaluate`.
    """
    encoders = run.encoders(stage)
    if embeddings is None:
        embeddings = embed_table(run, encoders, table, quiet=quiet)
    bank = hubs_for(run, stage, encoders, whole, quiet=quiet)
    if dimensions is not None:
        embeddings, bank = embeddings.first(dimensions), bank and bank.first(dimensions)
    return measure_protocols(embeddings, protocols, texts=table.captions, bank=bank)


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
    run: RunFolder,
    encoders: Encoders,
    table: CaptionedImages,
    *,
    feature_cache: str | Path | None = None,
    quiet: bool,
) -> Embeddings:
    """Embeds a table with encoders of a run, from files or from features that are known."""
    known: dict[str, np.ndarray] = {}
    if encoders.preprocessing is None:
        known["features"] = PrecomputedFeatures(run.config.backbone.features).of(table.image_ids)
    elif feature_cache:
        images = FeatureCache(
            feature_cache, encoders.image_encoder.backbone, encoders.preprocessing
        )
        if images.holds(table.paths):
            known["features"] = images.features(table.paths)[:, 0]
    if feature_cache and isinstance(encoders.text_encoder, TextEncoder):
        captions = TextFeatureCache(feature_cache, encoders.text_encoder.backbone)
        ids = encoders.tokenizer.table(table.captions).ids
        if captions.holds(ids):
            known["text_features"] = captions.features(ids)
    with progress("Embedding", "images", quiet=quiet) as report:
        return encoders.embed(table, on_progress=report, **known)
