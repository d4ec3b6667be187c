"""A plain folder: `name.txt` holds the captions of `name.jpg`, one a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import IMAGE_SUFFIXES, read_text
from mite_tf.data.problem import Place
from mite_tf.data.splits import STANDARD, canonical_split


def find_pairs(path: Path) -> list[Path]:
    """Returns a folder below which an image has a text file beside it, else nothing."""
    if not path.is_dir():
        return []
    files = _walk(path, Collector(path), frozenset())
    return [path] if any(_is_image(file) and _text_of(file).is_file() for file in files) else []


def read_pairs(files: Sequence[Path], collector: Collector) -> None:
    """Reads images and the captions beside them; subfolders named after splits give the split."""
    (base,) = files
    found = list(_walk(base, collector, frozenset()))
    images = [file for file in found if _is_image(file)]
    for image in images:
        relative = image.relative_to(base)
        parts = (canonical_split(part) for part in relative.parts[:-1])
        split = next((part for part in parts if part in STANDARD), None)
        text = _text_of(image)
        collector.image(relative.as_posix(), Place(str(image)), split)
        if text.is_file():
            for number, line in read_text(text, collector).good():
                collector.caption(relative.as_posix(), line, Place(str(text), number), split)
    expected = {_text_of(image) for image in images}
    for file in found:
        if file.suffix.lower() == ".txt" and file not in expected:
            message = "holds no captions that are used: no image of that name lies beside it"
            collector.report("captions-without-image", message, Place(str(file)))


def _walk(folder: Path, collector: Collector, above: frozenset[Path]) -> Iterator[Path]:
    """Yields files, and folders that are named like images, leaving out hidden ones."""
    above |= {folder.resolve()}
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        message = f"cannot be listed: {error.strerror}"
        collector.report("unreadable-file", message, Place(str(folder)))
        return
    for entry in entries:
        if not entry.is_dir() or _is_image(entry):
            yield entry
        elif entry.resolve() in above:
            message = "is a symbolic link to a folder that holds it; not followed"
            collector.report("symlink-loop", message, Place(str(entry)))
        else:
            yield from _walk(entry, collector, above)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _text_of(image: Path) -> Path:
    return image.with_suffix(".txt")
