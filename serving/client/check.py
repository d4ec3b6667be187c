"""Whether a server serves what an export describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mite_tf.serving.client.effects import Flow
from mite_tf.serving.client.errors import EmbeddingError, MismatchError
from mite_tf.serving.client.replies import ModelMetadata, Tensor

if TYPE_CHECKING:
    from mite_tf.export.manifest import Manifest
    from mite_tf.export.verification.golden import Golden

# NumPy's names, which a manifest has, to TensorFlow's, where they differ.
_TYPE_NAMES = {"float32": "float", "float64": "double"}
# Mean of 1 - cosine. Rounding and the decoders of images stay below; other weights give about 1.
TOLERANCE = 1e-3


def read_expected(export: Manifest | str | Path) -> tuple[Manifest, Golden | None]:
    """Returns a manifest, and the cases with Keras's answers where an export holds them.

    Args:
        export: A manifest, its file, or the export folder.
    """
    from mite_tf.export.manifest import MANIFEST, Manifest, read_manifest
    from mite_tf.export.verification.golden import FOLDER, read_golden

    if isinstance(export, Manifest):
        return export, None
    path = Path(export)
    if path.name == MANIFEST:
        return read_manifest(path.parent), None
    return read_manifest(path), read_golden(path) if (path / FOLDER).is_dir() else None


def check(
    manifest: Manifest,
    golden: Golden | None,
    *,
    models: dict[str, str],
    describe: Callable[[str], Flow[ModelMetadata]],
    embed: dict[str, Callable[[Any], Flow[np.ndarray]]],
    tolerance: float,
) -> Flow[None]:
    """Compares signatures, versions and, where they are known, answers.

    Args:
        manifest: What is expected.
        golden: Cases with the answers of Keras.
        models: `image` and `text` to the names of the models.
        describe: Asks for the metadata of a model.
        embed: Embeds `text`, `image` files or `features`.
        tolerance: Greatest mean of 1 - cosine over the cases.

    Raises:
        MismatchError: If anything differs; all differences are told.
    """
    differences: list[str] = []
    for kind, model in models.items():
        try:
            served = yield from describe(model)
        except EmbeddingError as error:
            if error.code != "NOT_FOUND":
                raise
            differences.append(f"model {model!r}: not served: {error.server_message}")
            continue
        differences += _compare(served, manifest, getattr(manifest, kind)["signatures"], model)
    if golden and not differences:
        cases = [("text", golden.captions, golden.caption_embeddings)]
        if golden.features is None:
            cases.append(("image", golden.files, golden.image_embeddings))
        else:
            cases.append(("features", golden.features, golden.image_embeddings))
        for kind, inputs, expected in cases:
            found = yield from embed[kind](inputs)
            apart = float(np.mean(1 - np.einsum("nd,nd->n", found, expected)))
            if not apart <= tolerance:
                model = models["text" if kind == "text" else "image"]
                differences.append(
                    f"model {model!r}: its embeddings of the {len(expected)} cases of the export "
                    f"are {apart:.2g} away (mean of 1 - cosine); allowed are {tolerance:g}. "
                    "These are other weights, or 8-bit ones"
                )
    if differences:
        raise MismatchError(
            f"The server does not serve export {manifest.name!r}, version {manifest.version}: "
            + "; ".join(differences)
            + ".",
            differences,
        )


def _compare(
    served: ModelMetadata, manifest: Manifest, expected: dict[str, Any], model: str
) -> Iterator[str]:
    if served.version != manifest.version:
        yield (
            f"model {model!r}: version {served.version} is served; the manifest describes "
            f"{manifest.version}"
        )
    for name, each in expected.items():
        where = f"model {model!r}, signature {name!r}"
        signature = served.signatures.get(name)
        if signature is None:
            yield f"{where}: not served; there are {', '.join(served.signatures) or 'none'}"
            continue
        fields = (
            ("input", each["input"], each["dtype"], each["shape"], signature.inputs),
            ("output", "embedding", "float32", [None, manifest.embedding_size], signature.outputs),
        )
        for direction, field, dtype, shape, found in fields:
            if list(found) != [field]:
                names = ", ".join(map(repr, found)) or "none"
                yield f"{where}: {direction} is named {names}; expected {field!r}"
            else:
                yield from _compare_tensors(f"{where}, {field!r}", found[field], dtype, shape)


def _compare_tensors(
    where: str, found: Tensor, dtype: str, shape: list[int | None]
) -> Iterator[str]:
    dtype = _TYPE_NAMES.get(dtype, dtype)
    if found.dtype != dtype:
        yield f"{where}: dtype is {found.dtype}; expected {dtype}"
    sizes = tuple(-1 if size is None else size for size in shape)
    if found.shape != sizes:
        told = "open" if found.shape is None else list(found.shape)
        yield f"{where}: shape is {told}; expected {list(sizes)}"
