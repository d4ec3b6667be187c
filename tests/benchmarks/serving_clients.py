"""Concurrent clients of a server, in a process of their own, without TensorFlow.

python -m tests.benchmarks.serving_clients PORT CLIENTS SECONDS REQUESTS
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from pathlib import Path

import grpc

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictResponse

_WARM_SECONDS = 0.5
_CHANNELS = 4


async def measure(
    port: int, clients: int, seconds: float, requests: list[bytes]
) -> dict[str, float]:
    """Asks from so many clients, each one request after the other.

    Args:
        port: Port of gRPC.
        clients: Number of clients.
        seconds: Seconds to measure.
        requests: Serialised requests; everyone asks all of them in turn.

    Returns:
        `rate` a second, `p50` and `p99` in milliseconds.
    """
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


if __name__ == "__main__":
    port, clients, seconds, path = sys.argv[1:]
    asked = pickle.loads(Path(path).read_bytes())
    print(json.dumps(asyncio.run(measure(int(port), int(clients), float(seconds), asked))))
