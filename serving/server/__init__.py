"""A small server that speaks TensorFlow Serving's protocol."""

from mite_tf.serving.server.batching import Batching, read_batching
from mite_tf.serving.server.options import TLS, ServerOptions
from mite_tf.serving.server.run import RunningServer, serve, start_server

__all__ = [
    "TLS",
    "Batching",
    "RunningServer",
    "ServerOptions",
    "read_batching",
    "serve",
    "start_server",
]
