"""Servers and functions in processes of their own, for measurements."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_tensor


class Listening(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    http_port: int


def request_of(model: str, name: str, value: np.ndarray) -> Any:
    request = PredictRequest()
    request.model_spec.name = model
    request.inputs[name].CopyFrom(to_tensor(value))
    return request


def new_process() -> ProcessPoolExecutor:
    """A pool of one process that shares nothing with this one."""
    return ProcessPoolExecutor(1, get_context("spawn"))


def in_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Calls a function in a new process, so that nothing that it loads stays here."""
    with new_process() as pool:
        return pool.submit(function, *arguments).result()


@contextmanager
def serving(export: Path, log: Path, *options: str, files: int = 0) -> Iterator[Listening]:
    """Runs `mite serve` on free ports; standard error goes to `log`.

    It may open so many files at once, if `files` are given.
    """
    words = ("mite_tf.cli", "serve", str(export), "--port", "0", "--http-port", "0", *options)
    with _listening(words, log, files) as server:
        yield server


@contextmanager
def echoing(reply: Path, log: Path) -> Iterator[Listening]:
    """Runs a bare gRPC server that reads every request and answers with the same message."""
    with _listening(("tests.benchmarks.serving_processes", str(reply)), log) as server:
        yield server


@contextmanager
def _listening(words: tuple[str, ...], log: Path, files: int = 0) -> Iterator[Listening]:
    limit = f"ulimit -n {files}; " if files else ""
    command = ["sh", "-c", f'{limit}exec "$@"', "sh", sys.executable, "-m", *words]
    with log.open("w") as out:
        process = subprocess.Popen(command, stderr=out, text=True)
    try:
        yield Listening(process, *_wait(process, log))
    finally:
        process.terminate()
        process.wait(120)


def _wait(process: subprocess.Popen[str], log: Path) -> tuple[int, int]:
    while True:
        for line in log.read_text().splitlines():
            if '"message": "serving"' in line:
                found = json.loads(line)
                return found["port"], found.get("http_port", 0)
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"The server ended: {log.read_text()[-2000:]}")


async def _echo(reply: bytes) -> None:
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
