"""JSON Lines: one object a line, `{"image": ..., "captions": [...], "split": ...}`."""

import json
from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.check_problem import Place, quote
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.splits import split_in_name
from mite_tf.data.formats.text import read_text, report_json

_SUFFIXES = (".jsonl", ".ndjson")


def find_json_lines(path: Path) -> list[Path]:
    """Finds `*.jsonl` and `*.ndjson` in a folder.

    Args:
        path: Folder, or a file, of which the suffix decides.

    Returns:
        The files.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in _SUFFIXES]


def read_json_lines(files: Sequence[Path], gathering: Gathering) -> None:
    """Reads objects with `image`, `caption` or `captions` (a string or a list), and `split`.

    Args:
        files: Files. Rows without `split` in a file whose name ends in a split, such as
            `train.jsonl`, are of that split.
        gathering: Told of every caption and problem.
    """
    for file in files:
        for number, line in read_text(file, gathering).good():
            where = Place(str(file), number)
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                report_json(error, where, gathering)
            else:
                _read_row(row, where, split_in_name(file.stem), gathering)


def _read_row(row: object, where: Place, split: str | None, gathering: Gathering) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("image"), str):
        message = f"expected an object with the text `image`, found {quote(repr(row))}"
        gathering.report("malformed-row", message, where)
        return
    own = row.get("split")
    if own is not None and not isinstance(own, str):
        message = f"{row['image']}: split {own!r} is no text"
        gathering.report("malformed-row", message, where)
        return
    gathering.image(row["image"].strip(), where, own or split)
    for key in ("caption", "captions"):
        captions = row.get(key, [])
        for caption in captions if isinstance(captions, list) else [captions]:
            gathering.caption(row["image"].strip(), caption, where, own or split)


JSONL = Format(
    name="jsonl",
    looks_for="*.jsonl or *.ndjson with image, caption or captions, and split if there is one",
    find=find_json_lines,
    read=read_json_lines,
)
