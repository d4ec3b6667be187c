"""A small server that speaks TensorFlow Serving's protocol."""

from mite_tf.extras import from_extra

with from_extra("serving", "mite_tf.serving.server"):
    from mite_tf.serving.server.options import TLS, Batching, ServerOptions, read_batching
    from mite_tf.serving.server.server import RunningServer, serve, start_server

__all__ = [
    "TLS",
    "Batching",
    "RunningServer",
    "ServerOptions",
    "read_batching",
    "serve",
    "start_server",
]
