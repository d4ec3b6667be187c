"""Opens Keras model files, and says of what is none what it is."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import keras

from mite_tf.errors import MiteError
from mite_tf.files import GIT_LFS, is_pointer
from mite_tf.registration import register_layers_in


def open_model(path: str | Path) -> keras.Model:
    """Opens a Keras model file, `.keras` or `.h5`.

    Raises:
        MiteError: If there is no such file, it is none, or its model cannot be built.

    Example:
        >>> open_model("nowhere.keras")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere.keras: no such backbone file.
    """
    path = Path(path)
    if not path.exists():
        raise MiteError(f"{path}: no such backbone file.")
    if problem := _no_model(path):
        raise MiteError(f"{path}: cannot be opened as a Keras model: {problem}")
    register_layers_in(path)
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise MiteError(
            f"{path}: cannot be opened as a Keras model: {_why_not_loaded(error)}"
        ) from error


def _no_model(path: Path) -> str | None:
    """Says what a path is if it is no Keras model file; None if it may be one."""
    if path.is_dir():
        kind = "a TensorFlow SavedModel" if (path / "saved_model.pb").exists() else "a folder"
        return f"it is {kind}; where it was made, write one file with model.save('NAME.keras')."
    if not path.is_file():
        return "it is a pipe, a socket or a device."
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty."
    if is_pointer(start):
        return f"it is {GIT_LFS}."
    if start.startswith(b"PK"):
        return _no_keras_archive(path)
    if start.startswith(b"\x89HDF"):
        return _no_hdf5_model(path)
    return "it is neither a .keras nor an .h5 file."


def _no_keras_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in many ways
        return "it is damaged or was cut off; copy it again."
    if "config.json" not in names:
        return "it is a zip file without a model; a .keras file holds config.json."
    return None if path.suffix == ".keras" else "rename it, so that it ends in .keras."


def _no_hdf5_model(path: Path) -> str | None:
    import h5py

    try:
        with h5py.File(path) as file:
            holds_model = "model_config" in file.attrs
    except Exception:  # as a damaged file of HDF5 does
        return "it is damaged or was cut off; copy it again."
    if not holds_model:
        return (
            "it holds weights without a model; make one with them by `mite backbone NAME "
            "--weights FILE --out NEW.keras`, where NAME is the model of keras.applications."
        )
    return None if path.suffix in (".h5", ".hdf5") else "rename it, so that it ends in .h5."


def _why_not_loaded(error: Exception) -> str:
    reason = " ".join(str(error).split())
    if "Lambda" in reason or "lambda" in reason:
        return (
            "it holds a Lambda layer, whose code Keras does not run from a file; save it with "
            "stock layers such as Rescaling in its place, or without, and then run "
            "`mite backbone --from FILE --out NEW.keras`."
        )
    custom = re.search(r"(?:locate (?:class|function)|Unknown (?:layer|object)):? '?(\w+)", reason)
    if custom:
        return (
            f"it needs {custom[1]}, which is not part of Keras; register it in Python "
            "(@keras.saving.register_keras_serializable()) before the file is opened, or save the "
            "model with stock layers."
        )
    return reason if len(reason) < 300 else f"{reason[:300]} …"
