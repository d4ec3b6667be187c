"""What lies at a path, and what it is for: the answer to a path that is of the wrong kind."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from mite_tf.errors import MiteError

_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
_CAPTIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt", ".token")
_ENTRIES = 1000  # looked at, at most, of a large folder


class Found(NamedTuple):
    """A kind, such as `run`, what to call it, and what can be done with it."""

    kind: str
    what: str
    use: str = ""


def recognize(path: str | Path) -> Found:
    """Says what lies at a path: a run, an export, an index, data, or part of one of these.

    Example:
        >>> recognize("nowhere").what
        'nothing'
    """
    path = Path(path)
    if not os.path.exists(path):  # noqa: PTH110 (a query may be too long for the file system)
        return Found("nothing", "nothing")
    if own := _made_here(path):
        return own
    if shelf := _shelf(path):
        return shelf
    for parent in islice(path.parents, 4):
        if whole := _made_here(parent):
            use = whole.use if whole.kind == "study" else f"Name {parent} itself."
            return Found("part", f"part of {whole.what} ({parent})", use)
    return _folder(path) if path.is_dir() else _file(path)


def wrong_kind(path: str | Path, wanted: str, instead: str) -> MiteError:
    """Builds the error for a path at which something else lies than was asked for.

    Args:
        path: What was given.
        wanted: What it is not, as in "no run folder".
        instead: What to do where nothing can be done with what is there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     error = wrong_kind(folder, "no run folder", "Train one with `mite train`.")
        >>> str(error).removeprefix(folder)
        ': is an empty folder, no run folder. Train one with `mite train`.'
    """
    found = recognize(path)
    return MiteError(f"{path}: is {found.what}, {wanted}. {found.use or instead}")


def _made_here(folder: Path) -> Found | None:
    """A run, an export, a study, embeddings or an index."""
    if (folder / "run.json").is_file() and (folder / "config.toml").is_file():
        export = f"`mite export {folder} --out DIR` makes an export of it"
        return Found("run", "a run folder", f"`mite evaluate` and `mite search` take it; {export}.")
    if _says(folder / "manifest.json", b'"mite_tf_export"'):
        use = "`mite verify` and `mite serve` take it; evaluate and search with its run."
        return Found("export", "an export", use)
    if (folder / "study.json").is_file() and (folder / "config.toml").is_file():
        return Found("study", "a study", f"Its runs are {folder}/runs/VARIANT/seed-K.")
    if _says(folder / "embeddings.json", b'"mite_tf_embeddings"'):
        use = f"`mite index {folder} --out INDEX` makes an index of them."
        return Found("embeddings", "a folder of embeddings", use)
    if (folder / "plan.parquet").is_file():
        use = "Give the same `mite embed` again to finish it."
        return Found("embeddings", "a folder of embeddings that is not complete", use)
    if _says(folder / "index.json", b'"mite_tf_index"') or _is_milvus(folder):
        return Found("index", "an index", "`mite search`, `mite filter` and `mite ui` take it.")
    return None


def _shelf(folder: Path) -> Found | None:
    """A folder that holds some of these."""
    inside = [str(each) for each in _entries(folder) if each.is_dir() and _made_here(each)]
    if not inside:
        return None
    return Found("shelf", f"a folder with {', '.join(inside[:5])} in it", "Name one of these.")


def _says(file: Path, name: bytes) -> bool:
    """Returns whether a file is there that holds a name of ours."""
    if not file.is_file():  # a pipe would be waited for
        return False
    with suppress(OSError), file.open("rb") as opened:
        return name in opened.read(1 << 16)
    return False


def _is_milvus(folder: Path) -> bool:
    return folder.suffix == ".db" and (folder / "collections").is_dir()


def _file(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix in _IMAGES:
        use = f"Search with it: `mite search RUN --data DATA --image {path}`."
        return Found("image", "an image file", use)
    if suffix == ".keras":
        return Found("model", "a Keras model", f"As a backbone: `--set backbone.name={path}`.")
    if suffix == ".toml":
        return Found("configuration", "a TOML file", f"As a configuration: `--config {path}`.")
    if suffix in _CAPTIONS:
        use = f"If it holds captions, train with `mite train {path} --run DIR` and name DIR."
        return Found("captions", f"a {suffix} file", use)
    return Found("file", "a file")


def _folder(path: Path) -> Found:
    entries = _entries(path)
    if not entries:
        return Found("empty", "an empty folder")
    deeper = (entry for each in entries if each.is_dir() for entry in _entries(each))
    if any(each.suffix.lower() in (*_IMAGES, *_CAPTIONS) for each in chain(entries, deeper)):
        use = f"If these are captioned, train with `mite train {path} --run DIR` and name DIR."
        return Found("data", "a folder of images or captions", use)
    return Found("folder", f"a folder of other things ({entries[0].name})")


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        visible = (each for each in folder.iterdir() if not each.name.startswith("."))
        return sorted(islice(visible, _ENTRIES))
    return []
