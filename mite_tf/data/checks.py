"""Checking a corpus before training: every image decoded, every problem told with its place."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from rich.console import Console
from rich.progress import track

from mite_tf.data.captioned_images import CaptionedImage, CaptionedImages
from mite_tf.data.check_images import MAX_PIXELS, Inspection, inspect_image, quiet_pillow
from mite_tf.data.check_problem import Problem
from mite_tf.data.check_report import CheckReport
from mite_tf.data.formats.splits import split_rank
from mite_tf.data.readers import read


def check(
    source: CaptionedImages | str | os.PathLike[str],
    *,
    format: str | None = None,
    root: str | os.PathLike[str] | None = None,
    images: bool = True,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    progress: bool = True,
) -> CheckReport:
    r"""Find what would break or spoil a training, in the captions and in the images.

    Args:
        source: A table, or a path as `mite_tf.data.read` takes it.
        format: Format of the captions at a path; chosen by looking when `None`.
        root: Folder that image paths are relative to; found by looking when `None`.
        images: Whether to decode every image whole; else files are only looked up, and images
            of the same content are not found.
        workers: Threads that decode.
        max_pixels: Width times height above which an image is an error, judged by its header.
        progress: Whether to show a progress bar, on standard error if that is a terminal.

    Returns:
        The problems of reading and of the images, and the table without what has errors. Where
        the same content is in two splits, it is left in the one that must stay unseen (test
        before dev before train).

    Raises:
        MiteError: The path cannot be read at all; see `mite_tf.data.read`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8), "red").save(Path(folder) / "red.png")
        ...     (Path(folder) / "broken.png").touch()
        ...     rows = "image,caption\nred.png,All red.\nbroken.png,Nothing.\n"
        ...     _ = (Path(folder) / "captions.csv").write_text(rows)
        ...     report = check(folder)
        >>> report.table.image_ids, [problem.message for problem in report.errors]
        (['red.png'], ['broken.png is empty: 0 bytes'])
    """
    if isinstance(source, CaptionedImages):
        table = source
    else:
        table = read(source, format=format, root=root)
    inspections = _inspect_all(table, images, workers, max_pixels, progress)
    problems = list(table.problems)
    for row, inspection in zip(table, inspections, strict=True):
        for fault in inspection.faults:
            message = f"{row.image} {fault.message}"
            problems.append(Problem(fault.kind, message, row.where, row.image))
    problems += _find_twins(table.rows, [inspection.digest for inspection in inspections])
    broken = {problem.image for problem in problems[len(table.problems) :] if _is_error(problem)}
    rows = tuple(row for row in table if row.image not in broken)
    return CheckReport(replace(table, rows=rows, problems=()), tuple(problems), images=len(table))


def _inspect_all(
    table: CaptionedImages, decode: bool, workers: int, max_pixels: int, progress: bool
) -> list[Inspection]:
    console = Console(stderr=True)
    inspect = partial(inspect_image, decode=decode, max_pixels=max_pixels)
    pool = ThreadPoolExecutor(workers)
    with quiet_pillow():
        try:
            inspections = track(
                pool.map(inspect, table.paths),
                description="Checking images",
                total=len(table),
                console=console,
                transient=True,
                disable=not (progress and console.is_terminal),
            )
            return list(inspections)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest


def _find_twins(
    rows: Sequence[CaptionedImage], digests: Sequence[bytes | None]
) -> Iterator[Problem]:
    """Yields a problem for every image but the kept one among those of the same bytes."""
    groups = defaultdict(list)
    for row, digest in zip(rows, digests, strict=True):
        if digest is not None:
            groups[digest].append(row)
    for twins in groups.values():
        kept = max(twins, key=lambda row: split_rank(row.split))
        for row in twins:
            if row.split != kept.split:
                message = f"{row.image} ({row.split}) has the same content as {kept.image} "
                message += f"({kept.split}): an image must be in one split only"
                yield Problem("content-in-two-splits", message, row.where, row.image)
            elif row is not kept:
                message = f"{row.image} has the same content as {kept.image}: make them one row"
                yield Problem("identical-images", message, row.where, row.image)


def _is_error(problem: Problem) -> bool:
    return problem.severity == "error"
