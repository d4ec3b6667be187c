"""An export folder to a backend."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest, check_files, read_manifest
from mite_tf.serving.backends.backend import MODELS, Backend, Signature
from mite_tf.serving.backends.inputs import MAX_IMAGE_PIXELS, Inputs
from mite_tf.serving.backends.snapshot import PATIENCE, inside, read_snapshot

KINDS = ("onnx", "onnx-int8", "savedmodel")
_NEEDS = {
    "onnx": ("onnx", ("onnxruntime", "tokenizers")),
    "onnx-int8": ("onnx", ("onnxruntime", "tokenizers")),
    "savedmodel": ("serving", ("tensorflow", "tensorflow_text")),
}


def open_backend(
    export: str | Path,
    model: str,
    kind: str = "onnx",
    *,
    threads: int = 0,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    patience: float = PATIENCE,
) -> Backend:
    """Loads one encoder of an export folder; what is loaded does not change with the folder.

    Args:
        export: Export folder.
        model: `image` or `text`.
        kind: `onnx`, `onnx-int8` or `savedmodel`; the first two load no TensorFlow.
        threads: Threads of one call; as many as there are cores by default.
        max_image_pixels: Width times height beyond which an image is refused.
        patience: Seconds to wait for a folder that is just being renewed.

    Returns:
        The version that the manifest names.

    Raises:
        MiteError: If the folder holds no such encoder, a file is not the one that was exported,
            or a package is missing.
    """
    if model not in MODELS:
        raise MiteError(f"Unknown model {model!r}; there are {', '.join(MODELS)}.")
    check_kind(kind)
    opener = _open_savedmodel if kind == "savedmodel" else _open_onnx
    return opener(Path(export), model, kind, threads, max_image_pixels, patience)


def choose_kind(export: str | Path) -> str:
    """Returns the kind to run an export with: ONNX where it can be, which is faster and smaller.

    Raises:
        MiteError: If the export has neither form.
    """
    formats = read_manifest(export).formats
    if "onnx" in formats and not _missing("onnx"):
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
    if kind not in KINDS:
        raise MiteError(f"Unknown backend {kind!r}; there are {', '.join(KINDS)}.")
    missing = _missing(kind)
    if missing:
        raise MiteError(
            f"{kind} needs {', '.join(missing)}, not installed here. Install with: "
            f"pip install 'mite-tf[{_NEEDS[kind][0]}]'"
        )


def _missing(kind: str) -> list[str]:
    return [package for package in _NEEDS[kind][1] if find_spec(package) is None]


def _open_onnx(
    export: Path, model: str, kind: str, threads: int, max_image_pixels: int, patience: float
) -> Backend:
    from mite_tf.serving.backends.onnx import OnnxBackend

    suffix = ".int8" if kind == "onnx-int8" else ""
    names = [f"onnx/{model}_encoder{suffix}.onnx", *["tokenizer.json"] * (model == "text")]
    snapshot = read_snapshot(export, names, patience=patience)
    if model == "text" and snapshot.manifest.text.get("kind") == "bag-of-words":
        threads = threads or 1  # done before a second thread has woken up
    return OnnxBackend(
        **_described(snapshot.manifest, model, max_image_pixels),
        model=snapshot.files[names[0]],
        tokenizer=snapshot.files.get("tokenizer.json"),
        threads=threads,
    )


def _open_savedmodel(
    export: Path, model: str, kind: str, threads: int, max_image_pixels: int, patience: float
) -> Backend:
    from mite_tf.serving.backends.savedmodel import SavedModelBackend

    # A version of a SavedModel appears in one step and never changes, so no patience is needed.
    manifest = read_manifest(export)
    prefix = f"savedmodel/{model}/{manifest.version}/"
    files = {name: each for name, each in manifest.files.items() if name.startswith(prefix)}
    if not files:
        raise MiteError(f"{export}: holds no {prefix[:-1]}. Export the run again, with savedmodel.")
    root = export.resolve()
    folder = inside(root, prefix)
    for path in folder.rglob("*"):
        inside(root, str(path.relative_to(root)))
    for name in files:
        inside(root, name)
    check_files(export, files)
    return SavedModelBackend(
        **_described(manifest, model, max_image_pixels), folder=folder, threads=threads
    )


def _described(manifest: Manifest, model: str, max_image_pixels: int) -> dict[str, Any]:
    described: Mapping[str, Any] = getattr(manifest, model)["signatures"]
    signatures = {
        name: Signature(each["input"], each["dtype"], tuple(each["shape"]))
        for name, each in described.items()
    }
    inputs = Inputs(
        signatures=signatures,
        preprocessing=manifest.preprocessing,
        max_length=manifest.tokenizer["max_length"],
        max_image_pixels=max_image_pixels,
    )
    return {
        "name": model,
        "version": manifest.version,
        "embedding_size": manifest.embedding_size,
        "inputs": inputs,
    }
