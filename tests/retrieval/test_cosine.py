import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.retrieval.cosine import similarity, unit_rows


def test_similarity_is_cosine():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 20, 300))
    cosine = x @ y.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    np.testing.assert_allclose(similarity(unit_rows(x), unit_rows(y)), cosine, atol=2e-7)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 600))
def test_similarity_is_the_exact_product_rounded_once(seed, rows, columns, dimension):
    rng = np.random.default_rng(seed)
    x = unit_rows(rng.normal(size=(rows, dimension)))
    y = unit_rows(rng.normal(size=(columns, dimension)))
    exact = [[np.float32(math.fsum(np.float64(a) * np.float64(b))) for b in y] for a in x]
    assert similarity(x, y).tolist() == np.array(exact).tolist()


def test_one_pair_has_the_same_bits_in_every_block():
    rng = np.random.default_rng(2)
    x, y = unit_rows(rng.normal(size=(301, 257))), unit_rows(rng.normal(size=(203, 257)))
    whole = similarity(x, y)
    for rows, columns in ((1, 203), (301, 1), (7, 11), (64, 100)):
        for i in range(0, 301, rows):
            for j in range(0, 203, columns):
                block = similarity(x[i : i + rows], y[j : j + columns])
                assert (block == whole[i : i + rows, j : j + columns]).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_row_does_not_depend_on_its_neighbours(seed, dimension):
    vectors = np.random.default_rng(seed).normal(size=(5, dimension)).astype(np.float32)
    together = unit_rows(vectors)
    alone = np.concatenate([unit_rows(row[None]) for row in vectors])
    fortran = unit_rows(np.asfortranarray(vectors))
    assert (together == alone).all()
    assert (together == fortran).all()
    assert (together == unit_rows(together)).all()


def test_tiny_and_huge_rows_keep_their_direction():
    units = unit_rows([[3e-200, 4e-200], [3e200, 4e200]])
    np.testing.assert_allclose(units, [[0.6, 0.8], [0.6, 0.8]], atol=1e-7)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1, 1], [1, np.nan]], "captions, row 1: .* not finite"),
        ([[1, 1], [1, np.inf]], "captions, row 1: .* not finite"),
        ([[1, 0], [0, 0]], "captions, row 1: all values are zero"),
        ([1, 2, 3], r"received \(3,\)"),
    ],
)
def test_rows_without_a_direction_are_refused(vectors, message):
    with pytest.raises(MiteError, match=message):
        unit_rows(vectors, name="captions")


def test_a_zero_row_may_be_allowed():
    assert unit_rows([[0.0, 0.0]], allow_zero=True).tolist() == [[0.0, 0.0]]
