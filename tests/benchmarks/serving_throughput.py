"""Requests a second of the local server, beside a bare gRPC echo and the model alone.

python -m tests.benchmarks.serving_throughput [--seconds 5] [--rounds 1] [--only bag-of-words]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path

import grpc
import numpy as np

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictResponse
from mite_tf.serving.wire.tensors import to_tensor
from tests.benchmarks.serving_processes import echoing, in_process, request_of, serving

CLIENTS = (1, 8, 32)
TEXTS = ("bag-of-words", "recurrent", "transformer")
BACKENDS = ("onnx", "savedmodel")
WORDS = 5000
_WARM_SECONDS, _CHANNELS = 0.5, 4
# Each channel has a connection of its own.
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


def ask(port: int, clients: int, seconds: float, requests: list[bytes]) -> tuple[float, ...]:
    """Requests a second of so many clients, and their p50 and p99 in milliseconds."""
    return asyncio.run(_ask(port, clients, seconds, requests))


async def _ask(port: int, clients: int, seconds: float, requests: list[bytes]) -> tuple[float, ...]:
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
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
    percentiles = (1e3 * times[int(share * len(times))] for share in (0.5, 0.99))
    return len(times) / seconds, *percentiles


def call_directly(export: Path, model: str, kind: str, rows: list[bytes]) -> list[float]:
    """Rows a second by calls of 1 and of 32 rows in this process."""
    from mite_tf.serving.backends import open_backend

    backend = open_backend(export, model, kind)
    result = []
    for count in (1, 32):
        array = np.array([rows[number % len(rows)] for number in range(count)], object)
        times: list[float] = []
        while sum(times) < 2 or len(times) < 10:
            start = time.perf_counter()
            backend.run(backend.prepare("serving_default", array))
            times.append(time.perf_counter() - start)
        result.append(count / sorted(times)[len(times) // 2])
    return result


def make_export(folder: Path, kind: str) -> None:
    from mite_tf.models import small_cnn
    from tests.serving.exports import VOCABULARY, make_encoders, write_export

    encoders = make_encoders(
        text=kind,
        vocabulary=VOCABULARY + [f"word{number}" for number in range(WORDS)],
        embedding_size=512,
        max_length=48,
        backbone=small_cnn(image_size=64),
    )
    write_export(folder, encoders, kind=kind)


def rows_of(model: str) -> list[bytes]:
    """What the clients ask for: captions of ten words, or a picture file."""
    if model == "image":
        from mite_tf.export.verification.cases import images

        return [images()["photo.jpg"]]
    return [
        f"two dogs run across the wet sand word{n} word{7 * n % WORDS} .".encode()
        for n in range(256)
    ]


def write_reply(path: Path) -> None:
    """Writes the answer that the echo gives: one embedding of 512 numbers."""
    response = PredictResponse()
    response.model_spec.name = "text"
    response.model_spec.version.value = 1
    response.model_spec.signature_name = "serving_default"
    response.outputs["embedding"].CopyFrom(to_tensor(np.full((1, 512), 0.04, np.float32)))
    path.write_bytes(response.SerializeToString())


def measure(folder: Path, kind: str, options: argparse.Namespace) -> None:
    """Measures an encoder on all backends beside an echo of its messages, and prints the rows."""
    model = "image" if kind == "image" else "text"
    export, log, rows = folder / kind, folder / "log", rows_of(model)
    name = "text" if model == "text" else "image_bytes"
    requests = [
        request_of(model, name, np.array([row], object)).SerializeToString() for row in rows
    ]
    write_reply(folder / "reply")
    in_process(make_export, export, "bag-of-words" if kind == "image" else kind)
    servers = {f"bare gRPC echo beside {kind}": partial(echoing, folder / "reply", log)}
    alone = {}
    for backend in options.backends:
        name, start = f"{kind}, {backend}", partial(serving, export, log, "--backend", backend)
        servers[f"{name}, batching"] = start
        servers[f"{name}, no batching"] = partial(start, "--no-batching")
        found = in_process(call_directly, export, model, backend, rows)
        alone[f"{name}, batching"] = " / ".join(f"{rate:.0f}" for rate in found)
    rounds: dict[str, list[list[tuple[float, ...]]]] = {name: [] for name in servers}
    for _ in range(options.rounds):
        for name, start in servers.items():
            with start() as server:
                rounds[name].append(
                    [
                        in_process(ask, server.port, clients, options.seconds, requests)
                        for clients in options.clients
                    ]
                )
    for name, measured in rounds.items():
        medians = np.median(measured, axis=0)
        cells = [f"{rate:.0f} ({p50:.1f} / {p99:.1f})" for rate, p50, p99 in medians]
        print(f"| {name} | {' | '.join(cells)} | {alone.get(name, '')} |", flush=True)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many, all in turn")
    parser.add_argument("--only", action="append", choices=[*TEXTS, "image"])
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--backends", nargs="*", default=BACKENDS)
    options = parser.parse_args()
    heads = [f"{count} client{'s' * (count > 1)}" for count in options.clients]
    print(
        "Requests of one row a second (p50 / p99 in ms); in process: rows a second by calls of "
        "1 / 32 rows.\n"
    )
    print(f"| | {' | '.join(heads)} | in process |\n|{' --- |' * (len(heads) + 2)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.only or [*TEXTS, "image"]:
            measure(Path(folder), kind, options)


if __name__ == "__main__":
    main()
