"""Text and JSON files of a corpus: bad bytes are told with their line, and nothing raises."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mite_tf.data.collector import Collector
from mite_tf.data.problem import Place, shown
from mite_tf.files import GIT_LFS, is_hidden, is_pointer
from mite_tf.reading import must_be_file

_BOM = b"\xef\xbb\xbf"


class Text(NamedTuple):
    """The lines of a file, without their line feeds."""

    lines: list[str]  # bytes that are not UTF-8 are kept as lone surrogates
    undecodable: frozenset[int]  # numbers of the lines that hold such bytes, counted from 1

    def good(self) -> Iterator[tuple[int, str]]:
        """Yields number and text of each line that is UTF-8 and not blank, without a final CR."""
        for number, line in enumerate(self.lines, start=1):
            if line.strip() and number not in self.undecodable:
                yield number, line.removesuffix("\r")


class Doubled(dict[str, Any]):
    """A JSON object that gives one key two values; `told` says so, `json` would keep the last."""

    told: str


def visible(folder: Path) -> list[Path]:
    """Lists a folder in order, without what programs hide there, which is never data."""
    return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name))


def visible_files(folder: Path) -> list[Path]:
    """Lists what is `visible` in a folder and no folder itself, whatever its name ends in."""
    return [entry for entry in visible(folder) if not entry.is_dir()]


def read_text(file: Path, collector: Collector) -> Text:
    """Reads a UTF-8 file, with or without a byte order mark; no lines if it cannot be read."""
    data = _read_bytes(file, collector)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        collector.report("bad-encoding", "is UTF-16: save it as UTF-8", Place(str(file)))
        return Text([], frozenset())
    offset = len(_BOM) if data.startswith(_BOM) else 0
    # Without any line feed, lines end as on old Macs, and as Excel writes for a Macintosh.
    raw = data[offset:].split(b"\n" if b"\n" in data else b"\r")
    if raw[-1] == b"":
        raw.pop()
    lines, undecodable = [], set()
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError as error:
            undecodable.add(number)
            lines.append(line.decode(errors="surrogateescape"))
            _report_byte(file, number, line[error.start], offset + error.start, collector)
        offset += len(line) + 1
    return Text(lines, frozenset(undecodable))


def read_json(file: Path, collector: Collector) -> Any:
    """Reads a JSON document; `None` if it is broken."""
    data = _read_bytes(file, collector)
    if not data:
        return None
    try:
        return parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        at = error.start + (len(_BOM) if data.startswith(_BOM) else 0)
        _report_byte(file, data.count(b"\n", 0, at) + 1, data[at], at, collector)
    except (ValueError, RecursionError) as error:
        report_json(error, Place(str(file), 1), collector)
    return None


def parse_json(text: str) -> Any:
    """Parses JSON as `json.loads` does; an object that gives a key two values is a `Doubled`."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            last = found[key]
            if value != last:
                found = Doubled(found)
                found.told = f"the key {key!r} stands twice in one object, as "
                found.told += f"{shown(value)} and as {shown(last)}"
                break
    return found


def keys_of(document: object) -> str:
    """Describes a JSON value by its keys, for a message about what was found."""
    if isinstance(document, dict):
        keys = ", ".join(map(str, list(document)[:12]))
        return f"the keys {keys}" if keys else "an empty object"
    if isinstance(document, list):
        objects = document and isinstance(document[0], dict)
        inside = f" of objects with {keys_of(document[0])}" if objects else ""
        return f"a list{inside}"
    return shown(document)


def report_json(error: Exception, start: Place, collector: Collector) -> None:
    """Tells what `json.loads` raised over text that starts at a place, with line and column."""
    if isinstance(error, json.JSONDecodeError):
        where = Place(start.file, (start.line or 1) + error.lineno - 1)
        message = f"broken JSON at column {error.colno}: {error.msg}"
    else:
        where, message = start, f"JSON that cannot be read: {error}"
    collector.report("broken-json", message, where)


def _read_bytes(file: Path, collector: Collector) -> bytes:
    try:
        must_be_file(file)  # a pipe would be waited for
        data = file.read_bytes()
    except OSError as error:
        collector.report("unreadable-file", f"cannot be read: {error.strerror}", Place(str(file)))
        return b""
    if not data:
        collector.report("nothing-read", "is empty", Place(str(file)))
    if is_pointer(data):
        collector.report("git-lfs-pointer", f"is {GIT_LFS}", Place(str(file)))
        return b""
    return data


def _report_byte(file: Path, line: int, byte: int, offset: int, collector: Collector) -> None:
    message = f"byte 0x{byte:02X} at offset {offset} is not UTF-8: save the file as UTF-8"
    collector.report("bad-encoding", message, Place(str(file), line))
