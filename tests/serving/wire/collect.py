"""Renews `descriptors.binpb` from the installed `tensorflow-serving-api` and TensorFlow.

python -m tests.serving.wire.collect
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorSet as Descriptors

from mite_tf.files import written_beside

DESCRIPTORS = Path(__file__).parents[3] / "serving/wire/descriptors.binpb"

# Three messages of the server's configuration files are not in the package: name, number and type
# of their fields, as in session_bundle_config.proto, ssl_config.proto and monitoring_config.proto
# of github.com/tensorflow/serving (2026-07-30).
_CONFIGURATION: dict[str, list[tuple[int, str, str]]] = {
    "BatchingParameters": [
        (1, "max_batch_size", ".google.protobuf.Int64Value"),
        (2, "batch_timeout_micros", ".google.protobuf.Int64Value"),
        (3, "max_enqueued_batches", ".google.protobuf.Int64Value"),
        (4, "num_batch_threads", ".google.protobuf.Int64Value"),
        (5, "thread_pool_name", ".google.protobuf.StringValue"),
        (6, "allowed_batch_sizes", "repeated int64"),
        (7, "pad_variable_length_inputs", "bool"),
        (8, "enable_large_batch_splitting", ".google.protobuf.BoolValue"),
        (9, "max_execution_batch_size", ".google.protobuf.Int64Value"),
    ],
    "SSLConfig": [
        (1, "server_key", "string"),
        (2, "server_cert", "string"),
        (3, "custom_ca", "string"),
        (4, "client_verify", "bool"),
    ],
    "PrometheusConfig": [(1, "enable", "bool"), (2, "path", "string")],
    "MonitoringConfig": [(1, "prometheus_config", ".tensorflow.serving.PrometheusConfig")],
}


def collect() -> Descriptors:
    """Returns the descriptors of all messages, each file after those that it imports."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow_serving.apis import (
        model_service_pb2,
        prediction_log_pb2,
        prediction_service_pb2,
    )

    found: dict[str, bytes] = {}

    def add(file: Any) -> None:
        if file.name not in found:
            for each in file.dependencies:
                add(each)
            found[file.name] = file.serialized_pb

    for module in (
        prediction_service_pb2,
        model_service_pb2,
        prediction_log_pb2,
        saved_model_pb2,
    ):
        add(module.DESCRIPTOR)
    files = [FileDescriptorProto.FromString(data) for data in found.values()]
    return Descriptors(file=[*files, _configuration()])


def _configuration() -> FileDescriptorProto:
    file = FileDescriptorProto(
        name="mite_tf/serving/configuration.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for message, fields in _CONFIGURATION.items():
        descriptor = file.message_type.add(name=message)
        for number, name, kind in fields:
            repeated, _, base = kind.rpartition(" ")
            field = descriptor.field.add(
                name=name,
                number=number,
                label=FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else FieldDescriptorProto.LABEL_OPTIONAL,
            )
            if base.startswith("."):
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, base
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{base.upper()}")
    return file


if __name__ == "__main__":
    with written_beside(DESCRIPTORS, "wb") as out:
        out.write(collect().SerializeToString(deterministic=True))
