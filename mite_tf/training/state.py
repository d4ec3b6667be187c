"""The resumable state of a training, in one file that is never half written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.files import written_beside
from mite_tf.reading import open_arrays, reading

_ADVICE = "Bring it back from a copy, or train anew in another folder."


# no example: see `read_state`
def write_state(path: str | Path, variables: Sequence[Any], values: dict[str, Any]) -> None:
    """Writes variables and JSON values into one `.npz` file, whole or not at all.

    Reading takes the variables in the same order.
    """
    arrays: dict[str, Any] = {f"variable_{i}": each.numpy() for i, each in enumerate(variables)}
    with written_beside(path, "wb") as file:
        np.savez(file, values=np.array(json.dumps(values)), **arrays)


def read_state(path: str | Path, variables: Sequence[Any], *, without: str = "") -> dict[str, Any]:
    """Assigns the variables that `write_state` wrote and returns the plain values.

    Args:
        path: File that `write_state` wrote.
        variables: The variables to assign, in the order of writing.
        without: Name of a plain value that lists numbers of variables to leave out; `variables`
            are the others.

    Raises:
        MiteError: If the file is no such state, or that of a differently built model. No
            variable is changed then.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> file, variable = f"{tempfile.mkdtemp()}/state.npz", tf.Variable([1.0, 2.0])
        >>> write_state(file, [variable], {"epoch": 3})
        >>> _ = variable.assign([0.0, 0.0])
        >>> read_state(file, [variable]), variable.numpy().tolist()
        ({'epoch': 3}, [1.0, 2.0])
    """
    with _opened(path) as (file, values):
        left_out = values[without] if without else ()
        numbers = [i for i in range(len(file.files) - 1) if i not in left_out]
        arrays = [file[f"variable_{i}"] for i in numbers]
    found = [(array.shape, array.dtype) for array in arrays]
    if found != [(tuple(each.shape), each.numpy().dtype) for each in variables]:
        raise MiteError(
            f"{path}: the state holds {len(arrays)} variables that do not fit the "
            f"{len(variables)} of this model. Resume with the version of the package that wrote it."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return values


def read_values(path: str | Path) -> dict[str, Any]:
    """Returns the plain values that `write_state` wrote, and reads nothing else.

    Raises:
        MiteError: If the file is no such state.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/state.npz"
        >>> write_state(file, [], {"epoch": 3})
        >>> read_values(file)
        {'epoch': 3}
    """
    with _opened(path) as (_, values):
        return values


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Gives the arrays of a state, read one by one, and its plain values."""
    with (
        reading(path, "a readable training state", _ADVICE),
        Path(path).open("rb") as opened,  # here: `np.load` leaves a damaged file open
        open_arrays(opened) as file,
    ):
        values = json.loads(str(file["values"]))
        if not isinstance(values, dict):
            raise ValueError("its values are no object")
        yield file, values
