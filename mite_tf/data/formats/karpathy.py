"""Karpathy's splits: `dataset_flickr8k.json`, `dataset_flickr30k.json`, `dataset_coco.json`."""

from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.check_problem import Place, quote
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.text import read_json


def find_datasets(path: Path) -> list[Path]:
    """Finds `dataset*.json` in a folder.

    Args:
        path: Folder, or a JSON file, which is looked into when its name does not tell.

    Returns:
        The files.
    """
    if path.is_dir():
        return sorted(path.glob("dataset*.json"))
    if path.suffix.lower() != ".json":
        return []
    return [path] if path.name.startswith("dataset") or b'"sentences"' in path.read_bytes() else []


def read_datasets(files: Sequence[Path], gathering: Gathering) -> None:
    """Reads `images[]`: `filename`, `filepath` if there is one, `split`, `sentences[].raw`.

    Args:
        files: JSON files.
        gathering: Told of every caption and problem.
    """
    for file in files:
        where = Place(str(file))
        document = read_json(file, gathering)
        images = document.get("images") if isinstance(document, dict) else None
        if isinstance(images, list):
            for number, image in enumerate(images):
                _read_image(f"images[{number}]", image, where, gathering)
        elif document is not None:
            message = "is no Karpathy dataset: expected an object with the list `images`"
            gathering.report("malformed-row", message, where)


def _read_image(label: str, image: object, where: Place, gathering: Gathering) -> None:
    if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
        message = f"{label} has no `filename`: {quote(repr(image))}"
        gathering.report("malformed-row", message, where)
        return
    folder, split, sentences = (image.get(key) for key in ("filepath", "split", "sentences"))
    name = f"{folder}/{image['filename']}" if folder else image["filename"]
    split = split if isinstance(split, str) else None
    gathering.image(name, where, split)
    for sentence in sentences if isinstance(sentences, list) else []:
        text = sentence.get("raw") if isinstance(sentence, dict) else sentence
        gathering.caption(name, text, where)


KARPATHY = Format(
    name="karpathy",
    looks_for="dataset_*.json with images[] that hold filename, split and sentences[].raw",
    find=find_datasets,
    read=read_datasets,
)
