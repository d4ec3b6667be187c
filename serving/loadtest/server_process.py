"""A server of an export in a process of its own, for as long as its parent wants it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mite_tf.errors import MiteError

_MODULE = "mite_tf.serving.loadtest.run_server"


@contextmanager
def server_process(
    export: str | Path, *, backend: str, batching: str | Path
) -> Iterator[tuple[int, int]]:
    """Serves an export while the block runs.

    Args:
        export: Export folder.
        backend: `onnx`, `onnx-int8`, `savedmodel` or `auto`.
        batching: File of batching parameters.

    Yields:
        The ports of gRPC and of REST, on this machine.

    Raises:
        MiteError: If it does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE, str(export), backend, str(batching)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C ends the sweep, which ends this
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports = process.stdout.readline().split()
        if len(ports) != 2:
            raise MiteError(f"{export}: the server did not start; what it printed tells why.")
        yield int(ports[0]), int(ports[1])
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
