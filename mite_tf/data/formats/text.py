"""Text and JSON files read so that bad bytes are told with their line, and nothing raises."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mite_tf.data.check_problem import Place
from mite_tf.data.formats.gathering import Gathering

_BOM = b"\xef\xbb\xbf"


class Text(NamedTuple):
    """The lines of a file, without their line feeds.

    Args:
        lines: Each line; bytes that are not UTF-8 are kept as lone surrogates.
        undecodable: Numbers of the lines that hold such bytes, counted from 1.
    """

    lines: list[str]
    undecodable: frozenset[int]

    def good(self) -> Iterator[tuple[int, str]]:
        r"""Yield number and text of each line that is UTF-8 and not blank, without a final CR.

        Example:
            >>> list(Text(["one", "", "t\udce9", "two\r"], frozenset([3])).good())
            [(1, 'one'), (4, 'two')]
        """
        for number, line in enumerate(self.lines, start=1):
            if line.strip() and number not in self.undecodable:
                yield number, line.removesuffix("\r")


def read_text(file: Path, gathering: Gathering) -> Text:
    """Reads a UTF-8 file, with or without a byte order mark.

    Args:
        file: File to read.
        gathering: Told of a file that cannot be read and of every line that is not UTF-8.

    Returns:
        The lines; none if the file cannot be read at all.
    """
    data = _read_bytes(file, gathering)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        gathering.report("bad-encoding", "is UTF-16: save it as UTF-8", Place(str(file)))
        return Text([], frozenset())
    offset = len(_BOM) if data.startswith(_BOM) else 0
    raw = data[offset:].split(b"\n")
    if raw[-1] == b"":
        raw.pop()
    lines, undecodable = [], set()
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError as error:
            undecodable.add(number)
            lines.append(line.decode(errors="surrogateescape"))
            _report_byte(file, number, line[error.start], offset + error.start, gathering)
        offset += len(line) + 1
    return Text(lines, frozenset(undecodable))


def read_json(file: Path, gathering: Gathering) -> Any:
    """Reads a JSON file.

    Args:
        file: File to read.
        gathering: Told, with the line, of what keeps the file from being read.

    Returns:
        The document; `None` if it is broken.
    """
    data = _read_bytes(file, gathering)
    if not data:
        return None
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        skipped = len(_BOM) if data.startswith(_BOM) else 0
        at = error.start + skipped
        _report_byte(file, data.count(b"\n", 0, at) + 1, data[at], at, gathering)
    except (ValueError, RecursionError) as error:
        report_json(error, Place(str(file), 1), gathering)
    return None


def report_json(error: Exception, start: Place, gathering: Gathering) -> None:
    """Tells of broken JSON with line and column.

    Args:
        error: What `json.loads` raised.
        start: Place of the first line of the text that was parsed.
        gathering: Told of the problem.
    """
    if isinstance(error, json.JSONDecodeError):
        where = Place(start.file, (start.line or 1) + error.lineno - 1)
        message = f"broken JSON at column {error.colno}: {error.msg}"
    else:
        where, message = start, f"JSON that cannot be read: {error}"
    gathering.report("broken-json", message, where)


def _read_bytes(file: Path, gathering: Gathering) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        gathering.report("unreadable-file", f"cannot be read: {error.strerror}", Place(str(file)))
        return b""
    if not data:
        gathering.report("nothing-read", "is empty", Place(str(file)))
    return data


def _report_byte(file: Path, line: int, byte: int, offset: int, gathering: Gathering) -> None:
    message = f"byte 0x{byte:02X} at offset {offset} is not UTF-8: save the file as UTF-8"
    gathering.report("bad-encoding", message, Place(str(file), line))
