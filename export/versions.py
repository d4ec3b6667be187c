"""Folders that appear whole: a server that polls never sees half an export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST, read_manifest

SERVABLES = ("image", "text")


def next_version(folder: str | Path) -> int:
    """Returns one more than the highest version of the SavedModels in an export folder.

    Raises:
        MiteError: If the folder holds something else than an export.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise MiteError(f"{folder}: is a file. Name a folder for the export.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MANIFEST).exists():
            raise MiteError(f"{folder}: is not empty and holds no export. Name another folder.")
        read_manifest(folder)  # refuses what another version wrote
    versions = (path.name for path in (folder / "savedmodel").glob("*/*") if path.is_dir())
    return max((int(name) for name in versions if name.isdigit()), default=0) + 1


@contextmanager
def published_when_whole(folder: str | Path) -> Iterator[Path]:
    """Gives a folder to write an export into, and moves it into place when the block succeeds.

    Older versions of the SavedModels stay beside the new one. When the block fails, `folder` is
    left as it was.

    Args:
        folder: Where the export is to be.
    """
    folder = Path(folder)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        if not folder.exists():
            staging.replace(folder)
        else:
            _renew(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _renew(folder: Path, staging: Path) -> None:
    """Moves a new export over an old one, each SavedModel in one step, the manifest last."""
    old = read_manifest(folder)
    for servable in SERVABLES:
        for version in (staging / "savedmodel" / servable).glob("*"):
            target = folder / "savedmodel" / servable
            target.mkdir(parents=True, exist_ok=True)
            version.replace(target / version.name)
    shutil.rmtree(staging / "savedmodel", ignore_errors=True)
    new = sorted(staging.iterdir(), key=lambda path: path.name == MANIFEST)
    for name in {Path(file).parts[0] for file in old.files} - {"savedmodel"}:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    for path in new:
        path.replace(folder / path.name)
