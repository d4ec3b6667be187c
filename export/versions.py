"""Publishing: a version of an export is there whole or not at all, whoever is killed when.

The first export into a folder is plain files. A second one makes each of them a link through
`current`, which leads into `versions`; one rename of `current` then changes all of them. Folders
that containers mount alone, `savedmodel` and `tf_serving`, hold no links.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from mite_tf.errors import MiteError
from mite_tf.export.manifest import (
    CURRENT,
    MANIFEST,
    SETTINGS,
    VERSIONS,
    read_manifest,
    read_version,
)
from mite_tf.export.schema import GREATEST_VERSION
from mite_tf.files import locked, writing
from mite_tf.recognition import recognize

_SAVEDMODELS = "savedmodel"
_LOCK = "export-lock"
# Folders of an export in the making, beside the folder that is to be or in it.
_WORK = re.compile(r"export-[0-9a-f]{16}")
# What lies on a disk of its own from the beginning.
_OF_DISKS = "lost+found"


class Draft(NamedTuple):
    """A folder to write a version of an export into, and the number of that version."""

    folder: Path
    version: int


@contextmanager
def published_when_whole(
    folder: str | Path, *, say: Callable[[str], object] = lambda _: None
) -> Iterator[Draft]:
    """Gives a folder to write an export into, and publishes it when the block succeeds.

    Older versions of the SavedModels stay beside the new one, and of all other files the version
    before. When the block fails, `folder` is left as it was. What killed exports left is removed.

    Args:
        folder: Folder for the export.
        say: Is told when another export is written there, which is waited for.

    Raises:
        OSError: If the folder cannot be written.
        MiteError: If the folder holds something else than an export, or is on a file system that
            cannot hold a second one.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise MiteError(f"{folder}: is a file. Name a folder for the export.")
    beside = folder.parent / f".{folder.name}."
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        with writing(folder, draft=beside), _alone(folder, beside, say):
            inside = folder.exists()
            place, prefix = (folder, ".") if inside else (folder.parent, beside.name)
            _sweep(place, prefix)
            number = _next_version(folder)
            work = place / f"{prefix}export-{secrets.token_hex(8)}"
            with writing(folder, draft=work):
                work.mkdir()
                try:
                    draft = work / "export" if inside else work
                    draft.mkdir(exist_ok=True)
                    if (folder / MANIFEST).exists():
                        _refuse_without_links(folder, work)
                    yield Draft(draft, number)
                    if (folder / MANIFEST).exists():
                        _renew(folder, draft, work, number)
                    elif inside:
                        _fill(folder, draft)
                    else:
                        draft.rename(folder)
                finally:
                    shutil.rmtree(work, ignore_errors=True)
    finally:
        for parent in made:
            with suppress(OSError):  # holds the export
                parent.rmdir()


