"""COCO captions: `captions_train2017.json`, `captions_val2017.json` and folders of images."""

from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.check_problem import Place, quote
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.image_folder import best_folder
from mite_tf.data.formats.splits import split_in_name
from mite_tf.data.formats.text import read_json


def find_annotations(path: Path) -> list[Path]:
    """Finds `captions_*.json` in a folder or in its `annotations`.

    Args:
        path: Folder, or a JSON file, which is looked into when its name does not tell.

    Returns:
        The files.
    """
    if path.is_dir():
        return sorted([*path.glob("captions_*.json"), *path.glob("annotations/captions_*.json")])
    if path.suffix.lower() != ".json":
        return []
    named = path.name.startswith("captions_")
    return [path] if named or b'"caption"' in path.read_bytes() else []


def read_annotations(files: Sequence[Path], gathering: Gathering) -> None:
    """Reads `images[]` (`id`, `file_name`) and `annotations[]` (`image_id`, `caption`).

    The file's name gives the split (train is train, val is dev) and the folder of its images.

    Args:
        files: JSON files.
        gathering: Told of every caption and problem.
    """
    for file in files:
        document = read_json(file, gathering)
        if document is None:
            continue
        images = document.get("images") if isinstance(document, dict) else None
        annotations = document.get("annotations") if isinstance(document, dict) else None
        if isinstance(images, list) and isinstance(annotations, list):
            _read_document(file, images, annotations, gathering)
        else:
            message = "is no COCO file: expected an object with lists `images` and `annotations`"
            gathering.report("malformed-row", message, Place(str(file)))


def _read_document(
    file: Path, images: list[object], annotations: list[object], gathering: Gathering
) -> None:
    where = Place(str(file))
    split = split_in_name(file.stem)
    names: dict[object, str] = {}
    for number, image in enumerate(images):
        match image:
            case {"id": int() | str() as key, "file_name": str() as name}:
                names[key] = name
            case _:
                message = f"images[{number}] has no `id` and `file_name`: {quote(repr(image))}"
                gathering.report("malformed-row", message, where)
    prefix = _image_folder(file, list(names.values()), gathering)
    for name in names.values():
        gathering.image(f"{prefix}{name}", where, split)
    for number, annotation in enumerate(annotations):
        match annotation:
            case {"image_id": int() | str() as key, "caption": caption} if key in names:
                gathering.caption(f"{prefix}{names[key]}", caption, where)
            case {"image_id": key, "caption": _}:
                message = f"annotations[{number}] is for image {key!r}, which `images` lacks"
                gathering.report("malformed-row", message, where)
            case _:
                found = quote(repr(annotation))
                message = f"annotations[{number}] has no `image_id` and `caption`: {found}"
                gathering.report("malformed-row", message, where)


def _image_folder(file: Path, names: list[str], gathering: Gathering) -> str:
    root = gathering.root or gathering.base
    own = file.stem.removeprefix("captions_")
    folder = best_folder(
        [root / own, root / "images" / own, root / "images", root / "Images", root], names
    )
    return "" if folder == root else f"{folder.relative_to(root).as_posix()}/"


COCO = Format(
    name="coco",
    looks_for="captions_*.json, also in annotations/, with images[] and annotations[].caption",
    find=find_annotations,
    read=read_annotations,
)
