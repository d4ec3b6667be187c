"""A plain folder: `name.txt` holds the captions of `name.jpg`, one a line."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import read_text, visible
from mite_tf.data.problem import Place
from mite_tf.data.splits import STANDARD, canonical_split
from mite_tf.image_headers import IMAGE_SUFFIXES


def find_pairs(path: Path) -> list[Path]:
    """Returns a folder below which an image has a text file beside it, else nothing."""
    if not path.is_dir():
        return []
    pairs = _pairs(path, Collector(path)).values()
    return [path] if any(images and texts for images, texts in pairs) else []


def read_pairs(files: Sequence[Path], collector: Collector) -> None:
    """Reads images and the captions beside them; subfolders named after splits give the split.

    The case of suffixes does not matter. Two images that share a text file are both left out.
    """
    (base,) = files
    pairs = _pairs(base, collector)
    for images, texts in pairs.values():
        if len(images) > 1 and texts:
            names = " and ".join(image.name for image in images)
            message = f"holds captions for {names}, which may be two pictures: rename or remove one"
            collector.report("colliding-keys", message, Place(str(texts[0])))
            continue
        for image in images:
            relative = image.relative_to(base)
            parts = (canonical_split(part) for part in relative.parts[:-1])
            split = next((part for part in parts if part in STANDARD), None)
            collector.image(relative.as_posix(), Place(str(image)), split)
            for text in texts:
                for number, line in read_text(text, collector).good():
                    collector.caption(relative.as_posix(), line, Place(str(text), number), split)
    for text in (text for images, texts in pairs.values() if not images for text in texts):
        message = "holds no captions that are used: no image of that name lies beside it"
        collector.report("captions-without-image", message, Place(str(text)))


def find_images(folder: Path, collector: Collector) -> list[str]:
    """Returns the images below a folder, at any depth, by their paths relative to it."""
    files = _walk(folder, collector, frozenset())
    images = (file for file in files if _is_image(file) and not file.is_dir())
    return [image.relative_to(folder).as_posix() for image in images]


def _pairs(folder: Path, collector: Collector) -> dict[Path, tuple[list[Path], list[Path]]]:
    """Returns the images and the text files of each name, which is a path without its suffix."""
    pairs: dict[Path, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for file in _walk(folder, collector, frozenset()):
        if _is_image(file):
            pairs[file.with_suffix("")][0].append(file)
        elif file.suffix.lower() == ".txt":
            pairs[file.with_suffix("")][1].append(file)
    # A folder named like an image is taken for one only where captions say so.
    for images, texts in pairs.values():
        if not texts or len(images) > 1:
            images[:] = [image for image in images if not image.is_dir()]
    return pairs


def _walk(folder: Path, collector: Collector, above: frozenset[Path]) -> Iterator[Path]:
    """Yields files, and folders that are named like images, leaving out hidden ones."""
    above |= {folder.resolve()}
    try:
        entries = visible(folder)
    except OSError as error:
        message = f"cannot be listed: {error.strerror}"
        collector.report("unreadable-file", message, Place(str(folder)))
        return
    for entry in entries:
        folder_too = entry.is_dir()
        if not folder_too or _is_image(entry):
            yield entry
        if not folder_too:
            continue
        if entry.resolve() in above:
            message = "is a symbolic link to a folder that holds it; not followed"
            collector.report("symlink-loop", message, Place(str(entry)))
        else:
            yield from _walk(entry, collector, above)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES
