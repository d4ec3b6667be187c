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
    ],
)
def test_nonsense_is_refused(tensor, message):
    with pytest.raises(MiteError, match=message):
        to_array(tensor)


def test_names_are_those_of_tensorflow():
    for name in ("float32", "int32", "uint8", "string"):
        assert type_number(name) == tf.dtypes.as_dtype(name).as_datatype_enum
    assert type_name(3) == "int32"


def test_unknown_type_is_refused():
    with pytest.raises(MiteError, match="complex128"):
        to_tensor(np.zeros(1, complex))
