"""An export folder to a backend."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.export.claims import check_embeddings, check_ids, check_signatures, check_tokenizer
from mite_tf.export.formats import refuse_pattern
from mite_tf.export.manifest import Version, of_one_version, read_manifest
from mite_tf.export.pixels import pixels_of
from mite_tf.extras import missing, require
from mite_tf.serving.backends.backend import MAX_IMAGE_PIXELS, MODELS, Backend, Rows

# Kinds of backends, with the extra and the modules that each takes.
_NEEDS = {
    "onnx": ("onnx", ("onnxruntime", "tokenizers")),
    "onnx-int8": ("onnx", ("onnxruntime", "tokenizers")),
    "savedmodel": ("tensorflow", ("tensorflow", "tensorflow_text")),
}
KINDS = tuple(_NEEDS)
_TOKENIZER = "tokenizer.json"
_LONGEST = 500  # of what a runtime says
# Sides of the picture that tells how a SavedModel makes pixels of files, and how far its embedding
# may be from that of the same pixels by Pillow.
_SIDE, _NEAR = 1024, 1e-3


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
            an encoder is not what the manifest says, or a package is missing.
    """
    if model not in MODELS:
        raise MiteError(f"Unknown model {model!r}; there are {', '.join(MODELS)}.")
    check_kind(kind)
    opened = _open_savedmodel if kind == "savedmodel" else partial(_open_onnx, kind=kind)
    return of_one_version(
        export, lambda version: opened(version, model, (threads, max_image_pixels))
    )


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


def _open_onnx(version: Version, model: str, limits: tuple[int, int], *, kind: str) -> Backend:
    names = [f"onnx/{model}_encoder{'.int8' * (kind == 'onnx-int8')}.onnx"]
    if model == "text":
        names.append(_TOKENIZER)
    for name in names:
        if name not in version.manifest.files:
            raise MiteError(
                f"{version.folder}: holds no {name}. Export the run again, with that form."
            )
    files = [version.read(name) for name in names]
    with _as_claimed(version, model):
        from mite_tf.serving.backends.onnx import OnnxBackend

        return _checked(OnnxBackend(version.manifest, model, files, *limits), version)


def _open_savedmodel(version: Version, model: str, limits: tuple[int, int]) -> Backend:
    prefix = f"savedmodel/{model}/{version.manifest.version}/"
    if not any(name.startswith(prefix) for name in version.manifest.files):
        raise MiteError(
            f"{version.folder}: holds no {prefix[:-1]}. Export the run again, with savedmodel."
        )
    version.check(prefix)
    folder = version.path(prefix)
    refuse_pattern(folder)
    with _as_claimed(version, model):
        from mite_tf.serving.backends.savedmodel import SavedModelBackend

        backend = SavedModelBackend(version.manifest, model, folder, *limits)
        return _checked(backend, version, from_files=True)


@contextmanager
def _as_claimed(version: Version, model: str) -> Iterator[None]:
    """Says of which export and model something is not what the manifest says."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # each runtime has classes of its own, and tells on many lines
        told = " ".join(str(error).split()) or repr(error)
        raise MiteError(
            f"{version.folder}: the {model} model of version {version.manifest.version} is not "
            f"what the manifest says: {told[:_LONGEST]}"
        ) from error


def _checked(backend: Backend, version: Version, *, from_files: bool = False) -> Backend:
    """Returns a backend if it computes as its manifest says; `from_files` if it takes such too."""
    manifest = version.manifest
    try:
        check_signatures(manifest)
        if _TOKENIZER in manifest.files and version.path(_TOKENIZER).exists():
            # For images too: what makes pixels of them is part of the space.
            check_tokenizer(manifest, version.read(_TOKENIZER))
        if backend.name == "text":
            check_ids(manifest, lambda ids: backend.run(Rows(("token_ids", ids.shape[1]), ids)))
        elif manifest.preprocessing is None:
            shape = [1, *manifest.image["signatures"]["serving_default"]["shape"][1:]]
            found = backend.run(Rows("features", np.zeros(shape, np.float32)))
            check_embeddings(manifest, found, 1)
        else:
            file = _odd_picture(manifest.preprocessing)
            found = backend.run(Rows("pixels", pixels_of(file, manifest.preprocessing)[None]))
            check_embeddings(manifest, found, 1)
            if (
                from_files
                and np.abs(found - backend.run(Rows("serving_default", [file]))).max() > _NEAR
            ):
                raise MiteError("it makes other pixels of a file than the preprocessing says.")
    except Exception:
        backend.close()
        raise
    return backend


def _odd_picture(preprocessing: Mapping[str, Any]) -> bytes:
    """Returns a file that shows each pixel of a size, and how the picture is turned: noise."""
    height, width = (min(_SIDE, 2 * preprocessing[side] + 16) for side in ("height", "width"))
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    noise[: height // 2, :, 1] = 0
    turned = Image.Exif()
    turned[0x0112] = 6  # by 90 degrees
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", exif=turned)
    return file.getvalue()
