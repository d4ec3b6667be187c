"""JSON: COCO's captions, Karpathy's data sets, and lines with an image and its captions each."""

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mite_tf.data.collector import Collector, held, is_blank
from mite_tf.data.formats.source_files import (
    Doubled,
    keys_of,
    parse_json,
    read_json,
    read_text,
    report_json,
    visible_files,
)
from mite_tf.data.problem import Place, shown
from mite_tf.data.splits import split_in_name

_OF_IMAGE = {"image", "split"}  # a line with no more than these says nothing of captions


def find_documents(
    path: Path, prefix: str, key: bytes, folders: Sequence[str] = ("",)
) -> list[Path]:
    """Finds files by the start of their names; a file that is itself given, also by a key in it."""

    def fits(file: Path) -> bool:
        return file.suffix.lower() == ".json" and file.name.lower().startswith(prefix)

    if path.is_dir():
        below = [path / folder for folder in folders if (path / folder).is_dir()]
        return [file for folder in below for file in visible_files(folder) if fits(file)]
    if path.suffix.lower() != ".json":
        return []
    return [path] if fits(path) or key in path.read_bytes() else []


def read_coco(files: Sequence[Path], collector: Collector) -> None:
    """Reads `images[]` (`id`, `file_name`) and `annotations[]` (`image_id`, `caption`).

    The file's name gives the split (train is train, val is dev). An image lies at its `file_name`,
    or there in the folder that is named like the file, where such images are found.
    """
    for file in files:
        match read_json(file, collector):
            case Doubled(told=told):
                collector.report("colliding-keys", told, Place(str(file)))
            case {"images": list() as images, "annotations": list() as annotations}:
                _read_coco(file, images, annotations, collector)
            case document if document is not None:
                message = "is no COCO file: expected an object with the lists `images` and "
                message += f"`annotations`, found {keys_of(document)}"
                collector.report("malformed-row", message, Place(str(file)))


def _read_coco(file: Path, images: list[Any], annotations: list[Any], collector: Collector) -> None:
    names, colliding = _read_coco_images(file, images, collector)
    root, own = collector.root or collector.base, file.stem.removeprefix("captions_")
    below = [(folder / own).relative_to(root).as_posix() for folder in collector.folders()]
    placed = _place(list(names.values()), root, ["", *below, "images", "Images"])
    image_of = dict(zip(names, placed, strict=True))
    for number, image in enumerate(images):
        if isinstance(image, dict) and _key(image, "id") in names:
            where = Place(str(file), entry=f"images[{number}]")
            collector.image(image_of[image["id"]], where, split_in_name(file.stem))
    where = Place(str(file))
    ids: dict[object, str] = {}
    for number, annotation in enumerate(annotations):
        label = f"annotations[{number}]"
        match annotation:
            case Doubled(told=told):
                collector.report("colliding-keys", f"{label}: {told}", where)
            case {"image_id": int() | str() as key, "caption": caption} if key in image_of:
                _tell_again(ids, label, "id", annotation, where, collector)
                collector.caption(image_of[key], caption, Place(str(file), entry=label))
            case {"image_id": int() | str() as key, "caption": _} if key in colliding:
                pass  # told with the image
            case {"image_id": key, "caption": _}:
                message = f"{label} is for image {key!r}, which `images` lacks"
                collector.report("malformed-row", message, where)
            case _:
                message = f"{label} has no `image_id` and `caption`: {shown(annotation)}"
                collector.report("malformed-row", message, where)


def _read_coco_images(
    file: Path, images: list[Any], collector: Collector
) -> tuple[dict[object, str], set[object]]:
    """Returns the file name of each id, and the ids that stand for several images."""
    where = Place(str(file))
    ids: dict[object, int] = {}
    names: dict[str, int] = {}
    colliding: set[object] = set()
    for number, image in enumerate(images):
        label = f"images[{number}]"
        match image:
            case Doubled(told=told):
                collector.report("colliding-keys", f"{label}: {told}", where)
            case {"id": int() | str() as key, "file_name": str() as name}:
                if (first := ids.setdefault(key, number)) != number:
                    both = f"{label} and images[{first}] both have the id {key!r}"
                    if (other := images[first]["file_name"]) == name:
                        collector.report("repeated-key", f"{both} and are {name}", where, name)
                    else:
                        message = f"{both}: {name} and {other}; neither is read"
                        collector.report("colliding-keys", message, where, name)
                        colliding.add(key)
                elif (first := names.setdefault(name, number)) != number:
                    message = f"{label} and images[{first}], ids {key!r} and "
                    message += f"{images[first]['id']!r}, are both {name}: read as one image"
                    collector.report("image-named-twice", message, where, name)
            case _:
                message = f"{label} has no `id` and `file_name`: {shown(image)}"
                collector.report("malformed-row", message, where)
    one = {key: str(images[at]["file_name"]) for key, at in ids.items() if key not in colliding}
    return one, colliding


def _place(names: Sequence[str], root: Path, folders: Sequence[str]) -> list[str]:
    """Puts each name behind that folder below the root where the file is.

    The folder of most comes first, and is where a missing one belongs. A name stays as it is where
    no folder holds any.
    """
    counts = {folder: held(root / folder, names) for folder in folders}
    holding = sorted(filter(counts.get, counts), key=lambda folder: -counts[folder])
    if not holding:
        return list(names)
    return [
        posixpath.join(
            next((each for each in holding if held(root / each, [name])), holding[0]), name
        )
        for name in names
    ]


