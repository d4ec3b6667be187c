"""`manifest.json`: what an export is, and the hash of every file in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.recognition import wrong_kind

MANIFEST = "manifest.json"
# Changes when a reader of older manifests would misunderstand.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ExportedFrom:
    """Where the encoders of an export come from; all of it stands in the manifest.

    Stage and epoch (from 1) of the training, the measure that chose the epoch, the training's data
    (`fingerprint`, and numbers of `images` and `captions` by split), what the epoch scored on the
    dev split, and the kind of the text encoder, such as `transformer`.
    """

    stage: str = ""
    epoch: int = 0
    selected_by: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    text_encoder: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an export folder says of itself.

    Attributes:
        name: Name of the run that was exported, or of the folder.
        version: Counted from 1; SavedModels of earlier versions may lie beside.
        created: Date and time, ISO 8601, UTC.
        embedding_size: Size D of the embeddings.
        image: Hash, `output` and `signatures` of the image encoder and, with ONNX, `onnx`.
        text: The same of the text encoder, and its kind where it is known.
        preprocessing: Files to pixels; None for an encoder that starts at features.
        tokenizer: Its settings, and on how many captions `tokenizer.json` equals the graph.
        training: As in `ExportedFrom`; of encoders from no run, the data alone, if it was given.
        metrics: What was measured on the dev split at that epoch.
        recall: Recall of each exported form on a split, where the data was at hand.
        verification: Greatest difference and tolerance of each check.
        formats: What was exported: `savedmodel`, `onnx`, `int8`, `litert`, `openvino`.
        versions: Versions of the packages that wrote it.
        warnings: What is rarely meant so about the backbone, a sentence each.
        space: Hash of all that decides an embedding; only those of equal spaces compare.
        files: SHA-256 and size in bytes by path, relative to the folder.
    """

    name: str
    version: int
    created: str
    embedding_size: int
    image: dict[str, Any]
    text: dict[str, Any]
    preprocessing: dict[str, Any] | None
    tokenizer: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]
    recall: dict[str, Any]
    verification: dict[str, Any]
    formats: list[str]
    versions: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    space: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: str | Path) -> None:
        """Writes `manifest.json` into a folder."""
        text = json.dumps({"mite_tf_export": _FORMAT, **asdict(self)}, indent=2, ensure_ascii=False)
        write_text(Path(folder) / MANIFEST, f"{text}\n")


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of an export folder.

    Raises:
        MiteError: If the folder is no export, or one of a later version of this package.

    Example:
        >>> read_manifest("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an export with `mite export`.
    """
    folder = Path(folder)
    make = "Make an export with `mite export`."
    if not folder.exists():
        raise MiteError(f"{folder}: no such folder. {make}")
    path = folder / MANIFEST
    if not path.is_file():
        raise wrong_kind(folder, f"no export: it holds no {MANIFEST}", make)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.pop("mite_tf_export")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MiteError(f"{path}: not a manifest of `mite export`: {error!r}") from error
    if kind != _FORMAT:
        raise MiteError(f"{path}: of format {kind}; this version of mite_tf reads {_FORMAT}.")
    try:
        manifest = TypeAdapter(Manifest).validate_python(values)  # entries not known are left out
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise MiteError(f"{path}: not a manifest of `mite export`: {'; '.join(wrong)}.") from error
    outside = [
        name for name in manifest.files if name.startswith("/") or ".." in PurePosixPath(name).parts
    ]
    if outside:
        raise MiteError(f"{path}: names files outside of the export: {', '.join(outside)}.")
    return manifest


def describe_files(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Returns hash and size of every file in a folder but the manifest, by relative path."""
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": _hash(path), "bytes": path.stat().st_size}
        for path in paths
        if path != folder / MANIFEST
    }


def check_files(folder: str | Path, files: dict[str, dict[str, Any]]) -> None:
    """Compares a folder with its `Manifest.files`; other SavedModels may lie beside.

    Raises:
        MiteError: If files are missing or others than those that were exported; all are named.
    """
    folder = Path(folder)
    missing = [name for name in files if not (folder / name).is_file()]
    changed = [
        name
        for name, expected in files.items()
        if name not in missing
        and (
            (folder / name).stat().st_size != expected["bytes"]
            or _hash(folder / name) != expected["sha256"]
        )
    ]
    problems = _told("missing", missing) + _told("not the file that was exported", changed)
    if problems:
        raise MiteError(
            f"{folder}: does not match its manifest. {' '.join(problems)} Copy the folder again, "
            "or export the run again."
        )


def _told(what: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{what.capitalize()}: {', '.join(names[:3])}{more}."] if names else []


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
