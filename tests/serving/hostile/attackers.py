"""Those who attack a server: each sends what is to be refused, or nothing at all.

An attack does one round and gives the statuses that it got.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import resource
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import cache

import grpc
import numpy as np

from mite_tf.serving.wire.messages import PREDICTION_SERVICE
from tests.benchmarks.serving_processes import request_of
from tests.serving.hostile import messages, pictures

Ports = tuple[int, int]  # of gRPC and of REST
Attack = Callable[[Ports, random.Random], Awaitable[Iterable[str]]]

# What only a fault of the server can give.
FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS", "500")
_PREDICT = f"/{PREDICTION_SERVICE}/Predict"
_HOLD = 4.0  # seconds that a connection is held, unless the server ends it
_LARGE = 59 << 20
_PAUSE = 0.05  # seconds between two rounds of an attack


def attack(ports: Ports, seconds: float, names: Iterable[str] = (), seed: int = 0) -> Counter[str]:
    """Attacks for so long in every way, or in those that are named; counts the statuses."""
    os.nice(5)  # attackers have machines of their own
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return asyncio.run(_attack(ports, seconds, list(names) or list(ATTACKS), seed))


async def _attack(ports: Ports, seconds: float, names: list[str], seed: int) -> Counter[str]:
    for each in (messages.honest, messages.bomb, pictures.bombs, _large):
        each()  # takes a second or two, before the clock runs
    end = time.monotonic() + seconds
    ends: Counter[str] = Counter()

    async def again(name: str) -> None:
        choose = random.Random(f"{name} {seed}")
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(max(1, end + _HOLD - time.monotonic())):
                    ends.update(f"{name}: {each}" for each in await ATTACKS[name](ports, choose))
            except (OSError, EOFError, TimeoutError) as error:
                ends[f"{name}: {type(error).__name__}"] += 1
            await asyncio.sleep(_PAUSE)

    await asyncio.gather(*map(again, names))
    return ends


async def _call(
    port: int, datas: Iterable[bytes], *, method: str = _PREDICT, timeout: float = 30
) -> list[str]:
    """Sends messages to gRPC, all at once, and gives their statuses."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]

    async def one(data: bytes) -> str:
        try:
            await channel.unary_unary(method)(data, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        return await asyncio.gather(*map(one, datas))


async def _post(port: int, asked: messages.Http) -> str:
    """Sends a request to REST on a connection of its own, and gives its status."""
    headers = {"Host": "x", "Connection": "close", "Content-Length": str(len(asked.body))}
    lines = [f"{name}: {value}" for name, value in (headers | asked.headers).items()]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = [f"{asked.method} {asked.path} HTTP/1.1", *lines, "", ""]
        writer.write("\r\n".join(head).encode())
        with suppress(ConnectionError):  # refused before all was sent
            writer.write(asked.body)
            await writer.drain()
        found = "100"
        while found == "100":
            head = await reader.readuntil(b"\r\n\r\n")
            found = head.split()[1].decode()
        await reader.read()
        return found
    finally:
        writer.transport.abort()


def _predict(model: str, body: bytes, **headers: str) -> messages.Http:
    return messages.Http("POST", f"/v1/models/{model}:predict", headers, body)


@cache
def _large() -> bytes:
    """33 rows where 32 are taken, 59 MB."""
    side = int((_LARGE / 33 / 3) ** 0.5)
    request = request_of("image", "pixels", np.zeros((33, side, side, 3), np.uint8))
    request.model_spec.signature_name = "pixels_uint8"
    return request.SerializeToString()


async def requests(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Messages whose fields or bytes make no sense, to every method."""
    found = []
    for method in choose.sample(messages.METHODS, 4):
        datas = [messages.hostile_request(choose) for _ in range(8)]
        found += await _call(ports[0], datas, method=method)
    return found


async def bodies(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Paths, headers and JSON that make no sense."""
    return await asyncio.gather(*(_post(ports[1], messages.hostile_http(choose)) for _ in range(8)))


async def large_requests(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Several messages of 59 MB at a time, each of a row too many."""
    return await _call(ports[0], [_large()] * choose.choice([1, 4]))


async def large_bodies(ports: Ports, choose: random.Random) -> Iterable[str]:
    """JSON of tens of megabytes that says nothing, or a gigabyte of it in a megabyte of gzip."""
    size = 60_000_000
    row = choose.choice(
        [b"[],", b"0,", b'"",', b"[[0]],", b'{"text":"a"},', b"1" * (size - 1) + b","]
    )
    wide = b'{"instances": [' + (row * (size // len(row)))[:-1] + b"]}"
    asked = choose.choice(
        [
            _predict("text", wide),
            _predict("image", wide),
            _predict("text", b"[" * size),
            _predict("text", messages.bomb(), **{"Content-Encoding": "gzip"}),
        ]
    )
    return [await _post(ports[1], asked)]


async def image_files(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Pictures that lie, over both doors, some with little time."""
    files = [pictures.hostile_picture(choose) for _ in range(choose.choice([1, 8]))]
    value = np.array(files, object)
    body = json.dumps({"inputs": [{"b64": base64.b64encode(each).decode()} for each in files]})
    return [
        await _post(ports[1], _predict("image", body.encode())),
        *await _call(ports[0], [request_of("image", "image_bytes", value).SerializeToString()]),
    ]


async def image_bombs(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Eight times the same small file that is or claims to be huge, twice, with little time."""
    value = np.array([choose.choice(list(pictures.bombs().values()))] * 8, object)
    data = request_of("image", "image_bytes", value).SerializeToString()
    return await _call(ports[0], [data] * 2, timeout=2)


async def long_texts(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Captions of millions of characters, of which no more than a few tokens count."""
    part = choose.choice(["a", "a ", " ", "\u200b", "e\u0301\u0323", "\u0301", "犬", "\0", "각"])
    text = part * (4_000_000 // len(part.encode()))
    data = request_of("text", "text", np.array([text.encode()], object)).SerializeToString()
    body = json.dumps({"inputs": [text]}, ensure_ascii=False).encode()
    return [*await _call(ports[0], [data]), await _post(ports[1], _predict("text", body))]


async def hasty(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Good pictures that nobody waits for."""
    value = np.array([pictures.images()["huge.jpg"]] * 8, object)
    data = request_of("image", "image_bytes", value).SerializeToString()
    found = await _call(ports[0], [data] * 4, timeout=0.001)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        calls = [channel.unary_unary(_PREDICT)(data) for _ in range(2)]
        await asyncio.sleep(choose.random() / 20)
        for call in calls:
            call.cancel()
    return found


async def _hold(port: int, *parts: bytes, pause: float = 0.0) -> str:
    """Opens a connection, sends some parts, and waits until one side has enough."""
    try:
        async with asyncio.timeout(_HOLD):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                while await reader.read(1 << 16):
                    pass
                return "ended by the server"
            finally:
                # A reset rather than an end.
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
    except TimeoutError:
        return "held"
    except OSError:
        return "ended by the server"


async def silent(ports: Ports, choose: random.Random) -> Iterable[str]:
    """More connections than the server may have files, on which nothing comes."""
    count = choose.choice([200, 600])
    return await asyncio.gather(*(_hold(port) for port in ports for _ in range(count)))


_HEAD = b"POST /v1/models/image:predict HTTP/1.1\r\nHost: x\r\n"


async def half_sent(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Heads and bodies of REST that do not end, come by drips, or never were HTTP."""
    most = b"Content-Length: %d\r\n\r\n" % _LARGE
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    forms: list[tuple[list[bytes], float]] = [
        ([_HEAD[:9]], 0),
        ([_HEAD, *[b"X: %d\r\n" % each for each in range(200)]], 0.02),
        ([_HEAD + most, b" " * (_LARGE - 1)], 0),
        ([_HEAD + most, *[b"{"] * 200], 0.02),
        ([_HEAD + chunked, *[b"10000\r\n" + b" " * 0x10000 + b"\r\n"] * 900], 0),
        ([_HEAD + chunked, b"ffffffffffffffff\r\n"], 0),
        ([b"\x16\x03\x01\2\0\1\0\1\xfc\3\3" + bytes(30)], 0),  # a handshake of TLS
        ([b"GET /v1/models/text HTTP/1.1\r\nHost: x\r\n\r\n" * 500], 0),
        ([choose.randbytes(300)], 0),
    ]
    held = [
        _hold(choose.choice([ports[1]] * 9 + [ports[0]]), *parts, pause=pause)
        for parts, pause in choose.choices(forms, k=16)
    ]
    return await asyncio.gather(*held)


async def frames(ports: Ports, choose: random.Random) -> Iterable[str]:
    """HTTP/2 by hand: prefaces without more, streams that do not go on, resets and pings."""

    def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
        return head + struct.pack(">I", stream) + payload

    def text(data: str) -> bytes:
        return bytes([len(data)]) + data.encode()

    fields = {":method": "POST", ":scheme": "http", ":path": _PREDICT, ":authority": "x",
              "te": "trailers", "content-type": "application/grpc"}  # fmt: skip
    packed = b"".join(b"\0" + text(name) + text(value) for name, value in fields.items())
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4)
    claimed = b"\0" + struct.pack(">I", _LARGE) + bytes(1000)
    streams = range(1, 2001, 2)
    reset = struct.pack(">I", 8)
    forms = [
        [],
        [frame(1, packed, 4, each) for each in streams],
        [frame(1, packed, 4, each) + frame(0, claimed, 0, each) for each in streams[:100]],
        [frame(1, packed, 4, each) + frame(3, reset, 0, each) for each in streams],
        [frame(6, bytes(8))] * 3000,
        [frame(4)] * 3000,
        [frame(1, packed, 0, 1), *[frame(9, (b"\0" + text("x") + text("y" * 99)) * 100)] * 500],
        [frame(8, b"\x7f\xff\xff\xff")] * 3,
        [frame(choose.randrange(12), choose.randbytes(20), choose.randrange(256), each)
         for each in range(50)],
    ]  # fmt: skip
    held = [_hold(ports[0], start, b"".join(form)) for form in choose.choices(forms, k=16)]
    return await asyncio.gather(*held)


async def stalled(ports: Ports, choose: random.Random) -> Iterable[str]:
    """Large messages to gRPC, of which the last part does not come."""
    left = choose.choice([1 << 20, 40 << 20, len(_large()) - 1000])

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", ports[0])
        except OSError:
            writer.transport.abort()
            return

        async def copy(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, left: int
        ) -> None:
            with suppress(OSError):
                while left > 0 and (data := await source.read(min(left, 1 << 16))):
                    left -= len(data)
                    target.write(data)
                    await target.drain()

        # A call of gRPC does not end before its message is sent, or its connection is gone.
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_HOLD):
                await asyncio.gather(copy(theirs, writer, 1 << 30), copy(reader, ours, left))
        ours.transport.abort()
        writer.transport.abort()

    between = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with between:
        port = between.sockets[0].getsockname()[1]
        found = await asyncio.gather(*(_call(port, [_large()], timeout=_HOLD) for _ in range(4)))
    return [status for each in found for status in each]


ATTACKS: dict[str, Attack] = {
    each.__name__: each
    for each in (
        requests, bodies, large_requests, large_bodies, image_files, image_bombs, long_texts,
        hasty, silent, half_sent, frames, stalled,
    )
}  # fmt: skip
