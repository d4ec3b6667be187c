"""`manifest.json`: what an export is, and the hash of every file in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from mite_tf.errors import MiteError
from mite_tf.export.schema import faults_of
from mite_tf.files import is_hidden, write_text
from mite_tf.recognition import wrong_kind

MANIFEST = "manifest.json"
# Folders that are no part of the version that is read; see `versions.py`.
VERSIONS, CURRENT, SETTINGS = "versions", "current", "tf_serving"
HUBS = "hubs.npz"
# Changes when a reader of older manifests would misunderstand.
_FORMAT = 1
# A manifest takes some ten thousand bytes; a file that is read as a whole, as protobuf allows.
_MOST_OF_MANIFEST, _MOST = 1 << 24, 1 << 31
# What an operator may put into a SavedModel for TensorFlow Serving.
_OF_OPERATORS = "batching_params.pbtxt"
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class ExportedFrom:
    """Where the encoders of an export come from; all of it stands in the manifest.

    Stage and epoch (from 1) of the training, the measure that chose the epoch, the training's data
    (`fingerprint`, and numbers of `images` and `captions` by split), what the epoch scored on the
    dev split, the kind of the text encoder, such as `transformer`, the names of the pretrained
    networks that the encoders are built on, if any, and how many of the first values of an
    embedding were trained to be one as well.
    """

    stage: str = ""
    epoch: int = 0
    selected_by: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    text_encoder: str = ""
    text_backbone: str = ""
    nested_sizes: Sequence[int] = ()
    image_backbone: str = ""


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
        nested_sizes: How many of the first values of an embedding are one as well, once they are
            scaled to length 1.
        space: Hash of all that decides an embedding; only those of equal spaces compare.
        hubs: What `hubs.npz` holds: `weight`, `neighbours`, and how many `images` and `captions`;
            None without it.
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
    nested_sizes: list[int] = field(default_factory=list)
    space: str = ""
    hubs: dict[str, Any] | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def first(self, dimensions: int) -> Manifest:
        """Returns the manifest of a model that gives the first values of these embeddings alone.

        Its space is another one: vectors of different sizes do not compare.

        Raises:
            MiteError: If the model was not trained for it.
        """
        sizes = [*self.nested_sizes, self.embedding_size]
        if dimensions not in sizes:
            raise MiteError(
                f"{self.name}: was trained for embeddings of {', '.join(map(str, sizes))} numbers, "
                f"not of {dimensions}."
            )
        if dimensions == self.embedding_size:
            return self
        space = self.space and hashlib.sha256(f"{self.space}/{dimensions}".encode()).hexdigest()
        smaller = [size for size in self.nested_sizes if size < dimensions]
        return replace(self, embedding_size=dimensions, nested_sizes=smaller, space=space)

    def write(self, folder: str | Path) -> None:
        """Writes `manifest.json` into a folder; null stands for what is not a finite number."""
        values = json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)
        text = json.dumps({"mite_tf_export": _FORMAT, **values}, indent=2, ensure_ascii=False)
        write_text(Path(folder) / MANIFEST, f"{text}\n")


class Version(NamedTuple):
    """One version of an export: all its files, also when a newer one comes meanwhile.

    Attributes:
        folder: The export folder, without links.
        root: The folder in it where the files of this version lie, but for its SavedModels.
        manifest: What the version says of itself.
    """

    folder: Path
    root: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Returns the path of a file or folder, without links.

        Raises:
            MiteError: If a link leads out of the export.
        """
        place = self.folder if name.startswith("savedmodel/") else self.root
        path = Path(os.path.realpath(place / name))
        if not path.is_relative_to(self.folder):
            raise MiteError(f"{self.folder}: {name} leads out of the folder.")
        return path

    def read(self, name: str) -> bytes:
        """Returns what is in a file.

        Raises:
            MiteError: If it is missing, or not the file that was exported.
        """
        path, exported = self.path(name), self.manifest.files[name]
        other = MiteError(f"{path}: not the file that was exported. {_AGAIN}")
        if path.is_file() and path.stat().st_size != exported["bytes"]:
            raise other
        data = _content(path, _MOST)
        if hashlib.sha256(data).hexdigest() != exported["sha256"]:
            raise other
        return data

    def check(self, prefix: str = "") -> None:
        """Compares hashes and names of all files that begin so with the manifest.

        SavedModels of other versions may lie beside, and hidden files.

        Raises:
            MiteError: If files are missing, are others, or are there besides; the first are named.
        """
        names = [name for name in self.manifest.files if name.startswith(prefix)]
        missing = [name for name in names if not self.path(name).is_file()]
        changed = [name for name in names if name not in missing and not self._is_exported(name)]
        extra = [
            name
            for name in sorted({*self._found(prefix)} - {*names, MANIFEST})
            if not any(each.startswith(f"{name}/") for each in names)  # a link to a folder
        ]
        problems = [
            *_told("missing", missing),
            *_told("not the file that was exported", changed),
            *_told("not of this export", extra),
        ]
        if problems:
            again = f" {_AGAIN}" if missing or changed else " Take away what is not of the export."
            raise MiteError(
                f"{self.folder}: does not match its manifest. {' '.join(problems)}{again}"
            )

    def _is_exported(self, name: str) -> bool:
        path, exported = self.path(name), self.manifest.files[name]
        return path.stat().st_size == exported["bytes"] and _hash(path) == exported["sha256"]

    def _found(self, prefix: str) -> Iterator[str]:
        """Names of all that lies where readers look, but hidden files and links to nothing."""
        for name in _names_in(self.root, prefix):
            if not name.startswith("savedmodel/"):
                yield name
        beside = (SETTINGS,) if self.root != self.folder else ()  # a copy, for operators
        for name in _names_in(self.folder, prefix):
            first, _, rest = name.partition("/")
            other = first == "savedmodel" and rest.split("/")[1:2] != [str(self.manifest.version)]
            if not other and first not in beside and not name.endswith(f"/{_OF_OPERATORS}"):
                yield name


