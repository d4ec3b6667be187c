"""Small corpora made in a test, and what reading them gave."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mite_tf.data import CaptionedImages, CheckReport, check


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, str | bytes]], Path]:
    """Writes files below `tmp_path`, their folders included, and gives that folder."""

    def write(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


@pytest.fixture
def check_files(write) -> Callable[[dict[str, bytes]], CheckReport]:
    """Checks images of which a table, one row each from line 2 on, tells a caption."""

    def check_files(files: dict[str, bytes]) -> CheckReport:
        table = "image,caption\n" + "".join(f"{name},A picture.\n" for name in files)
        return check(write({**files, "captions.csv": table}))

    return check_files


OF_SPLITS = {"absent-split", "small-split"}  # as the splits of corpora made in a test are


@pytest.fixture
def told() -> Callable[..., list[tuple[str, str, int | None]]]:
    """Gives kind, name of the file and line of each problem, but those of the splits."""

    def told(found) -> list[tuple[str, str, int | None]]:
        problems = [each for each in found.problems if each.kind not in OF_SPLITS]
        return [(each.kind, Path(each.where.file).name, each.where.line) for each in problems]

    return told


@pytest.fixture
def rows() -> Callable[[CaptionedImages], list[tuple[str, list[str], str]]]:
    """Gives image, captions and split of each row."""

    def rows(table: CaptionedImages) -> list[tuple[str, list[str], str]]:
        return [(row.image, list(row.captions), row.split) for row in table]

    return rows
