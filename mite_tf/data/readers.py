"""Reading captioned images, whatever way they are written down."""

import os
from itertools import islice
from pathlib import Path

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.formats.coco import COCO
from mite_tf.data.formats.flickr import FLICKR
from mite_tf.data.formats.folder import FOLDER
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.json_lines import JSONL
from mite_tf.data.formats.karpathy import KARPATHY
from mite_tf.data.formats.tables import CSV, TSV
from mite_tf.errors import MiteError

FORMATS = {format.name: format for format in (FLICKR, KARPATHY, COCO, CSV, TSV, JSONL, FOLDER)}


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> CaptionedImages:
    r"""Read the captions and splits of a corpus; opens no image.

    A row that cannot be used never raises: it is left out, and told with its file and line in
    the table's `problems`.

    Args:
        path: Folder of the corpus, or the file that holds its captions.
        format: `"flickr"`, `"karpathy"`, `"coco"`, `"csv"`, `"tsv"`, `"jsonl"` or `"folder"`;
            chosen by what lies at `path` when `None`. The last, text files beside images, is
            considered only where nothing else fits.
        root: Folder that image paths are relative to; found by looking below `path` when `None`.

    Returns:
        The usable rows. Where the source has no splits at all, each image gets one by hash of
        its id: 80 % train, 10 % dev, 10 % test.

    Raises:
        MiteError: `path` does not exist, `format` is unknown, or what lies at `path` fits none
            of the formats or more than one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = "image,caption,split\na.jpg,A dog runs.,train\na.jpg,Ein Hund.,train\n"
        ...     _ = (Path(folder) / "captions.csv").write_text(text)
        ...     read(folder).captions
        ['A dog runs.', 'Ein Hund.']
    """
    path = Path(path).expanduser()
    gathering = Gathering(_base(path), None if root is None else Path(root).expanduser())
    try:
        chosen, files = _choose(path, format)
        chosen.read(files, gathering)
    except OSError as error:
        raise MiteError(f"{error.filename} cannot be read: {error.strerror}.") from error
    return gathering.table(chosen.name)


def _choose(path: Path, name: str | None) -> tuple[Format, list[Path]]:
    if not path.exists():
        raise MiteError(f"{path} does not exist; give the folder or the caption file of a corpus.")
    if name is not None:
        if name not in FORMATS:
            raise MiteError(f"Unknown format {name!r}; known: {', '.join(FORMATS)}.")
        files = FORMATS[name].find(path)
        if path.is_file() and name != "folder":
            files = [path]
        if not files:
            raise MiteError(
                f"{path} holds no captions in the format {name}.\n"
                f"Looked for: {FORMATS[name].looks_for}.\n{_listing(path)}"
            )
        return FORMATS[name], files
    found = [
        (each, files)
        for each in FORMATS.values()
        if each is not FOLDER and (files := each.find(path))
    ]
    if not found and (files := FOLDER.find(path)):
        return FOLDER, files
    if not found:
        looked = "\n".join(f"  {each.name:<9} {each.looks_for}" for each in FORMATS.values())
        raise MiteError(
            f"Cannot tell how the captions in {path} are written.\nLooked for:\n{looked}\n"
            f"{_listing(path)}\nIf it is one of these, name it: format=... (--format ...)."
        )
    if len(found) > 1:
        told = ", ".join(f"{each.name} ({files[0].relative_to(path)})" for each, files in found)
        raise MiteError(
            f"{path} holds captions in {len(found)} formats: {told}. Choose one: "
            f"format={found[0][0].name!r} (--format {found[0][0].name})."
        )
    return found[0]


def _base(path: Path) -> Path:
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def _listing(path: Path) -> str:
    if path.is_file():
        return f"Found: the file {path.name}, {path.stat().st_size} bytes."
    names = sorted(entry.name + "/" * entry.is_dir() for entry in islice(path.iterdir(), 1000))
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"Found: {', '.join(names[:12]) or 'nothing, the folder is empty'}{more}."
