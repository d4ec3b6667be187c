"""The forms that an export may have, and the packages that each needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec

from mite_tf.errors import MiteError

DEFAULT_FORMATS = ("savedmodel", "onnx")
FORMATS = (*DEFAULT_FORMATS, "litert", "openvino")
# Import names and the extra that installs them: to write a format, and to run it.
_TO_WRITE = {
    "savedmodel": ("serving", ["tensorflow_serving"]),
    "onnx": ("onnx", ["onnx", "onnxruntime", "tf2onnx"]),
}
_TO_RUN = {
    "onnx": ("onnx", ["onnxruntime"]),
    "litert": ("litert", ["ai_edge_litert"]),
    "openvino": ("openvino", ["openvino"]),
    "tokenizer": ("onnx", ["tokenizers"]),
}


def check_formats(formats: Sequence[str], *, int8: bool) -> None:
    """Refuses unknown formats, and those whose packages are not installed.

    Args:
        formats: Names of formats.
        int8: Whether the ONNX files are to be quantised too.

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
    _check_installed(_TO_WRITE, formats)
    check_runnable(formats)


def check_runnable(formats: Collection[str]) -> None:
    """Refuses formats that cannot be run here.

    Args:
        formats: Names of formats; those that need nothing more pass.

    Raises:
        MiteError: If a package is missing; with what to install.
    """
    _check_installed(_TO_RUN, [*formats, "tokenizer"])


def _check_installed(needed: Mapping[str, tuple[str, list[str]]], formats: Collection[str]) -> None:
    for name in formats:
        extra, packages = needed.get(name, ("", []))
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            raise MiteError(
                f"{name} needs {', '.join(missing)}, not installed here. Install with: "
                f"pip install 'mite-tf[{extra}]'"
            )
