"""What a client asks of a model, and what comes back, whether a server answers or an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of one model; as it stands, the state of all its versions.

    Attributes:
        model: Name of the model.

    Example:
        >>> str(Question(model="text"))
        "Model 'text'"
    """

    model: str

    def __str__(self) -> str:
        return f"Model {self.model!r}"


# no example: as `Question`
@dataclass(frozen=True, kw_only=True)
class Metadata(Question):
    """Asks for the signatures of a model.

    Attributes:
        version: Version; the one that the server prefers by default.
        label: Label that the server's configuration gives to a version, such as `canary`.
    """

    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{super().__str__()}, version {self.version}"
        labelled = f", the version labelled {self.label}" if self.label else ""
        return super().__str__() + labelled


@dataclass(frozen=True, kw_only=True)
class Predict(Metadata):
    """Asks for the embeddings of some rows.

    Attributes:
        signature: Name of the signature.
        input: Name of its input.
        rows: List of `bytes`, or an array with the rows along its first axis.

    Example:
        >>> str(Predict(model="text", version=3, signature="", input="text", rows=[b"a"]))
        "Model 'text', version 3, 1 rows"
    """

    signature: str
    input: str
    rows: Any

    def __str__(self) -> str:
        return f"{super().__str__()}, {len(self.rows)} rows"


# no example: arrays of a model's size
@dataclass(frozen=True)
class Embedded:
    """Embeddings of some rows.

    Attributes:
        values: float32 `[N, D]`.
        version: Version of the model that made them; None if the server did not say.
    """

    values: np.ndarray
    version: int | None


@dataclass(frozen=True)
class Tensor:
    """Type and shape of an input or an output.

    Attributes:
        dtype: `string`, `float`, `uint8`, `int32` …, as TensorFlow names them.
        shape: Sizes; -1 for any. None if even their number is open.

    Example:
        >>> str(Tensor("float", (-1, 256)))
        'float [-1, 256]'
    """

    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.dtype} [{shape}]"


# no example: part of `ModelMetadata`
@dataclass(frozen=True)
class ModelSignature:
    """One way to call a model: its inputs and outputs by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


# no example: a server returns it
@dataclass(frozen=True)
class ModelMetadata:
    """What a server says of a model.

    Attributes:
        name: Name of the model.
        version: Version that was described.
        signatures: Ways to call it, by name.
    """

    name: str
    version: int | None
    signatures: dict[str, ModelSignature]


# no example: a server returns it
@dataclass(frozen=True)
class VersionStatus:
    """State of one version of a model.

    Attributes:
        version: The version.
        state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        code: `OK`, or name of the code of what went wrong.
        message: What went wrong.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


# no example: an interface, of `Channel` and `Local`
class Transport(Protocol):
    """What answers questions: a server, or an export folder."""

    async def ask(self, question: Question, *, timeout: float | None, wait: bool) -> Any:
        """Returns the reply to a question that is asked once.

        Args:
            question: The question.
            timeout: Seconds to wait for the reply; None for no limit.
            wait: Whether to wait for a connection, instead of failing at once without one.

        Raises:
            Failure: If there is none.
        """

    def explain(self, details: str) -> str | None:
        """Returns why a connection failed, if that is certain; `details` is what gRPC said."""

    def close(self) -> None:
        """Frees connections and models."""
