"""Images that have no captions, and captions that have no image: found, checked, kept unseen."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.check_images import quiet_pillow
from mite_tf.data.checks import inspect_images, refuse
from mite_tf.data.collector import Collector
from mite_tf.data.formats.folder import find_images
from mite_tf.data.formats.source_files import read_text
from mite_tf.data.problem import Place, Problem, counted
from mite_tf.errors import MiteError
from mite_tf.image_files import rgb_of
from mite_tf.orientation import orientation_of, upright
from mite_tf.progress import say
from mite_tf.recognition import wrong_kind
from mite_tf.text import split_words

# Thumbnails differ by less, in 0-255, if they are of one picture: root mean square, and anywhere.
# In Flickr8k, copies at half the size or as JPEGs of quality 50 are within 2 and 15 of their
# picture, and other pictures are 18 or more apart. Rendered scenes may be within 2, and are then
# 24 apart somewhere but for one pair in 10.
_SAME_MEAN, _SAME_ANYWHERE = 4.0, 16.0
_SIDE = 16
_BLOCK = 256  # thumbnails compared at a time
_TABLES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson"}


@dataclass(frozen=True)
class Unpaired:
    """Images that have no captions, and captions that have no image.

    Args:
        image_ids: Paths of the images relative to `root`, written with `/`.
        root: Folder of the images.
        captions: The captions.
        sources: What was read, as absolute paths: `images`, a folder, and `captions`, a file.
        left_out: How many `images` and `captions` were left out for being in dev or test.

    Example:
        >>> Unpaired(captions=("a dog", "a cat")).counts
        {'images': 0, 'captions': 2}
    """

    image_ids: tuple[str, ...] = ()
    root: Path = Path()
    captions: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    left_out: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def paths(self) -> list[Path]:
        """Path of each image, `root` included."""
        return [self.root / image for image in self.image_ids]

    @property
    def counts(self) -> dict[str, int]:
        """Number of `images` and of `captions`."""
        return {"images": len(self.image_ids), "captions": len(self.captions)}

    def fingerprint(self) -> str:
        """Returns the SHA-256 of image ids and captions, in order, in hexadecimal."""
        return hashlib.sha256(json.dumps([self.image_ids, self.captions]).encode()).hexdigest()


def read_unpaired(
    images: str | Path | None,
    captions: str | Path | None,
    table: CaptionedImages,
    *,
    features_of: Callable[[Sequence[str]], np.ndarray] | None = None,
    skip_bad: bool = False,
    quiet: bool = False,
) -> Unpaired:
    r"""Reads a folder of images and a file of captions, which have nothing to do with each other.

    What is in the splits dev or test of a table too is left out: a picture that looks the same,
    whatever its file, and a caption of the same words.

    Args:
        images: Folder with images, at any depth.
        captions: UTF-8 text file, one caption a line.
        table: The captioned images that they come beside.
        features_of: Gives the features of images by id, where there may be no image files.
        skip_bad: Whether to leave out what is broken; otherwise it is an error.
        quiet: Whether to print nothing.

    Raises:
        MiteError: If folder or file are none, hold something broken, or nothing is left of one.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "more.txt")
        >>> _ = file.write_text("A dog runs.\nA cat sleeps.\n")
        >>> dev = CaptionedImages.from_lists(["a.jpg"], ["a cat sleeps"], ["dev"])
        >>> read_unpaired(None, file, dev, quiet=True).captions
        ('A dog runs.',)
    """
    folder, file = (None if path is None else Path(path) for path in (images, captions))
    ids, problems = ([], []) if folder is None else _images_in(folder, features_of is None, quiet)
    texts, more = ([], []) if file is None else _captions_in(file)
    errors = [each for each in problems + more if each.severity == "error"]
    if not skip_bad:
        advice = "Mend them, or train without them with skip_bad=True (--skip-bad)."
        refuse(errors, "the unpaired data", advice)
    elif errors and not quiet:
        left = counted(len(errors), "error")
        say(f"skip_bad (--skip-bad): {left} in the unpaired data, left out: {errors[0]}")
    unseen = tuple(row for row in table if row.split in ("dev", "test"))
    held = replace(table, rows=unseen)
    kept_ids = _unlike(ids, folder or Path(), held, features_of)
    known = {_words(caption) for caption in held.captions}
    kept_texts = [text for text in texts if _words(text) not in known]
    found = Unpaired(
        tuple(kept_ids),
        folder or Path(),
        tuple(kept_texts),
        sources={
            name: str(path.resolve())
            for name, path in (("images", folder), ("captions", file))
            if path is not None
        },
        left_out={"images": len(ids) - len(kept_ids), "captions": len(texts) - len(kept_texts)},
    )
    for path, what, before in ((folder, "images", ids), (file, "captions", texts)):
        if path is not None and not found.counts[what]:
            why = "all are in dev or test too" if before else "none can be used"
            raise MiteError(f"{path}: holds no {what} to train on: {why}. Name others.")
        if found.left_out[what] and not quiet:
            count = f"{found.left_out[what]} of {len(before)}"
            say(f"{count} unpaired {what} are in dev or test too, and are left out.")
    return found


def _images_in(folder: Path, decoded: bool, quiet: bool) -> tuple[list[str], list[Problem]]:
    """Finds the images of a folder that can be used, and what is wrong with others."""
    if not folder.exists():
        raise MiteError(f"{folder} does not exist; give a folder of images.")
    if not folder.is_dir():
        raise wrong_kind(folder, "no folder of images", "Name the folder that holds them.")
    collector = Collector(folder)
    ids = find_images(folder, collector)
    problems = list(collector.problems)
    if not ids and not problems:
        raise wrong_kind(folder, "with no images in it", "Name a folder of images.")
    if decoded:
        paths = [folder / each for each in ids]
        usable = []
        for image, path, inspection in zip(
            ids, paths, inspect_images(paths, progress=not quiet), strict=True
        ):
            told = [Problem(each.kind, f"{path} {each.message}") for each in inspection.faults]
            problems += told
            if all(problem.severity != "error" for problem in told):
                usable.append(image)
        ids = usable
    return ids, problems


def _captions_in(file: Path) -> tuple[list[str], list[Problem]]:
    """Reads the captions of a file that can be used, and what is wrong with other lines."""
    asked = "give a text file with one caption a line"
    if not file.exists():
        raise MiteError(f"{file} does not exist; {asked}.")
    if file.is_dir() or file.suffix.lower() in _TABLES:
        what = "a folder" if file.is_dir() else f"a {file.suffix} file"
        raise MiteError(f"{file}: is {what}, which is not read as unpaired captions; {asked}.")
    collector = Collector(file.parent, root=file.parent)
    for number, line in read_text(file, collector).good():
        collector.caption(file.name, line, Place(str(file), number))
    table = CaptionedImages.from_collector(collector, "captions")
    return table.captions, list(table.problems)


def _unlike(
    ids: Sequence[str],
    root: Path,
    table: CaptionedImages,
    features_of: Callable[[Sequence[str]], np.ndarray] | None,
) -> list[str]:
    """Returns the images that no image of a table looks like, or has the features of."""
    if not ids or not len(table):
        return list(ids)
    if features_of is not None:
        known = set()
        for split in table.splits:
            with suppress(MiteError):  # nobody needs the features of test
                of_split = features_of(table.split(split).image_ids)
                known |= {features.tobytes() for features in of_split}
        seen = [features.tobytes() in known for features in features_of(ids)]
    else:
        with quiet_pillow():
            theirs = np.stack([_thumbnail(path) for path in table.paths])
            ours = np.stack([_thumbnail(root / each) for each in ids])
        seen = list(_alike(ours, theirs))
    return [image for image, same in zip(ids, seen, strict=True) if not same]


def _alike(ours: np.ndarray, theirs: np.ndarray) -> Iterator[bool]:
    """Yields for each thumbnail whether one of the others is of the same picture."""
    squares = np.square(theirs).sum(axis=1)
    for start in range(0, len(ours), _BLOCK):
        block = ours[start : start + _BLOCK]
        distances = np.square(block).sum(axis=1)[:, None] - 2 * block @ theirs.T + squares
        for thumbnail, near in zip(block, distances < block.shape[1] * _SAME_MEAN**2, strict=True):
            yield bool((np.abs(theirs[near] - thumbnail).max(axis=1) <= _SAME_ANYWHERE).any())


def _thumbnail(path: Path) -> np.ndarray:
    """Returns a picture made very small and turned upright, float32 of one dimension."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (4 * _SIDE, 4 * _SIDE))  # lets JPEG decode fewer pixels
        small = rgb_of(opened).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return upright(np.asarray(small, np.float32), orientation_of(data)).ravel()


def _words(caption: str) -> tuple[str, ...]:
    """Returns the words of a caption; marks and signs count only where there is nothing else."""
    words = split_words(caption)
    return tuple(word for word in words if any(map(str.isalnum, word))) or words
