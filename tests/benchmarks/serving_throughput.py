"""Requests a second of the local server, beside a bare gRPC echo and the model alone.

python -m tests.benchmarks.serving_throughput [--seconds 5] [--rounds 1] [--only bag-of-words]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.serving.server import read_batching
from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_tensor
from tests.benchmarks.serving_processes import echoing, serving

CLIENTS = (1, 8, 32)
TEXTS = ("bag-of-words", "recurrent", "transformer")
BACKENDS = ("onnx", "savedmodel")
WORDS = 5000
_WARM_SECONDS, _CHANNELS = 0.5, 4

_CLIENT = """
import asyncio, json, pickle, sys
from pathlib import Path
from tests.benchmarks.serving_throughput import ask
port, clients, seconds, path = sys.argv[1:]
requests = pickle.loads(Path(path).read_bytes())
print(json.dumps(asyncio.run(ask(int(port), int(clients), float(seconds), requests))))
"""

_DIRECT = """
import json, pickle, sys, time
import numpy as np
from mite_tf.serving.backends import open_backend
export, model, kind, path = sys.argv[1:]
backend = open_backend(export, model, kind)
rows = pickle.loads(open(path, "rb").read())
result = []
for count in (1, 32):
    array = np.empty(count, object)
    array[:] = [rows[n % len(rows)] for n in range(count)]
    times = []
    while sum(times) < 2 or len(times) < 10:
        start = time.perf_counter()
        backend.run(backend.prepare("serving_default", array))
        times.append(time.perf_counter() - start)
    result.append(count / sorted(times)[len(times) // 2])
print(json.dumps(result))
"""


async def ask(port: int, clients: int, seconds: float, requests: list[bytes]) -> dict[str, float]:
    """Asks for requests a second from so many clients, and p50 and p99 in milliseconds."""
    # Each channel has a connection of its own.
    channels = [
        grpc.aio.insecure_channel(
            f"127.0.0.1:{port}",
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", -1),
            ],
        )
        for _ in range(min(clients, _CHANNELS))
    ]
    calls = [
        channel.unary_unary(f"/{PREDICTION_SERVICE}/Predict", None, PredictResponse.FromString)
        for channel in channels
    ]
    begin = time.perf_counter() + _WARM_SECONDS
    end = begin + seconds
    times: list[float] = []

    async def client(number: int) -> None:
        call = calls[number % len(calls)]
        while (start := time.perf_counter()) < end:
            await call(requests[number % len(requests)])
            number += clients
            if start >= begin:
                times.append(time.perf_counter() - start)

    await asyncio.gather(*map(client, range(clients)))
    for channel in channels:
        await channel.close()
    times.sort()
    return {
        "rate": len(times) / seconds,
        "p50": 1e3 * times[len(times) // 2],
        "p99": 1e3 * times[int(0.99 * len(times))],
    }


def make_export(folder: Path, kind: str) -> None:
    """Writes an export; in a process of its own, so that TensorFlow is gone when it is measured."""
    script = (
        "import sys; from tests.serving.exports import *; "
        "from mite_tf.models import small_cnn; "
        f"words = VOCABULARY + [f'word{{n}}' for n in range({WORDS})]; "
        "write_export(sys.argv[1], make_encoders(text=sys.argv[2], vocabulary=words, "
        "embedding_size=512, max_length=48, backbone=small_cnn(image_size=64)), kind=sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", script, str(folder), kind], check=True,
                   capture_output=True)  # fmt: skip


def rows_of(model: str) -> list[bytes]:
    """What the clients ask for: captions of ten words, or picture files."""
    if model == "image":
        from mite_tf.export.verification.cases import images

        return [images()["photo.jpg"]]
    return [
        f"two dogs run across the wet sand word{n} word{7 * n % WORDS} .".encode()
        for n in range(256)
    ]


def write_requests(path: Path, model: str, rows: list[bytes]) -> None:
    """Writes serialised requests of one row each."""
    requests = []
    for row in rows:
        request = PredictRequest()
        request.model_spec.name = model
        name = "text" if model == "text" else "image_bytes"
        request.inputs[name].CopyFrom(to_tensor(np.array([row], object)))
        requests.append(request.SerializeToString())
    path.write_bytes(pickle.dumps(requests))


def write_reply(path: Path) -> None:
    """Writes the answer that the echo gives: one embedding of 512 numbers."""
    response = PredictResponse()
    response.model_spec.name = "text"
    response.model_spec.version.value = 1
    response.model_spec.signature_name = "serving_default"
    response.outputs["embedding"].CopyFrom(to_tensor(np.full((1, 512), 0.04, np.float32)))
    path.write_bytes(response.SerializeToString())


def measure(port: int, requests: Path, seconds: float) -> list[dict[str, float]]:
    """Asks with each number of clients."""
    found = []
    for clients in CLIENTS:
        command = [sys.executable, "-c", _CLIENT, str(port), str(clients), str(seconds), requests]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    return found


def median(rounds: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Medians over rounds, for each number of clients."""
    return [
        {key: float(np.median([each[key] for each in found])) for key in found[0]}
        for found in zip(*rounds, strict=True)
    ]


def row(name: str, found: list[dict[str, float]], alone: list[float] | None = None) -> str:
    """A row of the table."""
    cells = [f"{each['rate']:.0f} ({each['p50']:.1f} / {each['p99']:.1f})" for each in found]
    cells.append(" / ".join(f"{rate:.0f}" for rate in alone) if alone else "")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many, all in turn")
    parser.add_argument("--only", action="append", choices=[*TEXTS, "image"])
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--backends", nargs="*", default=BACKENDS)
    options = parser.parse_args()
    globals()["CLIENTS"] = tuple(options.clients)
    heads = [f"{count} client{'s' * (count > 1)}" for count in options.clients]
    print("Requests of one row a second (p50 / p99 in ms); in process: rows a second by calls of "
          "1 / 32 rows.\n")  # fmt: skip
    print(f"| | {' | '.join(heads)} | in process |\n|{' --- |' * (len(heads) + 2)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.only or [*TEXTS, "image"]:
            measure_kind(Path(folder), kind, options)


def measure_kind(folder: Path, kind: str, options: argparse.Namespace) -> None:
    """Measures an encoder on all backends beside an echo of its messages, and prints the rows."""
    model = "image" if kind == "image" else "text"
    export, log, rows, requests = (folder / each for each in (kind, "log", "rows", "requests"))
    rows.write_bytes(pickle.dumps(rows_of(model)))
    write_requests(requests, model, rows_of(model))
    write_reply(folder / "reply")
    make_export(export, "bag-of-words" if kind == "image" else kind)
    batching = read_batching(export / "tf_serving" / "batching.config")
    servers = {f"bare gRPC echo beside {kind}": partial(echoing, folder / "reply", log)}
    alone: dict[str, list[float]] = {}
    for backend in options.backends:
        for gather in (True, False):
            settings: dict[str, Any] = asdict(replace(batching, gather=gather))
            name = f"{kind}, {backend}, {'batching' if gather else 'no batching'}"
            servers[name] = partial(serving, export, log, backend=backend, batching=settings)
        command = [sys.executable, "-c", _DIRECT, str(export), model, backend, str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        alone[f"{kind}, {backend}, batching"] = json.loads(done.stdout)
    found: dict[str, list[list[dict[str, float]]]] = {name: [] for name in servers}
    for _ in range(options.rounds):
        for name, start in servers.items():
            with start() as server:
                found[name].append(measure(server.port, requests, options.seconds))
    for name, rounds in found.items():
        print(row(name, median(rounds), alone.get(name)), flush=True)


if __name__ == "__main__":
    main()
