"""A collection of pictures and texts to a folder of embeddings."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from mite_tf.collection.layouts import write_clip_retrieval
from mite_tf.collection.local import cores, embed_locally
from mite_tf.collection.on_ray import embed_on_ray
from mite_tf.collection.places import absolute
from mite_tf.collection.plan import PLAN, Plan, part
from mite_tf.collection.shard import Done, Job, part_of_export
from mite_tf.collection.sources import items_of
from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.extras import require
from mite_tf.files import is_hidden, locked, write_text, writing
from mite_tf.progress import progress
from mite_tf.recognition import recognize
from mite_tf.retrieval.embedding_files import SUMMARY, EmbeddingFolder, shard_facts
from mite_tf.retrieval.hubs import HubCorrection

FAILURES = "failures.jsonl"
# Two processes on two cores write a file of so many photographs in some seconds, and of large ones
# by a large network within a minute, which is what a kill costs.
SHARD_SIZE = 256
_ENGINES = ("local", "ray")
_LAYOUTS = ("parquet", "clip-retrieval")
_DTYPES = ("float32", "float16")

Sources = str | Path | Sequence[str | Path]


class EmbeddedCollection(NamedTuple):
    """A folder of embeddings, and what making it took.

    Attributes:
        folder: The folder, which is complete.
        pictures: Pictures in it, fused ones among them.
        texts: Texts in it that have a vector of their own.
        skipped: Items that could not be embedded; `failures.jsonl` in the folder says why.
        seconds: What this call took.
        pictures_per_second: Pictures that this call has embedded, in a second.
        unknown: Share of the words of the texts that the model does not know.

    Example:
        >>> EmbeddedCollection(None, 7, 0, 1, 2.0, 3.5, 0.0).pictures
        7
    """

    folder: EmbeddingFolder
    pictures: int
    texts: int
    skipped: int
    seconds: float
    pictures_per_second: float
    unknown: float


def embed_collection(
    export: str | Path,
    out: str | Path,
    *,
    images: Sources = (),
    texts: Sources = (),
    fuse: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    dimensions: int | None = None,
    layout: Literal["parquet", "clip-retrieval"] = "parquet",
    engine: Literal["local", "ray"] = "local",
    processes: int = 0,
    ray_address: str | None = None,
    shard_size: int = SHARD_SIZE,
    fresh: bool = False,
    quiet: bool = False,
) -> EmbeddedCollection:
    """Embeds pictures and texts by the ONNX files of an export; no TensorFlow is loaded.

    What there is to embed is listed once, in a fixed order, into a plan; each file of embeddings
    is written whole or not at all. The same call goes on where another one was stopped, however
    that was. The result does not depend on it, nor on engine and processes: it is the same to the
    byte.

    Args:
        export: Export folder, with ONNX.
        out: Folder for the embeddings (`EmbeddingFolder`).
        images: Folders, patterns such as `photos/**/*.jpg`, pictures, lists of pictures (`.txt`,
            `.jsonl`, `.csv`, `.tsv`, `.parquet`, perhaps with captions), webdataset tars, Parquet
            files with the bytes of pictures; paths, or URLs such as `s3://bucket/photos`.
        texts: Files with a text a line (`.txt`), or in a column `text` or `caption`.
        fuse: Makes one vector of a picture and its texts: the sum of both unit vectors, of length
            1 again.
        dtype: Type of the embeddings.
        dimensions: How many of the first values to keep, one of the `nested_sizes` that the model
            was trained for; all by default.
        layout: `clip-retrieval` writes the folders of that tool too.
        engine: `local`, or `ray` for several machines.
        processes: Processes on this machine; 0 for one per core.
        ray_address: A cluster of Ray, such as `auto`; by default one is started on this machine.
        shard_size: Most pictures of one file; sixteen texts count as one.
        fresh: Removes embeddings that lie in `out`, and begins anew.
        quiet: Shows no progress.

    Returns:
        The folder, with the numbers of pictures, texts and skipped items.

    Raises:
        MissingPackage: If a package is not installed.
        MiteError: If an argument makes no sense, a source is missing or empty, `out` holds
            something else or was begun otherwise, or nothing at all could be embedded.
        OSError: If `out` cannot be written.

    Example:
        >>> embed_collection("nowhere", "embeddings", images="photos")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an export with `mite export`.
    """
    began = time.monotonic()
    for name, value, known in (
        ("engine", engine, _ENGINES), ("layout", layout, _LAYOUTS), ("dtype", dtype, _DTYPES),
    ):  # fmt: skip
        if value not in known:
            raise MiteError(f"Unknown {name} {value!r}; there are {', '.join(known)}.")
    if shard_size < 1 or processes < 0:
        raise MiteError(
            f"Received shard_size={shard_size} and processes={processes}; the first is 1 or more "
            "and the second 0 or more."
        )
    if ray_address is not None and engine != "ray":
        raise MiteError("A ray_address=... (--ray-address ...) needs engine='ray' (--engine ray).")
    sources = [_sources(each) for each in (images, texts)]
    if not any(sources):
        raise MiteError(
            "There is nothing to embed. Give images=... (--images ...), texts=... (--texts ...), "
            "or both."
        )
    manifest, hubs = part_of_export(export, dimensions)
    _check(export, manifest, pictures=bool(sources[0]))
    settings: dict[str, Any] = {
        "model": f"{manifest.name} {manifest.version}", "space": manifest.space,
        "export": absolute(export), "images": sources[0], "texts": sources[1], "fuse": fuse,
        "dtype": dtype, "dimensions": dimensions, "shard_size": shard_size,
    }  # fmt: skip
    folder = Path(absolute(out))
    with writing(folder):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".lock", busy=lambda: _busy(out)):
            plan = _planned(folder, settings, fresh=fresh, shown=str(out))
            if layout == "clip-retrieval" and plan.pictures and plan.texts and plan.apart:
                raise MiteError(
                    f"{out}: {plan.apart} pictures or texts stand alone, and clip-retrieval wants "
                    "pairs. Embed pictures and texts into two folders, or without the layout."
                )
            job = Job(settings["export"], str(folder), manifest.space, dtype, fuse, dimensions)
            run = _engine(engine, processes, ray_address, [*sources[0], *sources[1]])
            embedded = _run(plan, job, run, quiet)
            whole, counts, skipped, unknown = _finished(plan, manifest, hubs, folder, str(out))
            if layout == "clip-retrieval":
                write_clip_retrieval(whole)
    finally:
        if made:
            with suppress(OSError):  # holds something
                folder.rmdir()
    seconds = time.monotonic() - began
    pictures = counts["image"] + counts["fused"]
    return EmbeddedCollection(
        whole, pictures, counts["text"], skipped, seconds, embedded / max(seconds, 1e-9), unknown
    )


def _sources(given: Sources) -> list[str]:
    return [absolute(each) for each in ([given] if isinstance(given, str | Path) else given)]


def _check(export: str | Path, manifest: Manifest, *, pictures: bool) -> None:
    """Refuses an export that cannot embed, before anything is written."""
    require("A collection of embeddings", "search", ("onnxruntime", "tokenizers", "pyarrow"))
    if "onnx" not in manifest.formats:
        raise MiteError(f"{export}: holds no ONNX. Export the run again, with that format.")
    if pictures and manifest.preprocessing is None:
        raise MiteError(f"{export}: its image encoder takes features, not pictures.")
    if not manifest.space:
        raise MiteError(
            f"{export}: does not say which space its embeddings are of, as exports of today do. "
            "Export the run again."
        )


def _busy(out: str | Path) -> NoReturn:
    raise MiteError(f"{out}: another `mite embed` writes there. Wait, or name another folder.")


def _planned(folder: Path, settings: dict[str, Any], *, fresh: bool, shown: str) -> Plan:
    """The plan that lies there, if it is of the same things, or a new one."""
    there = {path.name for path in folder.iterdir() if not is_hidden(path.name)}
    if there and not {PLAN, SUMMARY} & there:
        raise MiteError(
            f"{shown}: is {recognize(folder).what}, not empty and no embeddings. Name another "
            "folder."
        )
    if fresh:
        _clear(folder)
    elif PLAN in there:
        plan = Plan.read(folder)
        _compare(plan.settings, settings, shown)
        if SUMMARY in there and not plan.holds(items_of(settings["images"], settings["texts"])):
            raise MiteError(
                f"{shown}: is complete, but there are other pictures or texts now. Embed what is "
                "new into another folder, or all anew with fresh=True (--fresh)."
            )
        return plan
    elif there:
        raise MiteError(f"{shown}: lacks its {PLAN}. Embed anew with fresh=True (--fresh).")
    items = items_of(settings["images"], settings["texts"])
    return Plan.make(folder, settings, items, shard_size=settings["shard_size"])


def _clear(folder: Path) -> None:
    """Removes embeddings; the plan last, so that a kill leaves a folder that is begun."""
    patterns = (SUMMARY, "part-*.parquet", FAILURES, "*_emb/*_emb_*.npy", "metadata/*.parquet")
    for pattern in (*patterns, PLAN):
        for path in sorted(folder.glob(pattern)):
            path.unlink()


def _compare(before: Mapping[str, Any], now: Mapping[str, Any], shown: str) -> None:
    again = "Give the same again, name another folder, or begin anew with fresh=True (--fresh)."
    if before["space"] != now["space"] and before["dimensions"] == now["dimensions"]:
        raise MiteError(
            f"{shown}: was begun with another model, {before['model']!r}, than that of "
            f"{now['export']}, {now['model']!r}. {again}"
        )
    for name in ("images", "texts", "fuse", "dtype", "dimensions", "shard_size"):
        if before[name] != now[name]:
            raise MiteError(
                f"{shown}: was begun with {name}={_short(before[name])}, not {_short(now[name])}. "
                f"{again}"
            )


def _short(value: Any) -> str:
    text = ", ".join(value) or "none" if isinstance(value, list) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _engine(engine: str, processes: int, address: str | None, sources: Sequence[str]) -> Any:
    processes = processes or cores()
    if any(each.startswith("memory:") for each in sources):
        processes = 1  # other processes have memories of their own

    def run(job: Job, numbers: Sequence[int]) -> Iterator[Done]:
        if engine == "ray":
            return embed_on_ray(job, numbers, processes, address)
        return embed_locally(job, numbers, max(1, min(processes, len(numbers))))

    return run


def _run(plan: Plan, job: Job, run: Any, quiet: bool) -> int:
    """Writes what is missing; returns the number of pictures that were embedded."""
    missing = [
        number for number in range(len(plan.shards)) if not part(job.folder, number).exists()
    ]
    if not missing:
        return 0
    counted = 0 if plan.pictures else 1
    left = sum(plan.shards[number][counted] for number in missing)
    so_far = embedded = 0
    unit = ("pictures", "texts")[counted]
    with progress("Embedding", unit, quiet=quiet) as report, closing(run(job, missing)) as every:
        report(0, left)
        for done in every:
            so_far += plan.shards[done.number][counted]
            embedded += done.pictures
            report(so_far, left)
    return embedded


def _finished(
    plan: Plan, manifest: Manifest, hubs: HubCorrection | None, folder: Path, shown: str
) -> tuple[EmbeddingFolder, Counter[str], int, float]:
    """Says what was skipped and how much is unknown, and makes the folder complete."""
    counts: Counter[str] = Counter()
    words = unknown = 0
    skipped: dict[str, str] = {}
    shards = {}
    for path in (part(folder, number) for number in range(len(plan.shards))):
        facts = shard_facts(path)
        counts.update(facts.rows)
        skipped.update(facts.skipped)
        words, unknown = words + facts.words[0], unknown + facts.words[1]
        shards[path.name] = sum(facts.rows.values())
    if skipped:
        lines = (json.dumps({"id": name, "reason": why}) for name, why in skipped.items())
        write_text(folder / FAILURES, "".join(f"{line}\n" for line in lines))
    if not any(shards.values()):
        first = next(iter(skipped))
        raise MiteError(
            f"{shown}: none of {len(skipped)} could be embedded. The first, {first}: "
            f"{skipped[first].rstrip('.')}. See {FAILURES} there; begin anew with fresh=True "
            "(--fresh) when that is mended."
        )
    whole = EmbeddingFolder(
        path=folder,
        space=manifest.space,
        dimension=manifest.embedding_size,
        dtype=plan.settings["dtype"],
        model=plan.settings["model"],
        export=plan.settings["export"],
        centres=None if hubs is None else {
            "image": float(hubs.centre(queries="image")),
            "text": float(hubs.centre(queries="caption")),
        },
        shards=shards,
    )  # fmt: skip
    if not (folder / SUMMARY).exists():
        whole.write()
    return whole, counts, len(skipped), unknown / max(1, words)
