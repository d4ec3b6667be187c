"""Folders that appear whole: a server that polls never sees half an export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST, read_manifest
from mite_tf.files import writing
from mite_tf.recognition import recognize

SERVABLES = ("image", "text")


def next_version(folder: str | Path) -> int:
    """Returns one more than the highest version in an export folder.

    Raises:
        MiteError: If the folder holds something else than an export.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise MiteError(f"{folder}: is a file. Name a folder for the export.")
    version = 0
    if (folder / MANIFEST).exists():
        version = read_manifest(folder).version
    # Hidden files are what a killed export leaves.
    elif folder.is_dir() and not all(path.name.startswith(".") for path in folder.iterdir()):
        raise MiteError(
            f"{folder}: is not empty and holds no export: it is {recognize(folder).what}. "
            "Name another folder."
        )
    versions = (path.name for path in (folder / "savedmodel").glob("*/*") if path.is_dir())
    return max([version, *(int(name) for name in versions if name.isdigit())]) + 1


@contextmanager
def published_when_whole(folder: str | Path) -> Iterator[Path]:
    """Gives a folder to write an export into, and moves it into place when the block succeeds.

    Older versions of the SavedModels stay beside the new one. When the block fails, `folder` is
    left as it was.

    Raises:
        OSError: If the folder cannot be written.
        MiteError: If another export has come between.
    """
    folder = Path(folder)
    # Inside a folder that is there, for it may be a mounted disk of its own.
    place = folder if folder.exists() else folder.parent
    staging = place / f".{folder.name}.{os.getpid()}"
    made = [parent for parent in staging.parents if not parent.exists()]
    try:
        with writing(folder, draft=staging):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            yield staging
            if folder.exists():
                _renew(folder, staging)
            else:
                staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # holds the export
                parent.rmdir()


def _renew(folder: Path, staging: Path) -> None:
    """Moves a new export over an old one, each SavedModel and file in one step, the manifest last.

    A reader of other files than SavedModels knows by the manifest's hashes when it reads between.
    """
    old = set(read_manifest(folder).files) if (folder / MANIFEST).exists() else set()
    savedmodels = [path for name in SERVABLES for path in (staging / "savedmodel" / name).glob("*")]
    for path in savedmodels:
        target = folder / path.relative_to(staging)
        if target.exists():
            raise MiteError(f"{target}: another export wrote it meanwhile. Export again.")
    others = {staging / MANIFEST, *(file for path in savedmodels for file in path.rglob("*"))}
    files = [path for path in staging.rglob("*") if path.is_file() and path not in others]
    for path in [*savedmodels, *files]:
        target = folder / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    for name in old - {path.relative_to(staging).as_posix() for path in files}:
        if not name.startswith("savedmodel/"):
            (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # holds more
                for parent in PurePosixPath(name).parents[:-1]:
                    (folder / parent).rmdir()
    (staging / MANIFEST).replace(folder / MANIFEST)
