"""What the files of a run folder hold, checked where they are read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from mite_tf.reading import reading

_Count = Annotated[int, Field(ge=0)]
_Name = InstanceOf[str]  # of a file, which need not be UTF-8


class Strict(BaseModel):
    """Values of a file, which have their types already; others may stand beside them."""

    model_config = ConfigDict(strict=True)


class _Source(Strict):
    path: _Name
    format: str | None = None
    root: _Name | None = None


class _Unpaired(Strict):
    fingerprint: str
    images: _Count
    captions: _Count
    sources: dict[str, _Name]


class _Data(Strict):
    fingerprint: str
    images: dict[str, _Count]
    captions: dict[str, _Count] = {}
    skip_bad: bool = False
    source: _Source | None = None
    unpaired: _Unpaired | None = None


class Record(Strict):
    """What `run.json` holds."""

    data: _Data


class _Row(Strict):
    epoch: _Count
    stage: str


class _Saved(Strict):
    epoch: _Count
    step: _Count
    ended: bool
    history: list[_Row]
    best: dict[str, float]
    guard: dict[str, Any]
    schedule: dict[str, float]
    run: str | None = None


def check_record(values: dict[str, Any]) -> None:
    """Raises a `ValueError` if values are not those of `run.json`.

    Example:
        >>> check_record({"data": {"fingerprint": 7, "images": {}}})
        Traceback (most recent call last):
        ValueError: data.fingerprint: Input should be a valid string
    """
    check(Record, values)


def check_saved(values: dict[str, Any], epochs: int) -> None:
    """Raises a `ValueError` if values are not those of the state of a run of so many epochs.

    Example:
        >>> check_saved({"epoch": -1}, epochs=3)
        Traceback (most recent call last):
        ValueError: epoch: Input should be greater than or equal to 0
    """
    check(_Saved, values)
    if values["epoch"] > epochs:
        raise ValueError(f"it is of epoch {values['epoch']}, and the run has {epochs}")
    _check_rows(values["history"])
    if len(values["history"]) != values["epoch"]:
        raise ValueError(f"it holds no row for each of {values['epoch']} epochs")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Reads `history.csv`: numbers as floats, empty cells left out.

    Raises:
        MiteError: If it is damaged, or its end is missing.
    """
    with reading(path, "a history", "`mite train … --resume` writes it anew."):
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(file)
        if not lines or not lines[-1].endswith("\n"):
            raise ValueError("its end is missing")
        rows = [
            {key: _number(value) for key, value in row.items() if value != ""}
            for row in csv.DictReader(lines, strict=True)
        ]
        _check_rows(rows)
    return rows


def check(kind: type[BaseModel], values: dict[str, Any]) -> None:
    """Raises a `ValueError` of one line if values are not of a kind."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from None


def _check_rows(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows, start=1):
        if row.get("epoch") != number or not isinstance(row.get("stage"), str):
            raise ValueError(f"its row {number} is not that of epoch {number}")


def _number(text: str) -> float | str:
    try:
        return float(text)  # a cell that is missing is no text at all, and refused
    except ValueError:
        return text
