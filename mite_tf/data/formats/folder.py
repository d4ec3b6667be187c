"""A plain folder: `name.txt` holds the captions of `name.jpg`, one a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mite_tf.data.check_problem import Place
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.image_folder import IMAGE_SUFFIXES
from mite_tf.data.formats.splits import STANDARD, canonical_split
from mite_tf.data.formats.text import read_text


def find_pairs(path: Path) -> list[Path]:
    """Tells whether an image with a text file beside it lies somewhere below a folder.

    Args:
        path: Folder.

    Returns:
        The folder itself, or nothing.
    """
    if not path.is_dir():
        return []
    files = _walk(path, Gathering(path), frozenset())
    return [path] if any(_is_image(file) and _text_of(file).is_file() for file in files) else []


def read_pairs(files: Sequence[Path], gathering: Gathering) -> None:
    """Reads images and the captions beside them; a subfolder named after a split gives the split.

    Args:
        files: The folder alone.
        gathering: Told of every caption and problem.
    """
    (base,) = files
    found = list(_walk(base, gathering, frozenset()))
    images = [file for file in found if _is_image(file)]
    for image in images:
        relative = image.relative_to(base)
        parts = (canonical_split(part) for part in relative.parts[:-1])
        split = next((part for part in parts if part in STANDARD), None)
        text = _text_of(image)
        gathering.image(relative.as_posix(), Place(str(image)), split)
        if text.is_file():
            for number, line in read_text(text, gathering).good():
                gathering.caption(relative.as_posix(), line, Place(str(text), number), split)
    expected = {_text_of(image) for image in images}
    for file in found:
        if file.suffix.lower() == ".txt" and file not in expected:
            message = "holds no captions that are used: no image of that name lies beside it"
            gathering.report("captions-without-image", message, Place(str(file)))


def _walk(folder: Path, gathering: Gathering, above: frozenset[Path]) -> Iterator[Path]:
    """Yields files, and folders that are named like images, leaving out hidden ones."""
    above |= {folder.resolve()}
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        message = f"cannot be listed: {error.strerror}"
        gathering.report("unreadable-file", message, Place(str(folder)))
        return
    for entry in entries:
        if not entry.is_dir() or _is_image(entry):
            yield entry
        elif entry.resolve() in above:
            message = "is a symbolic link to a folder that holds it; not followed"
            gathering.report("symlink-loop", message, Place(str(entry)))
        else:
            yield from _walk(entry, gathering, above)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _text_of(image: Path) -> Path:
    return image.with_suffix(".txt")


FOLDER = Format(
    name="folder",
    looks_for="images with a text file of the same name beside each, one caption a line",
    find=find_pairs,
    read=read_pairs,
)
