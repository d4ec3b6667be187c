"""Finding the folder that holds the images of a corpus."""

from collections.abc import Iterable, Sequence
from pathlib import Path

_DECODED = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"}
_TOLD = {".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".tif", ".tiff"}  # found, then refused
IMAGE_SUFFIXES = frozenset(_DECODED | _TOLD)

_USUAL = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images")
_SAMPLE = 16


def find_image_folder(base: Path, names: Sequence[str]) -> Path:
    """Finds the folder below `base` that holds the named images.

    Tries `base` itself, then the folders in which the known corpora come, then every other
    subfolder; a sample of the names decides.

    Args:
        base: Folder to look in.
        names: Image paths relative to the folder that is looked for.

    Returns:
        The folder that holds most of the sample; `base` if none holds any.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as base:
        ...     (Path(base) / "photos").mkdir()
        ...     (Path(base) / "photos" / "a.jpg").touch()
        ...     find_image_folder(Path(base), ["a.jpg"]).name
        'photos'
    """
    try:
        others = sorted(folder for folder in base.iterdir() if folder.is_dir())
    except OSError:
        others = []
    return best_folder([base, *(base / name for name in _USUAL), *others], names)


def best_folder(folders: Iterable[Path], names: Sequence[str]) -> Path:
    """Chooses the folder that holds most of the named files, the first of equals.

    Args:
        folders: Candidates, at least one.
        names: Paths relative to the folder; a sample of them is looked up.

    Returns:
        One of `folders`.

    Example:
        >>> best_folder([Path("no/such/place"), Path("nor/here")], ["a.jpg"]).as_posix()
        'no/such/place'
    """
    sample = names[:: max(1, len(names) // _SAMPLE)]
    return max(folders, key=lambda folder: sum(_exists(folder / name) for name in sample))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system
        return False
