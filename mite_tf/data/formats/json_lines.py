"""JSON Lines: one object a line, `{"image": ..., "captions": [...], "split": ...}`."""

import json
from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import read_text, report_json
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import split_in_name


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
