"""The files of an export, read so that they are of one version."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest, read_manifest

# An export that is being renewed is whole again after this many seconds at the latest.
PATIENCE = 5.0


class Snapshot(NamedTuple):
    """Files of an export whose hashes are those of its manifest.

    Attributes:
        folder: The export, with symbolic links resolved.
        manifest: Its manifest.
        files: Contents by path relative to the folder.
    """

    folder: Path
    manifest: Manifest
    files: dict[str, bytes]


def read_snapshot(
    export: str | Path, names: Sequence[str], *, patience: float = PATIENCE
) -> Snapshot:
    """Reads files of an export, again and again until they are those that the manifest names.

    Another export into the same folder replaces one file after the other, so that for a moment
    some are new and some are old.

    Args:
        export: Export folder.
        names: Paths relative to it.
        patience: Seconds to go on trying.

    Raises:
        MiteError: If a file is missing, is not the one that was exported, or lies elsewhere.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _read(Path(export), names)
        except MiteError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)


def _read(export: Path, names: Sequence[str]) -> Snapshot:
    manifest = read_manifest(export)
    folder = export.resolve()
    files = {}
    for name in names:
        if name not in manifest.files:
            raise MiteError(f"{export}: holds no {name}. Export the run again, with that form.")
        path = inside(folder, name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != manifest.files[name]["sha256"]:
            raise MiteError(
                f"{path}: not the file that was exported. Copy the folder again, or export the "
                "run again."
            )
        files[name] = data
    return Snapshot(folder, manifest, files)


def inside(folder: Path, name: str) -> Path:
    """Returns a path within a folder, with symbolic links resolved.

    Args:
        folder: Folder, itself resolved.
        name: Relative path.

    Raises:
        MiteError: If it leads out of the folder.

    Example:
        >>> inside(Path("/exports/first"), "../second/manifest.json")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: /exports/first: ../second/manifest.json leads out of the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise MiteError(f"{folder}: {name} leads out of the folder.")
    return path
