"""What a model answers, whoever is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.dtype} [{shape}]"


@dataclass(frozen=True)
class Signature:
    """One way to call a model: its inputs and outputs by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


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
    signatures: dict[str, Signature]


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


Reply = Embedded | ModelMetadata | list[VersionStatus]
