"""`mite serve`."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mite_tf.cli.options import Verbs, add_verb, chosen
from mite_tf.errors import MiteError

if TYPE_CHECKING:
    from mite_tf.serving.server import TLS, Batching


def add(verbs: Verbs) -> None:
    """Adds the verb `serve`."""
    verb = add_verb(
        verbs,
        "serve",
        _serve,
        "answer TensorFlow Serving's gRPC and REST, OpenAI's embeddings, and searches of an index",
        "mite serve exports/first --port 8500 --http-port 8501\n"
        "  mite serve exports/first --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem\n"
        "  mite serve exports/first --batching-parameters-file batching.config\n"
        "  mite serve exports/first --index photos.index",
    )
    option = verb.add_argument
    option("export", help="export folder; newer versions in it are taken up")
    option(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default 127.0.0.1)"
    )
    option("--port", type=int, default=8500, help="of gRPC (default 8500; 0 for any)")
    option(
        "--http-port",
        type=int,
        default=8501,
        metavar="PORT",
        help="of REST and metrics (default 8501; -1 for none)",
    )
    option(
        "--index",
        metavar="INDEX",
        help="answer /search of HTTP from this index, made by `mite index`",
    )
    option(
        "--backend",
        default="auto",
        metavar="NAME",
        help="onnx, onnx-int8, savedmodel, or auto (default): the best that the export has",
    )
    batching = verb.add_mutually_exclusive_group()
    batching.add_argument(
        "--batching-parameters-file",
        metavar="FILE",
        help="as TensorFlow Serving's (default: tf_serving/batching.config of the export)",
    )
    batching.add_argument(
        "--no-batching", action="store_true", help="give each request a call of its own"
    )
    option("--tls-cert", metavar="FILE", help="certificate of the server (PEM)")
    option("--tls-key", metavar="FILE", help="its private key (PEM)")
    option(
        "--tls-client-ca", metavar="FILE", help="ask clients for a certificate of this authority"
    )
    option(
        "--max-message-mib", type=int, default=64, metavar="N", help="largest request (default 64)"
    )
    option(
        "--max-image-megapixels",
        type=int,
        default=64,
        metavar="N",
        help="largest image (default 64)",
    )
    option(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="debug for a line a request (default info)",
    )


def _serve(options: argparse.Namespace) -> None:
    # gRPC looks when it is loaded. It would log by lines of its own format what harms nobody.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from mite_tf.serving import serve

    serve(
        options.export,
        http_port=None if options.http_port == -1 else options.http_port,
        batching=_batching(options),
        tls=_tls(options),
        max_message_bytes=options.max_message_mib << 20,
        max_image_pixels=options.max_image_megapixels * 1_000_000,
        **chosen(options, "host port index backend log_level"),
    )


def _batching(options: argparse.Namespace) -> Batching | None:
    from mite_tf.serving.server import ServerOptions, read_batching

    if options.no_batching:
        return replace(ServerOptions(export=Path(options.export)).choose_batching(), gather=False)
    if options.batching_parameters_file:
        return read_batching(options.batching_parameters_file)
    return None


def _tls(options: argparse.Namespace) -> TLS | None:
    from mite_tf.serving.server import TLS

    cert, key, client_ca = options.tls_cert, options.tls_key, options.tls_client_ca
    if not cert and not key and not client_ca:
        return None
    if not cert or not key:
        raise MiteError("TLS takes both, --tls-cert and --tls-key.")
    return TLS(cert=Path(cert), key=Path(key), client_ca=Path(client_ca) if client_ca else None)
