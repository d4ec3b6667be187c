"""The forms that an export may have, and the packages that each needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.extras import require

DEFAULT_FORMATS = ("savedmodel", "onnx")
FORMATS = (*DEFAULT_FORMATS, "litert", "openvino")
# The modules that run a form; writing it may take all that its extra brings.
_TO_RUN = {"onnx": ["onnxruntime"], "litert": ["ai_edge_litert"], "openvino": ["openvino"]}


def check_formats(formats: Sequence[str], *, int8: bool) -> None:
    """Refuses unknown formats, and those whose packages are not installed.

    Raises:
        MiteError: If something is unknown or missing; with what to install.

    Example:
        >>> check_formats(["tflite"], int8=False)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Unknown format 'tflite'; there are savedmodel, onnx, ...
    """
    for name in formats:
        if name not in FORMATS:
            raise MiteError(f"Unknown format {name!r}; there are {', '.join(FORMATS)}.")
    if not formats:
        raise MiteError(f"Name at least one format: {', '.join(FORMATS)}.")
    if int8 and "onnx" not in formats:
        raise MiteError("int8 is a form of ONNX: add onnx to the formats.")
    if "savedmodel" in formats:
        require("savedmodel", "tensorflow", ["tensorflow_serving"])  # its warm-up requests
    if "onnx" in formats:
        require("onnx", "onnx")
    check_runnable(formats)


def refuse_pattern(folder: str | Path) -> None:
    """Refuses a folder whose SavedModels TensorFlow could not read, as it takes the name otherwise.

    Raises:
        MiteError: If so.

    Example:
        >>> refuse_pattern("exports [new]")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: exports [new]: TensorFlow takes [ in a path for a pattern, ...
    """
    if odd := [each for each in str(folder) if each in "*?[\\"]:
        raise MiteError(
            f"{folder}: TensorFlow takes {odd[0]} in a path for a pattern, and finds no SavedModel "
            "there. Use a folder without *, ?, [ and \\ in its path."
        )


def check_runnable(formats: Collection[str]) -> None:
    """Refuses formats, `int8` among them, whose packages are not installed."""
    require("tokenizer.json", "onnx", ["tokenizers"])
    for name in formats:
        if name in _TO_RUN:
            require(name, name, _TO_RUN[name])
