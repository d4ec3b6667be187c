"""One server of an export: `python -m mite_tf.serving.loadtest.run_server EXPORT BACKEND BATCHING`.

It prints its ports of gRPC and REST, and ends with its standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.quiet import load_tensorflow
from mite_tf.serving.server import ServerOptions, read_batching, start_server


def main() -> None:
    """Serves until standard input ends."""
    export, backend, batching = sys.argv[1:]
    try:
        if ServerOptions(export=Path(export), backend=backend).choose_kind() == "savedmodel":
            load_tensorflow()
        server = start_server(export, backend=backend, batching=read_batching(batching))
    except MiteError as error:
        print(f"mite: {error}", file=sys.stderr)
        sys.exit(2)
    print(server.port, server.http_port, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