@contextmanager
def _alone(folder: Path, beside: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Holds the lock of a folder; beside it while it is not there."""

    def busy() -> None:
        say(f"Another export is written into {folder}; waiting until it is done.")

    def leave() -> NoReturn:
        raise BlockingIOError

    outer = beside.with_name(f"{beside.name}{_LOCK}")
    with ExitStack() as held:
        if not folder.exists():
            if not folder.parent.exists():
                folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(outer, busy=busy))
        elif outer.exists():  # of one that made the folder, and perhaps was killed then
            with suppress(OSError), locked(outer, busy=leave):
                _sweep(folder.parent, beside.name)
        if folder.exists():  # now
            held.enter_context(locked(folder / f".{_LOCK}", busy=busy))
        yield


def _sweep(place: Path, prefix: str) -> None:
    """Removes what killed exports have left; under the lock none of them is alive."""
    with suppress(PermissionError):  # to list it
        for path in list(place.iterdir()):
            if path.name.startswith(prefix) and _WORK.fullmatch(path.name[len(prefix) :]):
                if (path / "export").is_dir():
                    _take_back(place, path / "export")
                shutil.rmtree(path, ignore_errors=True)


def _next_version(folder: Path) -> int:
    """One more than the highest version that anybody may have seen in a folder."""
    seen = [0]
    if (folder / MANIFEST).exists():
        seen.append(read_manifest(folder).version)
    elif folder.is_dir() and any(
        not path.name.startswith(".") and path.name != _OF_DISKS for path in folder.iterdir()
    ):
        raise MiteError(
            f"{folder}: is not empty and holds no export: it is {recognize(folder).what}. "
            "Name another folder."
        )
    seen += [_number(path) for path in _numbered(folder)]
    if max(seen) >= GREATEST_VERSION:
        raise MiteError(f"{folder}: no version comes after {max(seen)}. Name another folder.")
    return max(seen) + 1


def _numbered(folder: Path) -> list[Path]:
    """Folders of versions: SavedModels, and all other files."""
    patterns = (f"{_SAVEDMODELS}/*/*", f"{VERSIONS}/*")
    paths = [path for pattern in patterns for path in folder.glob(pattern)]
    return [path for path in paths if _number(path)]


def _number(path: Path) -> int:
    name = path.name
    return int(name) if name.isascii() and name.isdecimal() and len(name) < 20 else 0


def _fill(folder: Path, draft: Path) -> None:
    """Moves a first export into a folder that is there, such as a disk; the manifest last."""
    try:
        for path in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST):
            path.rename(folder / path.name)
    except BaseException:
        _take_back(folder, draft)
        raise


def _take_back(folder: Path, draft: Path) -> None:
    """Removes what `_fill` has moved, unless it moved all; the manifest names what there was."""
    if (folder / MANIFEST).exists() or not (draft / MANIFEST).exists():
        return
    with suppress(MiteError):
        for first in {PurePosixPath(name).parts[0] for name in read_manifest(draft).files}:
            if not (draft / first).exists():
                _remove(folder / first)


def _renew(folder: Path, draft: Path, work: Path, number: int) -> None:
    """Publishes a version beside another one. Each step leaves a whole version, the old or new."""
    old = _linked(folder, work)
    made = folder / VERSIONS / str(number)
    moved = []
    names = [name for name in _files(draft) if not name.startswith(f"{_SAVEDMODELS}/")]
    try:
        for path in sorted((draft / _SAVEDMODELS).glob("*/*")):
            target = folder / path.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
            moved.append(target)
        shutil.rmtree(draft / _SAVEDMODELS, ignore_errors=True)
        draft.rename(made)
        moved.append(made)
        for name in names:  # those that are new lead nowhere yet
            _link(folder, name, work)
        _place_link(folder / CURRENT, f"{VERSIONS}/{number}", work)
    except BaseException:
        if read_manifest(folder).version != number:
            for path in moved:
                _discard(path, work)
        raise
    _tidy(folder, old, number, work)


def _linked(folder: Path, work: Path) -> int:
    """Makes links through `current` of a plain export's files; returns the version."""
    version = read_version(folder)
    number = version.manifest.version
    names = [MANIFEST, *version.manifest.files]
    names = [name for name in names if not name.startswith(f"{_SAVEDMODELS}/")]
    target, current = folder / VERSIONS / str(number), folder / CURRENT
    if version.root != target:
        for name in names:
            source, copy = version.path(name), work / "old" / name
            if source.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                _copy(source, copy)
        # Nobody reads these: they are of a killed export, or of a copy that has followed links.
        for path in (target, current):
            _discard(path, work)
        target.parent.mkdir(exist_ok=True)
        (work / "old").rename(target)
        _place_link(current, f"{VERSIONS}/{number}", work)
    for name in names:
        if (target / name).exists():
            _link(folder, name, work)
    return number


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or another user's file
        shutil.copy2(source, target)


def _link(folder: Path, name: str, work: Path) -> None:
    """Puts a link through `current` in the place of a file, in one step."""
    if name.startswith(f"{SETTINGS}/"):
        return
    path, leads_to = folder / name, f"{'../' * name.count('/')}{CURRENT}/{name}"
    if path.is_symlink() and path.readlink() == Path(leads_to):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _place_link(path, leads_to, work)


def _place_link(path: Path, leads_to: str, work: Path) -> None:
    link = work / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(leads_to)
    link.replace(path)


def _refuse_without_links(folder: Path, work: Path) -> None:
    try:
        _place_link(work / "tried", MANIFEST, work)
    except (OSError, NotImplementedError) as error:
        raise MiteError(
            f"{folder}: its file system has no symbolic links, which a second export into a folder "
            "needs. Export into a new folder."
        ) from error


def _tidy(folder: Path, old: int, number: int, work: Path) -> None:
    """Removes what belongs to neither the new version nor the one before, and renews settings."""
    for path in _numbered(folder):
        other = _number(path) not in (old, number)
        # SavedModels of older versions stay; newer ones are of killed exports, or were taken back.
        if other and (path.parent == folder / VERSIONS or old < _number(path)):
            _discard(path, work)
    before, now = (folder / VERSIONS / str(each) / SETTINGS for each in (old, number))
    for file in now.glob("*"):
        target = folder / SETTINGS / file.name
        if not target.is_file() or target.read_bytes() != file.read_bytes():
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, work / file.name)
            (work / file.name).replace(target)
    gone = [
        f"{SETTINGS}/{file.name}" for file in before.glob("*") if not (now / file.name).exists()
    ]
    for name in (*gone, *(name for name in _files(folder) if _led(folder / name))):
        (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # holds more
            for parent in PurePosixPath(name).parents[:-1]:
                (folder / parent).rmdir()


def _led(path: Path) -> bool:
    """Whether this is a link to what the current version does not have."""
    return path.is_symlink() and not path.exists() and CURRENT in path.readlink().parts


def _files(folder: Path) -> list[str]:
    """Relative names of files and links, but those of other versions and SavedModels."""
    found = []
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = [n for n in folders if n not in (VERSIONS, CURRENT) and n[0] != "."]
        found += [(Path(parent) / name).relative_to(folder).as_posix() for name in files]
    return sorted(found)


def _discard(path: Path, work: Path) -> None:
    """Takes something away in one step, and removes it."""
    if os.path.lexists(path):
        away = work / secrets.token_hex(8)
        path.rename(away)
        _remove(away)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
