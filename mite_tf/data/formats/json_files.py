"""JSON: COCO's captions, Karpathy's data sets, and lines with an image and its captions each."""

import json
from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.collector import Collector, best_folder
from mite_tf.data.formats.source_files import read_json, read_text, report_json
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import split_in_name


def find_documents(path: Path, prefixes: Sequence[str], key: bytes) -> list[Path]:
    """Finds files by the start of their names; a file that is itself given, also by a key in it."""
    if path.is_dir():
        return sorted(file for prefix in prefixes for file in path.glob(f"{prefix}*.json"))
    if path.suffix.lower() != ".json":
        return []
    return [path] if path.name.startswith(prefixes[0]) or key in path.read_bytes() else []


def read_coco(files: Sequence[Path], collector: Collector) -> None:
    """Reads `images[]` (`id`, `file_name`) and `annotations[]` (`image_id`, `caption`).

    The file's name gives the split (train is train, val is dev) and the folder of its images.
    """
    for file in files:
        match read_json(file, collector):
            case {"images": list() as images, "annotations": list() as annotations}:
                _read_coco(file, images, annotations, collector)
            case document if document is not None:
                message = "is no COCO file: expected an object with `images` and `annotations`"
                collector.report("malformed-row", message, Place(str(file)))


def _read_coco(
    file: Path, images: list[object], annotations: list[object], collector: Collector
) -> None:
    where = Place(str(file))
    names: dict[object, str] = {}
    for number, image in enumerate(images):
        match image:
            case {"id": int() | str() as key, "file_name": str() as name}:
                names[key] = name
            case _:
                message = f"images[{number}] has no `id` and `file_name`: {quote(repr(image))}"
                collector.report("malformed-row", message, where)
    # Names come after the folder below the root that holds the images.
    root, own = collector.root or collector.base, file.stem.removeprefix("captions_")
    folders = [root / own, root / "images" / own, root / "images", root / "Images", root]
    folder = best_folder(folders, list(names.values())).relative_to(root)
    prefix = f"{folder.as_posix()}/" if folder.parts else ""
    for name in names.values():
        collector.image(f"{prefix}{name}", where, split_in_name(file.stem))
    for number, annotation in enumerate(annotations):
        match annotation:
            case {"image_id": int() | str() as key, "caption": caption} if key in names:
                collector.caption(f"{prefix}{names[key]}", caption, where)
            case {"image_id": key, "caption": _}:
                message = f"annotations[{number}] is for image {key!r}, which `images` lacks"
                collector.report("malformed-row", message, where)
            case _:
                found = quote(repr(annotation))
                message = f"annotations[{number}] has no `image_id` and `caption`: {found}"
                collector.report("malformed-row", message, where)


def read_karpathy(files: Sequence[Path], collector: Collector) -> None:
    """Reads `images[]`: `filename`, `filepath` if there is one, `split`, `sentences[].raw`."""
    for file in files:
        where = Place(str(file))
        match read_json(file, collector):
            case {"images": list() as images}:
                for number, image in enumerate(images):
                    _read_karpathy(f"images[{number}]", image, where, collector)
            case document if document is not None:
                message = "is no Karpathy dataset: expected an object with the list `images`"
                collector.report("malformed-row", message, where)


def _read_karpathy(label: str, image: object, where: Place, collector: Collector) -> None:
    if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
        message = f"{label} has no `filename`: {quote(repr(image))}"
        collector.report("malformed-row", message, where)
        return
    folder, split, sentences = (image.get(key) for key in ("filepath", "split", "sentences"))
    name = f"{folder}/{image['filename']}" if folder else image["filename"]
    collector.image(name, where, split if isinstance(split, str) else None)
    for sentence in sentences if isinstance(sentences, list) else []:
        text = sentence.get("raw") if isinstance(sentence, dict) else sentence
        collector.caption(name, text, where)


def find_json_lines(path: Path) -> list[Path]:
    """Finds `*.jsonl` and `*.ndjson` in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
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
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                report_json(error, where, collector)
            else:
                _read_row(row, where, split_in_name(file.stem), collector)


def _read_row(row: object, where: Place, split: str | None, collector: Collector) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("image"), str):
        message = f"expected an object with the text `image`, found {quote(repr(row))}"
        collector.report("malformed-row", message, where)
        return
    own = row.get("split")
    if own is not None and not isinstance(own, str):
        message = f"{row['image']}: split {own!r} is no text"
        collector.report("malformed-row", message, where)
        return
    collector.image(row["image"].strip(), where, own or split)
    for key in ("caption", "captions"):
        captions = row.get(key, [])
        for caption in captions if isinstance(captions, list) else [captions]:
            collector.caption(row["image"].strip(), caption, where, own or split)
