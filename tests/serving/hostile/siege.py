"""A server in a process of its own between good clients and attackers, and what became of it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.serving_processes import new_process, serving
from tests.serving.hostile.attackers import FAULTS, attack
from tests.serving.hostile.good_clients import Answers, ask

MOST_MB, MOST_LOG, MOST_SECONDS, GRACE = 1000, 1_000_000, 1.0, 65
_CALM = 4.0  # seconds without attackers, before and after
# As an export brings them, for two cores.
_BATCHING = Path(__file__).parents[3] / "serving" / "tf_serving" / "batching.config"
# What holds a server up that is to end.
_LAST = ("silent", "half_sent", "frames", "stalled", "image_bombs", "long_texts")


def besiege(
    export: Path,
    folder: Path,
    inputs: Mapping[str, list[bytes]],
    answers: Answers,
    *,
    seconds: float,
    backend: str = "onnx",
    attacks: Iterable[str] = (),
    files: int = 1024,
    tls: tuple[Path, tuple[Path, Path]] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Runs it all; `meanwhile` is called some times a second. Returns what was counted.

    `tls` is what `write_certificates` gives: an authority, and certificate and key of the server.
    """
    attacks = tuple(attacks)
    log = folder / "log"
    options = ["--backend", backend, "--batching-parameters-file", str(_BATCHING)]
    authority = None
    if tls:
        authority, (cert, key) = tls
        options += ["--tls-cert", str(cert), "--tls-key", str(key)]
    memory: list[float] = []
    with (
        serving(export, log, *options, files=files) as server,
        new_process() as good,
        new_process() as bad,
    ):
        ports = (server.port, server.http_port)
        watched = psutil.Process(server.process.pid)
        calm = good.submit(ask, ports, _CALM, inputs, answers, authority).result()
        base = watched.memory_info().rss / 1e6
        start, spent = time.monotonic(), sum(watched.cpu_times()[:2])
        attackers = bad.submit(attack, ports, seconds, attacks)
        clients = good.submit(ask, ports, seconds + _CALM + 4, inputs, answers, authority)
        while not (clients.done() and attackers.done()) and server.process.poll() is None:
            memory.append(watched.memory_info().rss / 1e6)
            meanwhile()
            time.sleep(0.1)
        ended = server.process.poll()
        peak = _peak(server.process.pid) if ended is None else max(memory)
        statuses, besieged = attackers.result(), time.monotonic() - start
        cores = {"attackers": bad.submit(time.process_time).result() / besieged}
        if ended is None:
            cores["server"] = (sum(watched.cpu_times()[:2]) - spent) / besieged
        held = [name for name in _LAST if name in (attacks or _LAST)]
        last = bad.submit(attack, ports, 8, held, 1) if held and ended is None else None
        time.sleep(3)
        stop = time.monotonic()
        server.process.terminate()
        try:
            server.process.wait(GRACE + 10)
        except subprocess.TimeoutExpired:
            server.process.kill()
        stopped = time.monotonic() - stop
        if last:
            last.result()
        counted = clients.result()
    lines = log.read_text(errors="replace").splitlines()
    warm = memory[len(memory) // 4 : len(memory) // 2] or memory
    return counted | {
        "p99 without attackers": calm["p99"],
        "cores": {who: round(each, 2) for who, each in cores.items()},
        "attacks": statuses.total(),
        "faults": {k: n for k, n in statuses.items() if k.split(": ")[1] in FAULTS},
        "statuses": dict(sorted(statuses.items())),
        "ended by itself": ended,
        "exit status": server.process.returncode,
        "seconds to end": round(stopped, 1),
        "MB before": round(base),
        "MB after warm-up": round(sum(warm) / len(warm)),
        "MB at the end": round(memory[-1]),
        "MB at most": round(peak),
        "bytes of log": log.stat().st_size,
        "lines that are no JSON": sum(not _is_json(line) for line in lines),
        "tracebacks": sum("Traceback" in line for line in lines),
        "seconds": round(stop - start),
    }


def problems(counted: Mapping[str, Any], *, most_mb: float = MOST_MB) -> list[str]:
    """What must not be."""
    none = ("wrong", "failed", "faults", "exit status", "lines that are no JSON", "tracebacks")
    found = [f"{name}: {counted[name]}" for name in none if counted[name]]
    most = {
        # `EmbeddingClient` asks again where a server has too much to do.
        "refused": counted["good requests"] / 200,
        "p99": MOST_SECONDS,
        "MB at most": most_mb,
        # Two requests of 64 MB, and what an allocator keeps.
        "MB at the end": counted["MB before"] + 192,
        "bytes of log": MOST_LOG,
        "seconds to end": GRACE,
    }
    found += [f"{name}: {counted[name]} > {n}" for name, n in most.items() if counted[name] > n]
    if counted["ended by itself"] is not None or not counted["right"] or not counted["attacks"]:
        found.append(f"the server ended: {counted['ended by itself']}; right: {counted['right']}")
    return found


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kilobytes) * 1024 / 1e6


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
