"""Verifying an export folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.export.formats import check_runnable
from mite_tf.export.manifest import Manifest, check_files, read_manifest
from mite_tf.export.verification.check import Check
from mite_tf.export.verification.golden import Golden, read_golden


def verify(folder: str | Path) -> list[Check]:
    """Compares every exported form with what Keras computed when the export was made.

    Neither the training code nor a Keras model is needed: the folder holds cases and answers.

    Args:
        folder: The export.

    Returns:
        The checks, all passed.

    Raises:
        MiteError: If the folder is no export, a package is missing, the files are not those of
            the manifest, a form cannot be loaded, or a difference exceeds its tolerance.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_runnable(manifest.formats)
    check_files(folder, manifest.files)
    checks = list(_checks(folder, manifest, read_golden(folder)))
    failed = [check for check in checks if not check.passed]
    if failed:
        told = "\n".join(
            f"  {check.name}: {check.difference:.3g}, at most {check.tolerance:.3g} is allowed"
            for check in failed
        )
        raise MiteError(f"{folder}: does not compute what Keras computed:\n{told}")
    return checks


def _checks(folder: Path, manifest: Manifest, golden: Golden) -> Iterator[Check]:
    from mite_tf.export.verification import keras_formats, onnx, savedmodel, tokens

    formats = manifest.formats
    yield from tokens.checks(folder, manifest, golden)
    if "savedmodel" in formats:
        yield from savedmodel.checks(folder, manifest, golden)
    if "onnx" in formats:
        yield from onnx.checks(folder, manifest, golden, int8="int8" in formats)
    for name in ("litert", "openvino"):
        if name in formats:
            yield from keras_formats.checks(folder, manifest, golden, name)
