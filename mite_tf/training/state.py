"""The resumable state of a training, in one file that is never half written."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.files import written_beside


def write_state(path: str | Path, variables: Sequence[Any], values: dict[str, Any]) -> None:
    """Writes variables and plain values into one file, whole or not at all.

    Args:
        path: File to write, `.npz`.
        variables: Keras or TensorFlow variables, in an order that is the same at reading.
        values: JSON values.
    """
    arrays: dict[str, Any] = {
        f"variable_{i}": variable.numpy() for i, variable in enumerate(variables)
    }
    with written_beside(path, "wb") as file:
        np.savez(file, values=np.array(json.dumps(values)), **arrays)


def read_state(path: str | Path, variables: Sequence[Any]) -> dict[str, Any]:
    """Assigns the variables that `write_state` wrote and returns the plain values.

    Raises:
        MiteError: If the file is no such state, or that of a differently built model. No
            variable is changed then.
    """
    path = Path(path)
    try:
        # Opened here: `np.load` leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            values = json.loads(str(file["values"]))
            arrays = [file[f"variable_{i}"] for i in range(len(file.files) - 1)]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise MiteError(f"{path}: not a readable training state: {error}") from error
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise MiteError(
            f"{path}: the state holds {len(arrays)} variables that do not fit the "
            f"{len(shapes)} of this model. Resume with the version of the package that wrote it."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return values