def read_karpathy(files: Sequence[Path], collector: Collector) -> None:
    """Reads `images[]`: `filename`, `filepath` if there is one, `split`, `sentences[].raw`.

    Where more images are found by `filename` alone than in the folder `filepath`, that is left out.
    """
    for file in files:
        match read_json(file, collector):
            case Doubled(told=told):
                collector.report("colliding-keys", told, Place(str(file)))
            case {"images": list() as images}:
                _read_karpathy(file, images, collector)
            case document if document is not None:
                message = "is no Karpathy dataset: expected an object with the list `images`, "
                message += f"found {keys_of(document)}"
                collector.report("malformed-row", message, Place(str(file)))


def _read_karpathy(file: Path, images: list[Any], collector: Collector) -> None:
    where = Place(str(file))
    readable: dict[str, dict[str, Any]] = {}
    for number, image in enumerate(images):
        label = f"images[{number}]"
        match image:
            case Doubled(told=told):
                collector.report("colliding-keys", f"{label}: {told}", where)
            case {"filename": str()}:
                readable[label] = image
            case _:
                message = f"{label} has no `filename`: {shown(image)}"
                collector.report("malformed-row", message, where)
    folders = defaultdict(list)
    for image in readable.values():
        folders[_key(image, "filepath")].append(image["filename"])
    used = {folder: _is_used(folder, names, collector) for folder, names in folders.items()}
    first: dict[str, dict[object, str]] = defaultdict(dict)  # entry of each number, name and so on
    for label, image in readable.items():
        folder, sentences = _key(image, "filepath"), image.get("sentences")
        name = posixpath.join(str(folder) if used[folder] else "", image["filename"])
        if (other := first["name"].setdefault(name, label)) != label:
            message = f"{label} and {other} are both {name}: read as one image"
            collector.report("image-named-twice", message, where, name)
        for key in ("imgid", "cocoid"):
            _tell_again(first[key], label, key, image, where, collector)
        collector.image(name, Place(str(file), entry=label), image.get("split"))
        for number, sentence in enumerate(sentences if isinstance(sentences, list) else []):
            own = f"{label}.sentences[{number}]"
            if isinstance(sentence, Doubled):
                collector.report("colliding-keys", f"{own}: {sentence.told}", where, name)
                continue
            text = sentence.get("raw", sentence) if isinstance(sentence, dict) else sentence
            _tell_again(first["sentid"], own, "sentid", sentence, where, collector)
            collector.caption(name, text, Place(str(file), entry=own))


def _is_used(folder: object, names: Sequence[str], collector: Collector) -> bool:
    """Returns whether images are looked for in the folder that a data set names."""
    if not isinstance(folder, str):
        return False
    with_it = [posixpath.join(folder, name) for name in names]
    counts = [(held(each, with_it), held(each, names)) for each in collector.folders()]
    return max(count for count, _ in counts) >= max(count for _, count in counts)


def _key(entry: object, name: str) -> int | str | None:
    """Returns what an entry has as a number or a name, which it can be known by."""
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) else None


def _tell_again(
    first: dict[object, str],
    label: str,
    key: str,
    entry: object,
    where: Place,
    collector: Collector,
) -> None:
    """Warns of a number that another entry has had, which loses nothing: it is not read by."""
    value = _key(entry, key)
    other = label if value is None else first.setdefault(value, label)
    if other != label:
        message = f"{label} and {other} both have the {key} {value!r}; both are used"
        collector.report("repeated-key", message, where)


def find_json_lines(path: Path) -> list[Path]:
    """Finds `*.jsonl` and `*.ndjson` in a folder."""
    files = visible_files(path) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in (".jsonl", ".ndjson")]


def read_json_lines(files: Sequence[Path], collector: Collector) -> None:
    """Reads objects with `image`, `caption` or `captions` (a string or a list), and `split`.

    Rows without `split` in a file whose name ends in a split, such as `train.jsonl`, are of that
    split.
    """
    for file in files:
        for number, line in read_text(file, collector).good():
            where = Place(str(file), number)
            try:
                row = parse_json(line)
            except (ValueError, RecursionError) as error:
                report_json(error, where, collector)
            else:
                _read_row(row, where, split_in_name(file.stem), collector)


def _read_row(row: object, where: Place, split: str | None, collector: Collector) -> None:
    if isinstance(row, Doubled):
        collector.report("colliding-keys", row.told, where)
        return
    found = f"expected an object with image and caption or captions, found {keys_of(row)}"
    if not isinstance(row, dict) or "image" not in row:
        collector.report("malformed-row", found, where)
        return
    name, own = row["image"], row.get("split")
    name = name.strip() if isinstance(name, str) else name
    split = split if is_blank(own) else own
    collector.image(name, where, split, found if row.keys() - _OF_IMAGE else "")
    for key in ("caption", "captions"):
        captions = row.get(key, [])
        for caption in captions if isinstance(captions, list) else [captions]:
            collector.caption(name, caption, where, split)
