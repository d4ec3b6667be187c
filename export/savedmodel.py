"""Writing and reading the SavedModels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mite_tf.errors import MiteError
from mite_tf.export.serving_ops import check_ops

if TYPE_CHECKING:
    from mite_tf.export.signatures import Signature


def write_savedmodel(folder: str | Path, signatures: Mapping[str, Signature]) -> None:
    """Writes one encoder as a SavedModel that TensorFlow Serving loads as it is.

    Args:
        folder: Folder to write.
        signatures: Functions by name; one of them is `serving_default`.

    Raises:
        MiteError: If the graph needs an operation that a stock server lacks.
    """
    import keras

    # Without `track`, which would store every weight a second time.
    archive = keras.export.ExportArchive()
    for name, signature in signatures.items():
        archive.add_endpoint(name, signature.function, input_signature=[signature.input])
    archive.write_out(str(folder), verbose=False)
    check_ops(folder)


class SavedModel:
    """A SavedModel, loaded for calls with arrays.

    Args:
        folder: Folder that holds `saved_model.pb`.

    Raises:
        MiteError: If it cannot be loaded.
    """

    def __init__(self, folder: str | Path) -> None:
        import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{folder}: not a readable SavedModel: {error}") from error

    def embed(self, inputs: Any, signature: str = "serving_default") -> np.ndarray:
        """Calls a signature with one array or list; returns float32 `[N, D]`.

        Raises:
            MiteError: If there is no such signature, or the SavedModel refuses the input.
        """
        function = self._model.signatures.get(signature)
        if function is None:
            there = ", ".join(sorted(self._model.signatures))
            raise MiteError(f"Unknown signature {signature!r}; there are {there}.")
        [(name, specification)] = function.structured_input_signature[1].items()
        wanted = specification.dtype
        if isinstance(inputs, np.ndarray) and not _fits(inputs.dtype, wanted):
            raise MiteError(f"{signature} takes {name} as {wanted.name}; received {inputs.dtype}.")
        try:
            tensor = tf.convert_to_tensor(inputs, wanted)
            return function(**{name: tensor})["embedding"].numpy()
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{signature} refuses {name}: {_reason(error)}") from error


def _fits(given: np.dtype, wanted: tf.DType) -> bool:
    """Whether values need no conversion that could lose something."""
    if wanted == tf.string:
        return given.kind in "OSU"
    return np.can_cast(given, wanted.as_numpy_dtype, "same_kind")


def _reason(error: Exception) -> str:
    """The sentence of a TensorFlow error that says what was wrong with the input."""
    lines = [line.strip() for line in str(error).splitlines()]
    scaffold = ("", "Graph execution error:", "<stack traces unavailable>")
    told = [line for line in lines if line not in scaffold and not line.startswith("[[")]
    return next((line for line in told if not line.startswith("Detected at")), str(error))
