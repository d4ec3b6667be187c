"""What a client asks of a model, whoever answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which version of a model is asked; the one that the server prefers by default.

    Attributes:
        number: Version.
        label: Label that the server's configuration gives to a version, such as `canary`.
    """

    number: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"version {self.number}"
        return "the default version" if self.label is None else f"the version labelled {self.label}"


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Asks for the embeddings of some rows.

    Attributes:
        model: Name of the model.
        version: Its version.
        signature: Name of the signature.
        input: Name of its input.
        rows: List of `bytes`, or an array with the rows along its first axis.
    """

    model: str
    version: Version
    signature: str
    input: str
    rows: Any


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Asks for the signatures of a model."""

    model: str
    version: Version


@dataclass(frozen=True, kw_only=True)
class Status:
    """Asks for the state of all versions of a model."""

    model: str


Question = Predict | Metadata | Status
