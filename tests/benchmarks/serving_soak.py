"""A server under mixed load for long, with new versions: no wrong answer, no leak, nothing lost.

python -m tests.benchmarks.serving_soak --minutes 15
python -m tests.benchmarks.serving_soak --minutes 15 --attackers

Clients in a process of their own send good requests of one and of several rows, bad ones of each
kind, and calls that they give up. Each answer is compared with what Keras gives for the version
that the answer names. With attackers the clients are the eight good ones and all the attackers of
`tests/serving/hostile`, and the server may have 1,024 files and, with ONNX, 1 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_array
from tests.benchmarks.serving_processes import in_process, new_process, request_of, serving
from tests.serving.hostile import siege

CAPTIONS = [f"a dog runs {n} red circle{n * 7 % 50} left." for n in range(200)] + ["", "é ✓ ünder"]
ENDS = ("right answers", "wrong answers", "refused as due", "queue full", "given up")
_COUNT = 32
_TOLERANCE = {"text": 2e-6, "image": 2e-5}

# Model, input, value, status.
BAD: list[tuple[str, str, Any, str]] = [
    ("dog", "text", np.array([b"a"], object), "NOT_FOUND"),
    ("text", "texts", np.array([b"a"], object), "INVALID_ARGUMENT"),
    ("text", "text", np.array([b"\xff"], object), "INVALID_ARGUMENT"),
    ("text", "text", np.array([[b"a"]], object), "INVALID_ARGUMENT"),
    ("text", "text", np.ones(2, np.float32), "INVALID_ARGUMENT"),
    ("text", "text", np.array([b"a"] * 33, object), "INVALID_ARGUMENT"),
    ("image", "image_bytes", np.array([b"no picture"], object), "INVALID_ARGUMENT"),
]


def make_exports(folder: Path) -> tuple[list[bytes], list[Any]]:
    """Writes two exports, `0` and `1`; gives image files and the embeddings of each export."""
    from mite_tf.export.verification.cases import images
    from tests.serving.exports import Keras, make_encoders, write_export

    files = [data for name, data in images().items() if name != "huge.jpg"]
    answers = []
    for seed in (0, 1):
        encoders = make_encoders(word_size=64, hidden_size=64, embedding_size=64, seed=seed)
        write_export(folder / str(seed), encoders)
        keras = Keras(encoders)
        answers.append({"text": keras.text(CAPTIONS), "image": keras.images(files)})
    return files, answers


def ask(port: int, seconds: float, files: list[bytes], answers: list[Any]) -> dict[str, Any]:
    """Asks with all clients for so long; returns what was counted."""
    return asyncio.run(Clients(port, files, answers).run(seconds))


class Clients:
    def __init__(self, port: int, files: list[bytes], answers: list[Any]) -> None:
        self._inputs = {"text": [each.encode() for each in CAPTIONS], "image": files}
        self._embeddings = answers
        self._port = port
        self._versions: set[int] = set()
        self._requests = 0
        self._ends: Counter[str] = Counter()

    async def run(self, seconds: float) -> dict[str, Any]:
        self._end = time.monotonic() + seconds
        await asyncio.gather(*map(self._client, range(_COUNT)))
        return {
            "requests": self._requests,
            **{name: self._ends[name] for name in ENDS},
            "unexpected": {name: self._ends[name] for name in self._ends if name not in ENDS},
            "lost": self._requests - self._ends.total(),
            "versions answered": len(self._versions),
        }

    async def _client(self, number: int) -> None:
        choose = random.Random(number)
        while time.monotonic() < self._end:
            # A client that comes anew, as those do that vanish.
            channel = grpc.aio.insecure_channel(
                f"127.0.0.1:{self._port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            call = channel.unary_unary(
                f"/{PREDICTION_SERVICE}/Predict",
                PredictRequest.SerializeToString,
                PredictResponse.FromString,
            )
            for _ in range(choose.randint(1, 400)):
                if time.monotonic() >= self._end:
                    break
                self._requests += 1
                bad = choose.random() < 0.05
                self._ends[await (self._bad if bad else self._ask)(call, choose)] += 1
            if choose.random() < 0.3:  # gone in the middle of a call
                running = call(self._good(choose)[0], timeout=30)
                await asyncio.sleep(0.001)
                del running
            await channel.close()

    async def _ask(self, call: Any, choose: random.Random) -> str:
        hasty, cancelled = choose.random() < 0.03, choose.random() < 0.03
        request, model, numbers = self._good(choose)
        running = call(request, timeout=0.002 if hasty else 60)
        try:
            if cancelled:
                await asyncio.sleep(choose.random() * 0.01)
                running.cancel()
            response = await running
        except asyncio.CancelledError:
            return "given up"
        except grpc.aio.AioRpcError as error:
            if hasty and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return "given up"
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return "queue full"
            return f"{error.code().name}: {error.details()}"
        return "right answers" if self._is_right(response, model, numbers) else "wrong answers"

    async def _bad(self, call: Any, choose: random.Random) -> str:
        model, name, value, status = choose.choice(BAD)
        try:
            await call(request_of(model, name, value), timeout=60)
        except grpc.aio.AioRpcError as error:
            as_due = error.code().name == status
            return "refused as due" if as_due else f"{error.code().name}: {error.details()}"
        return f"answered: {model} {name}"

    def _good(self, choose: random.Random) -> tuple[Any, str, list[int]]:
        model = "image" if choose.random() < 0.05 else "text"
        rows = self._inputs[model]
        count = 1 if choose.random() < 0.8 else choose.randint(2, 8)
        numbers = [choose.randrange(len(rows)) for _ in range(count)]
        value = np.array([rows[number] for number in numbers], object)
        name = "text" if model == "text" else "image_bytes"
        return request_of(model, name, value), model, numbers

    def _is_right(self, response: Any, model: str, numbers: list[int]) -> bool:
        version = response.model_spec.version.value
        self._versions.add(version)
        expected = self._embeddings[version % 2][model][numbers]
        found = to_array(response.outputs["embedding"])
        return found.shape == expected.shape and bool(
            np.abs(found - expected).max() < _TOLERANCE[model]
        )


def publish(folder: Path, sources: list[Path], version: int) -> None:
    """Puts one of two exports into the folder as this version, as `mite export` does."""
    from mite_tf.export.manifest import read_manifest
    from mite_tf.export.versions import published_when_whole

    source = sources[version % 2]
    manifest = read_manifest(source)
    files = {name.replace("/1/", f"/{version}/"): each for name, each in manifest.files.items()}
    with published_when_whole(folder) as (staging, _):
        for old, new in zip(manifest.files, files, strict=True):
            (staging / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / old, staging / new)
        replace(manifest, version=version, files=files).write(staging)
    for name in ("image", "text"):
        shutil.rmtree(folder / "savedmodel" / name / str(version - 2), ignore_errors=True)


def soak(folder: Path, *, seconds: float, switch_seconds: float, backend: str) -> list[str]:
    """Runs the whole, with a new version every `switch_seconds`, and prints what was counted.

    Returns:
        What must not be.
    """
    files, answers = in_process(make_exports, folder)
    sources, export = [folder / "0", folder / "1"], folder / "export"
    publish(export, sources, 1)
    with (
        serving(export, folder / "log", "--backend", backend) as server,
        new_process() as pool,
    ):
        memory, watched = [], psutil.Process(server.process.pid)
        clients = pool.submit(ask, server.port, seconds, files, answers)
        version, start = 1, time.monotonic()
        while not clients.done():
            if time.monotonic() - start > version * switch_seconds:
                version += 1
                publish(export, sources, version)
            memory.append(watched.memory_info().rss / 1e6)
            time.sleep(0.2)
        counted = clients.result()
        server.process.terminate()
        counted["exit status of the server"] = server.process.wait(120)
    # In the second quarter all is warm.
    second, _, last = np.array_split(memory[len(memory) // 4 :], 3)
    counted |= {
        "versions published": version,
        "MB after warm-up": round(float(second.mean()), 1),
        "MB at the end": round(float(last.mean()), 1),
    }
    _print(counted)
    return problems(counted)


def attacked(folder: Path, *, seconds: float, switch_seconds: float, backend: str) -> list[str]:
    """Soaks with attackers, prints what was counted, and returns what must not be."""
    files, answers = in_process(make_exports, folder)
    sources, export = [folder / "0", folder / "1"], folder / "export"
    publish(export, sources, 1)
    versions, start = [1], time.monotonic()

    def switch() -> None:
        if time.monotonic() - start > versions[-1] * switch_seconds:
            versions.append(versions[-1] + 1)
            publish(export, sources, versions[-1])

    inputs = {"text": [each.encode() for each in CAPTIONS], "image": files}
    counted = siege.besiege(
        export, folder, inputs, answers, seconds=seconds, backend=backend, meanwhile=switch
    )
    _print(counted | {"versions published": versions[-1]})
    return siege.problems(counted, most_mb=siege.MOST_MB if backend == "onnx" else 3000)


def problems(counted: dict[str, Any]) -> list[str]:
    """What must not be."""
    wrong = ("wrong answers", "unexpected", "lost", "exit status of the server")
    found = [f"{name}: {counted[name]}" for name in wrong if counted[name]]
    due = ("right answers", "refused as due", "given up")
    found += [f"{name}: none" for name in due if not counted[name]]
    growth = counted["MB at the end"] - counted["MB after warm-up"]
    if growth > max(20, 0.05 * counted["MB after warm-up"]):
        found.append(f"memory grew by {growth:.1f} MB")
    if counted["versions answered"] < counted["versions published"] - 1:
        found.append("a published version never answered")
    return found


def main() -> None:
    """Prints what was counted, and ends with status 1 if something must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--switch-seconds", type=float, default=60)
    parser.add_argument("--backend", default="onnx", choices=("onnx", "savedmodel"))
    parser.add_argument("--attackers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = attacked if options.attackers else soak
        found = run(
            Path(folder),
            seconds=60 * options.minutes,
            switch_seconds=options.switch_seconds,
            backend=options.backend,
        )
    if found:
        sys.exit("\n".join(found))


def _print(counted: dict[str, Any]) -> None:
    for name, value in counted.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