_AGAIN = "Copy the folder again, or export the run again."


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of an export folder; each value of it is in its range.

    Raises:
        MiteError: If the folder is no export, or one of a later version of this package.

    Example:
        >>> read_manifest("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an export with `mite export`.
    """
    return read_version(folder).manifest


def read_version(folder: str | Path) -> Version:
    """Reads the manifest of an export folder, and where the files of that version lie.

    Raises:
        MiteError: As `read_manifest`.
    """
    given = Path(folder)
    make = "Make an export with `mite export`."
    try:
        if not given.exists():
            raise MiteError(f"{given}: no such folder. {make}")
        folder = Path(os.path.realpath(given))
        path = Path(os.path.realpath(folder / MANIFEST))
        if not path.is_file():
            raise wrong_kind(given, f"no export: it holds no {MANIFEST}", make)
    except OSError as error:
        raise MiteError(f"{given}: cannot be read: {error.strerror}.") from error
    if not path.is_relative_to(folder):
        raise MiteError(f"{given}: {MANIFEST} leads out of the folder.")
    try:
        values = json.loads(_content(path, _MOST_OF_MANIFEST), parse_constant=_no_number)
        kind = values.pop("mite_tf_export")
    except MiteError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MiteError(f"{path}: not a manifest of `mite export`: {error!r}") from error
    if type(kind) is not int or kind != _FORMAT:
        raise MiteError(f"{path}: of format {kind!r:.20}; this version of mite_tf reads {_FORMAT}.")
    if faults := faults_of(values):
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        told = f"{'; '.join(faults[:3])}{more}"
        raise MiteError(f"{path}: not a manifest of `mite export`: {told}.")
    names = {each.name for each in fields(Manifest)} & values.keys()  # others are left out
    manifest = Manifest(**{name: values[name] for name in names})
    return Version(folder, path.parent, manifest)


def of_one_version(folder: str | Path, read: Callable[[Version], _T]) -> _T:
    """Returns what `read` makes of an export, all of it of one version.

    If it fails while another export takes the place of the version, it is called with the new one.

    Raises:
        MiteError: As `read_manifest`, and what `read` raises.
    """
    version = read_version(folder)
    while True:
        try:
            return read(version)
        except (MiteError, OSError):  # a file may be gone that was there
            newer = read_version(folder)
            if newer == version:
                raise
            version = newer


def describe_files(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Returns hash and size of every file in a folder but the manifest, by relative path."""
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": _hash(path), "bytes": path.stat().st_size}
        for path in paths
        if path != folder / MANIFEST
    }


def _names_in(folder: Path, prefix: str) -> Iterator[str]:
    """Relative names of files and links in a folder, but hidden ones and other versions."""
    for parent, folders, files in os.walk(folder / prefix):
        place = Path(parent)
        beside = (VERSIONS, CURRENT, "lost+found") if place == folder else ()
        folders[:] = [name for name in folders if name not in beside and not is_hidden(name)]
        links = [name for name in folders if (place / name).is_symlink()]
        for name in (*files, *links):
            if not is_hidden(name) and name not in beside and not _leads_nowhere(place / name):
                yield (place / name).relative_to(folder).as_posix()


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not os.path.exists(path)  # noqa: PTH110 (of any error)


def _told(what: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{what.capitalize()}: {', '.join(names[:3])}{more}."] if names else []


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _content(path: Path, most: int) -> bytes:
    """Reads a regular file; a pipe would be waited for."""
    try:
        if not path.is_file():
            missing = "is missing" if not path.exists() else "is no file"
            raise MiteError(f"{path}: {missing}. {_AGAIN}")
        if path.stat().st_size > most:
            raise MiteError(f"{path}: has more than the {most >> 20} MiB that are read. {_AGAIN}")
        return path.read_bytes()
    except OSError as error:
        raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
