"""Unit vectors whose dot products do not depend on how a matrix product is cut into blocks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError

_GRID = 2.0**26
_FLOAT32_STEP = 2.0**-23
_ROWS = 1024


def unit_rows(
    vectors: ArrayLike, *, name: str = "vectors", allow_zero: bool = False
) -> NDArray[np.float32]:
    """Scales rows to length 1, on a grid on which float64 dot products are exact.

    The last bits of a matrix product depend on block shapes and threads, so that two equal
    rows may miss a tie. Here every entry is a multiple of 2**-26: every product is a multiple
    of 2**-52 and every partial sum is below 2, which float64 holds without rounding, and
    `similarity` gives one pair the same bits wherever it stands. The grid moves an entry by
    at most 2**-27, less than what a float32 matrix product rounds away. Rows that this
    function made before come back unchanged.

    Args:
        vectors: Real numbers of shape `[N, D]`.
        name: What the rows are called in an error.
        allow_zero: Whether a row of zeros is kept (its similarity is 0 with all) or refused.

    Returns:
        Float32 array of shape `[N, D]`, in C order.

    Raises:
        MiteError: If the shape is not `[N, D]`, a value is not finite, or a row is all zeros.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise MiteError(f"{name} must have shape [rows, dimension]; received {vectors.shape}.")
    units = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _ROWS):
        block = np.array(vectors[start : start + _ROWS], np.float64, order="C")
        largest = np.abs(block).max(axis=1, keepdims=True)
        if not np.isfinite(largest).all():
            row = start + int(np.argmin(np.isfinite(largest)))
            raise MiteError(f"{name}, row {row}: a value is not finite (NaN or infinity).")
        if not allow_zero and not largest.all():
            row = start + int(np.argmin(largest))
            raise MiteError(f"{name}, row {row}: all values are zero, so it has no direction.")
        # Squares of tiny and huge entries would leave the range of float64.
        scale = np.where(largest > 0, largest, 1.0)
        length = scale * np.sqrt(np.square(block / scale).sum(axis=1, keepdims=True))
        # Where float32 is coarser than the grid (above 1/4), its steps are multiples of it.
        rounded = _to_grid(block / np.where(length > 0, length, 1.0))
        already = (_to_grid(block) == block).all(axis=1, keepdims=True)
        already &= np.abs(length - 1.0) < _FLOAT32_STEP
        units[start : start + _ROWS] = np.where(already, block, rounded)
    return units


def first_values(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Returns the first values of each vector `[N, D]`, of length 1; all of them as they are.

    Example:
        >>> first_values(np.float32([[0.6, 0.0, 0.8]]), 2).tolist()
        [[1.0, 0.0]]
    """
    if vectors.shape[1] == dimensions:
        return vectors
    return unit_rows(vectors[:, :dimensions], allow_zero=True)


def similarity(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Computes the cosine similarity of every row with every column, always to the same bits.

    Args:
        rows: Float32 array of shape `[N, D]` from `unit_rows`.
        columns: Float32 array of shape `[M, D]` from `unit_rows`.

    Returns:
        Float32 array of shape `[N, M]` in [-1, 1]: the exact products, rounded once.

    Example:
        >>> similarity(unit_rows([[2.0, 0.0]]), unit_rows([[1.0, 0.0], [0.0, 3.0]])).tolist()
        [[1.0, 0.0]]
    """
    exact = rows.astype(np.float64) @ columns.astype(np.float64).T
    return exact.astype(np.float32)


def _to_grid(block: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(block * _GRID) / _GRID
