"""Servers in processes of their own, for measurements: a real one, and one that only echoes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Listening(NamedTuple):
    """A server that answers.

    Attributes:
        process: Its process.
        port: Port of gRPC.
        http_port: Port of HTTP; None if it has none.
    """

    process: subprocess.Popen[str]
    port: int
    http_port: int | None


@contextmanager
def serving(export: Path, log: Path, **options: object) -> Iterator[Listening]:
    """Runs `serve` of an export; standard error goes to `log`."""
    settings = {"port": 0, "http_port": 0, **options}
    script = (
        "import sys, json; from mite_tf.serving.server import serve, Batching; "
        "o = json.loads(sys.argv[2]); b = o.pop('batching', None); "
        "serve(sys.argv[1], batching=b and Batching(**b), **o)"
    )
    command = [sys.executable, "-c", script, str(export), json.dumps(settings)]
    with _listening(command, log) as server:
        yield server


@contextmanager
def echoing(reply: Path, log: Path) -> Iterator[Listening]:
    """Runs a bare gRPC server that reads every request and answers with the same message."""
    command = [sys.executable, "-m", "tests.benchmarks.serving_processes", str(reply)]
    with _listening(command, log) as server:
        yield server


@contextmanager
def _listening(command: list[str], log: Path) -> Iterator[Listening]:
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stderr=out, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        )
    try:
        ports = _wait(process, log)
        yield Listening(process, ports["port"], ports.get("http_port"))
    finally:
        process.terminate()
        process.wait(120)


def _wait(process: subprocess.Popen[str], log: Path) -> dict[str, int]:
    while True:
        for line in log.read_text().splitlines():
            if '"message": "serving"' in line:
                return json.loads(line)
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"The server ended: {log.read_text()[-2000:]}")


async def _echo(reply: bytes) -> None:
    import grpc

    from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse

    async def answer(request: object, context: object) -> object:
        return PredictResponse.FromString(reply)

    method = grpc.unary_unary_rpc_method_handler(
        answer, PredictRequest.FromString, PredictResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(PREDICTION_SERVICE, {"Predict": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"message": "serving", "port": port}), file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_echo(Path(sys.argv[1]).read_bytes()))
