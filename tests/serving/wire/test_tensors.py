"""Tensors are written as TensorFlow reads them, and the other way round."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2

from mite_tf.errors import MiteError
from mite_tf.serving.wire.messages import TensorProto
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name, type_number

KINDS = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.int8, np.int16, np.bool_]
ARRAYS = st.sampled_from(KINDS).flatmap(
    lambda kind: arrays.arrays(
        kind, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0), fill=st.nothing()
    )
)


def by_tensorflow(tensor):
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor.SerializeToString()))


@given(ARRAYS)
def test_tensorflow_reads_arrays(array):
    for read in (to_array(to_tensor(array)), by_tensorflow(to_tensor(array))):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@given(ARRAYS)
def test_arrays_of_tensorflow_are_read(array):
    theirs = tf.make_tensor_proto(array, shape=array.shape)
    np.testing.assert_array_equal(
        to_array(TensorProto.FromString(theirs.SerializeToString())), array
    )


@given(st.lists(st.binary(), max_size=5))
def test_strings_come_back(strings):
    array = np.array(strings, dtype=object)
    assert to_array(to_tensor(array)).tolist() == strings
    assert by_tensorflow(to_tensor(array)).tolist() == strings


def test_a_last_value_stands_for_the_rest():
    tensor = TensorProto(dtype=type_number("int32"), int_val=[1, 2])
    tensor.tensor_shape.dim.add(size=2)
    tensor.tensor_shape.dim.add(size=2)
    assert to_array(tensor).tolist() == [[1, 2], [2, 2]] == by_tensorflow(tensor).tolist()


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TensorProto(dtype=1, float_val=[1.0, 2.0]), "has 1 values; received 2"),
        (TensorProto(dtype=1), "has 1 values; received 0"),
        (TensorProto(dtype=1, tensor_content=b"abc"), "has 4 bytes; received 3"),
        (TensorProto(dtype=8), "type complex64"),
        (TensorProto(dtype=1, tensor_shape={"unknown_rank": True}), "must be known"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": -1}]}), "must be known"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}] * 33}), "33 dimensions"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1 << 62}] * 2}), "than any message"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{}, {"size": 1 << 62}]}), "than any message"),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1 << 19}]}, float_val=[1]),
         "The last stands"),
        (TensorProto(dtype=7, tensor_shape={"dim": [{"size": 9}]}, string_val=[b"a" * (1 << 17)]),
         "The last stands"),
        (TensorProto(dtype=1, int_val=[1]), "received 0"),
        (TensorProto(dtype=7, tensor_content=b"a"), "received 0"),
        (TensorProto(dtype=4, int_val=[300]), "uint8: Python integer 300 out of bounds"),
        (TensorProto(dtype=4, int_val=[-1]), "uint8: Python integer -1 out of bounds"),
        (TensorProto(dtype=6, int_val=[128]), "int8: "),
        (TensorProto(dtype=5, int_val=[1 << 15]), "int16: "),
    ],
)  # fmt: skip
def test_nonsense_is_refused(tensor, message):
    with pytest.raises(MiteError, match=message):
        to_array(tensor)


SIZES = st.one_of(st.integers(-1, 4), st.sampled_from([1 << 16, 1 << 31, (1 << 63) - 1]))
INTEGERS = st.lists(st.one_of(st.integers(-2, 300), st.integers(-(1 << 31), (1 << 31) - 1)))
FLOATS = st.lists(st.floats(width=32))
FIELDS = {
    "tensor_content": st.binary(max_size=48),
    "half_val": INTEGERS,
    "float_val": FLOATS,
    "double_val": FLOATS,
    "int_val": INTEGERS,
    "int64_val": INTEGERS,
    "bool_val": st.lists(st.booleans()),
    "string_val": st.lists(st.binary(), max_size=4),
    "scomplex_val": FLOATS,
    "resource_handle_val": st.lists(st.just({"name": "a"})),
    "version_number": st.integers(0, 9),
}
SOME = st.fixed_dictionaries({}, optional=FIELDS)


@given(st.integers(0, 25), st.lists(SIZES, max_size=5), st.booleans(), SOME)
def test_a_tensor_is_what_numpy_makes_of_it_or_refused(dtype, dims, unknown, values):
    shape = {"dim": [{"size": size} for size in dims], "unknown_rank": unknown}
    tensor = TensorProto(dtype=dtype, tensor_shape=shape, **values)
    try:
        array = to_array(tensor)
    except MiteError:
        return
    assert list(array.shape) == dims
    assert array.nbytes <= 8 * tensor.ByteSize() + (1 << 20)
    if array.dtype != object and tensor.tensor_content:
        assert array.tobytes() == tensor.tensor_content
    elif array.size:
        field = {"f4": "float_val", "f8": "double_val", "i8": "int64_val", "b1": "bool_val",
                 "O": "string_val"}.get(array.dtype.str[1:], "int_val")  # fmt: skip
        sent = list(getattr(tensor, field))
        expected = np.array(sent + sent[-1:] * (array.size - len(sent)), array.dtype)
        np.testing.assert_array_equal(array.ravel(), expected)


def test_names_are_those_of_tensorflow():
    for name in ("float32", "int32", "uint8", "string"):
        assert type_number(name) == tf.dtypes.as_dtype(name).as_datatype_enum
    assert type_name(3) == "int32"


def test_unknown_type_is_refused():
    with pytest.raises(MiteError, match="complex128"):
        to_tensor(np.zeros(1, complex))
