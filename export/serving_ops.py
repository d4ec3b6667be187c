"""The operations that a stock TensorFlow Serving binary can run."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mite_tf.errors import MiteError


def ops_of(savedmodel: str | Path) -> set[str]:
    """Returns the names of all operations in the graph and functions of a SavedModel."""
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((Path(savedmodel) / "saved_model.pb").read_bytes())
    ops = set()
    for meta_graph in message.meta_graphs:
        graph = meta_graph.graph_def
        functions = {function.signature.name for function in graph.library.function}
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        ops |= {node.op for node in nodes} - functions
    return ops


def check_ops(savedmodel: str | Path) -> None:
    """Refuses a SavedModel that a stock TensorFlow Serving could not load.

    Core operations are those of `tf.raw_ops`; those of TensorFlow Text that the server links are
    listed in `serving_ops.json`, with their source.

    Args:
        savedmodel: Folder of the SavedModel.

    Raises:
        MiteError: If an operation is neither.
    """
    listed = json.loads(resources.files(__package__).joinpath("serving_ops.json").read_text())
    missing = ops_of(savedmodel) - set(dir(tf.raw_ops)) - set(listed["tensorflow_text"])
    if missing:
        raise MiteError(
            f"{savedmodel}: needs operations that TensorFlow Serving does not link: "
            f"{', '.join(sorted(missing))}. See serving_ops.json for those it does."
        )
