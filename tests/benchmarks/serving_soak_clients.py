"""Clients of the soak: what they ask, what they must get, and what they got."""

from __future__ import annotations

import asyncio
import collections
import json
import pickle
import random
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_array, to_tensor

CLIENTS = 32
_TOLERANCE = {"text": 2e-6, "image": 2e-5}

BAD: list[tuple[str, str, Any, str]] = [
    # model, input, value, status
    ("dog", "text", np.array([b"a"], object), "NOT_FOUND"),
    ("text", "texts", np.array([b"a"], object), "INVALID_ARGUMENT"),
    ("text", "text", np.array([b"\xff"], object), "INVALID_ARGUMENT"),
    ("text", "text", np.array([[b"a"]], object), "INVALID_ARGUMENT"),
    ("text", "text", np.ones(2, np.float32), "INVALID_ARGUMENT"),
    ("text", "text", np.array([b"a"] * 33, object), "INVALID_ARGUMENT"),
    ("image", "image_bytes", np.array([b"no picture"], object), "INVALID_ARGUMENT"),
]


class Soak:
    """All clients, and the counts.

    Args:
        port: Port of gRPC.
        answers: Captions, image files, and the embeddings of versions that are even and odd.
    """

    def __init__(self, port: int, answers: tuple[list[str], list[bytes], list[Any]]) -> None:
        captions, files, self._embeddings = answers
        self._inputs = {"text": [each.encode() for each in captions], "image": files}
        self._port = port
        self._versions: set[int] = set()
        self.counts: collections.Counter[str] = collections.Counter()
        self.unexpected: collections.Counter[str] = collections.Counter()

    async def run(self, seconds: float) -> dict[str, Any]:
        """Asks for so long; returns the counts."""
        self._end = time.monotonic() + seconds
        await asyncio.gather(*map(self._client, range(CLIENTS)))
        counts = self.counts
        ended = sum(counts[name] for name in ("right", "wrong", "refused", "given up", "full"))
        return {
            "requests": counts["asked"],
            "right answers": counts["right"],
            "wrong answers": counts["wrong"],
            "refused as due": counts["refused"],
            "queue full": counts["full"],
            "given up": counts["given up"],
            "unexpected": dict(self.unexpected),
            "lost": counts["asked"] - ended - self.unexpected.total(),
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
                f"/{PREDICTION_SERVICE}/Predict", PredictRequest.SerializeToString,
                PredictResponse.FromString,
            )  # fmt: skip
            for _ in range(choose.randint(1, 400)):
                if time.monotonic() >= self._end:
                    break
                await self._ask(call, choose)
            if choose.random() < 0.3:  # gone in the middle of a call
                self.counts["asked"] += 1
                running = call(self._good(choose)[0], timeout=30)
                await asyncio.sleep(0.001)
                await channel.close()
                self.counts["given up"] += 1
                del running
            else:
                await channel.close()

    async def _ask(self, call: Any, choose: random.Random) -> None:
        self.counts["asked"] += 1
        kind = choose.random()
        if kind < 0.05:
            await self._bad(call, choose)
            return
        request, model, numbers = self._good(choose)
        running = call(request, timeout=0.002 if kind < 0.08 else 60)
        try:
            if kind > 0.97:
                await asyncio.sleep(choose.random() * 0.01)
                running.cancel()
            response = await running
        except asyncio.CancelledError:
            self.counts["given up"] += 1
        except grpc.aio.AioRpcError as error:
            if kind < 0.08 and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self.counts["given up"] += 1
            elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.counts["full"] += 1
            else:
                self.unexpected[f"{error.code().name}: {error.details()}"] += 1
        else:
            right = self._is_right(response, model, numbers)
            self.counts["right" if right else "wrong"] += 1

    async def _bad(self, call: Any, choose: random.Random) -> None:
        model, name, value, status = choose.choice(BAD)
        try:
            await call(_request(model, name, value), timeout=60)
            self.unexpected[f"answered: {model} {name}"] += 1
        except grpc.aio.AioRpcError as error:
            if error.code().name == status:
                self.counts["refused"] += 1
            else:
                self.unexpected[f"{error.code().name}: {error.details()}"] += 1

    def _good(self, choose: random.Random) -> tuple[Any, str, list[int]]:
        model = "image" if choose.random() < 0.05 else "text"
        rows = self._inputs[model]
        count = 1 if choose.random() < 0.8 else choose.randint(2, 8)
        numbers = [choose.randrange(len(rows)) for _ in range(count)]
        value = np.array([rows[number] for number in numbers], object)
        return _request(model, "text" if model == "text" else "image_bytes", value), model, numbers

    def _is_right(self, response: Any, model: str, numbers: list[int]) -> bool:
        version = response.model_spec.version.value
        self._versions.add(version)
        expected = self._embeddings[version % 2][model][numbers]
        found = to_array(response.outputs["embedding"])
        return found.shape == expected.shape and bool(
            np.abs(found - expected).max() < _TOLERANCE[model]
        )


def _request(model: str, name: str, value: np.ndarray) -> Any:
    request = PredictRequest()
    request.model_spec.name = model
    request.inputs[name].CopyFrom(to_tensor(value))
    return request


if __name__ == "__main__":
    port, seconds, path = sys.argv[1:]
    soak = Soak(int(port), pickle.loads(Path(path).read_bytes()))
    print(json.dumps(asyncio.run(soak.run(float(seconds)))))
