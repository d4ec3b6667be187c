"""Whatever JSON asks: the array that NumPy makes of it, or a refusal that can be sent."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mite_tf.errors import MiteError
from mite_tf.serving.backends import SignatureSpec
from mite_tf.serving.server.json_tensors import count_values, parse_request, to_input

SIGNATURES = [
    SignatureSpec("text", "string", (None,)),
    SignatureSpec("token_ids", "int32", (None, None)),
    SignatureSpec("pixels", "float32", (None, None, None, 3)),
    SignatureSpec("pixels", "uint8", (None, None, None, 3)),
]
TEXTS = st.text(st.characters(exclude_categories=()), max_size=4)  # surrogates, too
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["text", "pixels", "b64"]), inner, max_size=2),
    ),
    max_leaves=10,
)
SHAPES = arrays.array_shapes(max_dims=4, max_side=3)
NUMBERS = st.sampled_from([np.uint8, np.int64, np.float64]).flatmap(
    lambda kind: arrays.arrays(kind, SHAPES).map(np.ndarray.tolist)
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name"]), st.one_of(NUMBERS, VALUES)
)
BODIES = st.one_of(
    st.binary(max_size=20),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.one_of(NUMBERS, VALUES).map(lambda values: json.dumps({"inputs": values}).encode()),
)


@given(BODIES, st.sampled_from(SIGNATURES))
def test_a_body_is_what_numpy_makes_of_it_or_refused(body, signature):
    try:
        assert count_values(body) >= body.count(b"[")
        _, values, by_row = parse_request(body)
        array = to_input(values, by_row, signature, check_rows=lambda rows: None)
    except MiteError as error:
        message = str(error).encode()
    else:
        message = None
    if message is not None:
        assert 0 < len(message) <= 1024
        return
    if signature.dtype == "string":
        assert all(isinstance(value, bytes) for value in array.ravel())
        return
    if by_row and isinstance(values[0], dict):
        values = [row[signature.input] for row in values]
    elif isinstance(values, dict):
        values = values[signature.input]
    assert array.dtype == signature.dtype
    assert np.isfinite(array).all()
    np.testing.assert_array_equal(array, np.array(values, array.dtype))
