"""An export folder to a backend."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest, check_files, read_manifest
from mite_tf.extras import missing, require
from mite_tf.serving.backends.backend import MAX_IMAGE_PIXELS, MODELS, Backend

# Kinds of backends, with the extra and the modules that each takes.
_NEEDS = {
    "onnx": ("onnx", ("onnxruntime", "tokenizers")),
    "onnx-int8": ("onnx", ("onnxruntime", "tokenizers")),
    "savedmodel": ("tensorflow", ("tensorflow", "tensorflow_text")),
}
KINDS = tuple(_NEEDS)
# An export that is being renewed is whole again after this many seconds at the latest.
_PATIENCE = 5.0


# no example: it takes an export folder, which needs an encoder.
def open_backend(
    export: str | Path,
    model: str,
    kind: str = "onnx",
    *,
    threads: int = 0,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Backend:
    """Loads one encoder of an export folder; what is loaded does not change with the folder.

    Args:
        export: Export folder.
        model: `image` or `text`.
        kind: `onnx`, `onnx-int8` or `savedmodel`; the first two load no TensorFlow.
        threads: Threads of one call; 0 for one per core.
        max_image_pixels: Width times height beyond which an image is refused.

    Raises:
        MiteError: If the folder holds no such encoder, a file is not the one that was exported,
            or a package is missing.
    """
    if model not in MODELS:
        raise MiteError(f"Unknown model {model!r}; there are {', '.join(MODELS)}.")
    check_kind(kind)
    if kind == "savedmodel":
        return _open_savedmodel(Path(export), model, threads, max_image_pixels)
    names = [f"onnx/{model}_encoder{'.int8' * (kind == 'onnx-int8')}.onnx"]
    if model == "text":
        names.append("tokenizer.json")
    end = time.monotonic() + _PATIENCE
    while True:
        # Another export into the same folder replaces one file after the other, so that for a
        # moment some are new and some are old.
        try:
            manifest, files = _read(Path(export), names)
            break
        except MiteError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
    from mite_tf.serving.backends.onnx import OnnxBackend

    return OnnxBackend(manifest, model, files, threads, max_image_pixels)


# no example: it takes an export folder, which needs an encoder.
def choose_kind(export: str | Path) -> str:
    """Returns the kind to run an export with: ONNX where it can be, which is faster and smaller."""
    formats = read_manifest(export).formats
    if "onnx" in formats and not missing(_NEEDS["onnx"][1]):
        return "onnx"
    if "savedmodel" in formats:
        return "savedmodel"
    check_kind("onnx")
    raise MiteError(f"{export}: holds neither onnx nor savedmodel. Export the run again.")


def check_kind(kind: str) -> None:
    """Refuses an unknown kind, or one whose packages are not installed.

    Example:
        >>> check_kind("tflite")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Unknown backend 'tflite'; there are onnx, onnx-int8, savedmodel.
    """
    if kind not in _NEEDS:
        raise MiteError(f"Unknown backend {kind!r}; there are {', '.join(KINDS)}.")
    extra, modules = _NEEDS[kind]
    require(f"The backend {kind}", extra, modules)


def _read(export: Path, names: Sequence[str]) -> tuple[Manifest, list[bytes]]:
    """Reads files whose hashes are those of the manifest, so that all are of one version."""
    manifest = read_manifest(export)
    files = []
    for name in names:
        if name not in manifest.files:
            raise MiteError(f"{export}: holds no {name}. Export the run again, with that form.")
        path = _inside(export, name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != manifest.files[name]["sha256"]:
            raise MiteError(
                f"{path}: not the file that was exported. Copy the folder again, or export the "
                "run again."
            )
        files.append(data)
    return manifest, files


def _open_savedmodel(export: Path, model: str, threads: int, max_image_pixels: int) -> Backend:
    # A version of a SavedModel appears in one step and never changes, so no patience is needed.
    manifest = read_manifest(export)
    prefix = f"savedmodel/{model}/{manifest.version}/"
    files = {name: each for name, each in manifest.files.items() if name.startswith(prefix)}
    if not files:
        raise MiteError(f"{export}: holds no {prefix[:-1]}. Export the run again, with savedmodel.")
    folder = _inside(export, prefix)
    for name in (*files, *(str(path.relative_to(export.resolve())) for path in folder.rglob("*"))):
        _inside(export, name)
    check_files(export, files)
    from mite_tf.serving.backends.savedmodel import SavedModelBackend

    return SavedModelBackend(manifest, model, folder, threads, max_image_pixels)


def _inside(export: Path, name: str) -> Path:
    """Returns a path of an export, with symbolic links resolved; refuses one that leads out."""
    folder = export.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise MiteError(f"{folder}: {name} leads out of the folder.")
    return path
