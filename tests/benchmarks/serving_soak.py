"""A server under mixed load for long, with new versions: no wrong answer, no leak, nothing lost.

python -m tests.benchmarks.serving_soak --minutes 15

Clients in a process of their own send good requests of one and of several rows, bad ones of each
kind, and calls that they give up. Each answer is compared with what Keras gives for the version
that the answer names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.serving_processes import Listening, serving

CAPTIONS = [f"a dog runs {n} red circle{n * 7 % 50} left." for n in range(200)] + ["", "é ✓ ünder"]

_MAKE = """
import pickle, sys
from pathlib import Path
import numpy as np
from tests.serving.conftest import Keras
from tests.serving.exports import make_encoders, write_export
from tests.benchmarks.serving_soak import CAPTIONS
from mite_tf.export.verification.cases import images
folder = Path(sys.argv[1])
files = [data for name, data in images().items() if name != "huge.jpg"]
answers = []
for seed in (0, 1):
    encoders = make_encoders(word_size=64, hidden_size=64, embedding_size=64, seed=seed)
    write_export(folder / str(seed), encoders)
    keras = Keras(encoders)
    answers.append({"text": keras.text(CAPTIONS), "image": keras.images(files)})
(folder / "answers").write_bytes(pickle.dumps((CAPTIONS, files, answers)))
"""


def publish(folder: Path, sources: list[Path], version: int) -> None:
    """Puts one of two exports into the folder as this version, as `mite export` does."""
    from mite_tf.export.manifest import read_manifest
    from mite_tf.export.versions import published_when_whole

    source = sources[version % 2]
    manifest = read_manifest(source)
    files = {
        name.replace("/text/1/", f"/text/{version}/").replace(
            "/image/1/", f"/image/{version}/"
        ): each
        for name, each in manifest.files.items()
    }
    with published_when_whole(folder) as staging:
        for old, new in zip(manifest.files, files, strict=True):
            (staging / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / old, staging / new)
        replace(manifest, version=version, files=files).write(staging)
    for name in ("image", "text"):
        shutil.rmtree(folder / "savedmodel" / name / str(version - 2), ignore_errors=True)


def soak(folder: Path, *, seconds: float, switch_seconds: float, backend: str) -> dict[str, Any]:
    """Runs the whole; returns what was counted.

    Args:
        folder: Where to put exports and logs.
        seconds: How long.
        switch_seconds: Seconds between new versions.
        backend: Backend of the server.
    """
    subprocess.run([sys.executable, "-c", _MAKE, str(folder)], check=True, capture_output=True)
    sources = [folder / "0", folder / "1"]
    export = folder / "export"
    publish(export, sources, 1)
    with serving(export, folder / "log", backend=backend) as server:
        memory: list[tuple[float, float]] = []
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(server, memory, ended))
        watch.start()
        clients = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.serving_soak_clients", str(server.port),
             str(seconds), str(folder / "answers")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        version, start = 1, time.monotonic()
        while clients.poll() is None:
            if time.monotonic() - start > version * switch_seconds:
                version += 1
                publish(export, sources, version)
            time.sleep(0.2)
        assert clients.stdout is not None
        with clients.stdout:
            counted = json.loads(clients.stdout.read())
        ended.set()
        watch.join()
        server.process.terminate()
        counted["exit status of the server"] = server.process.wait(120)
    return counted | {"versions published": version} | _flatness(memory)


def _watch(server: Listening, memory: list[tuple[float, float]], ended: threading.Event) -> None:
    process = psutil.Process(server.process.pid)
    while not ended.wait(0.5):
        memory.append((time.monotonic(), process.memory_info().rss / 1e6))


def _flatness(memory: list[tuple[float, float]]) -> dict[str, Any]:
    """Memory in the second quarter, when all is warm, and in the last."""
    values = [value for _, value in memory]
    quarter = max(1, len(values) // 4)
    warm, last = values[quarter : 2 * quarter] or values, values[-quarter:]
    return {
        "MB after warm-up": round(sum(warm) / len(warm), 1),
        "MB at the end": round(sum(last) / len(last), 1),
    }


def problems(counted: dict[str, Any]) -> list[str]:
    """What must not be."""
    found = [f"{name}: {counted[name]}" for name in ("wrong answers", "unexpected", "lost")
             if counted[name]]  # fmt: skip
    found += [f"{name}: none" for name in ("right answers", "refused as due", "given up")
              if not counted[name]]  # fmt: skip
    growth = counted["MB at the end"] - counted["MB after warm-up"]
    if growth > max(20, 0.05 * counted["MB after warm-up"]):
        found.append(f"memory grew by {growth:.1f} MB")
    if counted["exit status of the server"]:
        found.append(f"the server ended with status {counted['exit status of the server']}")
    if counted["versions answered"] < counted["versions published"] - 1:
        found.append("a published version never answered")
    return found


def main() -> None:
    """Prints what was counted, and ends with status 1 if something must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--switch-seconds", type=float, default=60)
    parser.add_argument("--backend", default="onnx", choices=("onnx", "savedmodel"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counted = soak(
            Path(folder),
            seconds=60 * options.minutes,
            switch_seconds=options.switch_seconds,
            backend=options.backend,
        )
    for name, value in counted.items():
        print(f"| {name} | {value} |")
    found = problems(counted)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
