"""The body of an HTTP request: received in time, unpacked, and never more than may be."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable

from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request

from mite_tf.serving.server.intake import Intake
from mite_tf.serving.server.outcomes import Refusal, invalid

_PACKED = ("gzip", "x-gzip", "deflate")
# What is unpacked at a time, between other requests.
_PIECE = 1 << 18
# zlib's number for a header of gzip or of its own, whichever there is.
_EITHER = 47


# no example: raised by `receive`.
class BodyRefusal(Refusal):
    """Why a body is refused, with a status of HTTP that gRPC has no equal of."""

    def __init__(self, status: int, code: StatusCode, message: str) -> None:
        super().__init__(code, message)
        self.status = status


# no example: it takes a request of a server; see `start_server`.
async def receive(
    request: Request, intake: Intake, take: Callable[[int], None], most: int
) -> bytearray:
    """Returns the body of a request, unpacked, which has at most so many bytes either way.

    What is held is counted by `take`: by the length that is announced, and as it grows beyond.

    Raises:
        Refusal: If it is too large, too slow, broken, or packed in an unknown way.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", *_PACKED):
        raise BodyRefusal(
            415,
            StatusCode.INVALID_ARGUMENT,
            f"Content-Encoding is {encoding[:80]!r}. Send gzip, deflate, or none.",
        )
    counted = int(request.headers.get("content-length", 0))
    if counted > most:
        raise _too_large(most)
    take(counted)
    received = _received(request, most)
    body = bytearray()
    async with intake.in_time():
        async for part in _unpacked(received) if encoding in _PACKED else received:
            body += part
            if len(body) > most:
                raise _too_large(most)
            if len(body) > counted:
                take(len(body) - counted)
                counted = len(body)
    return body


async def _received(request: Request, most: int) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _too_large(most)
            yield part
    except ClientDisconnect as gone:
        raise Refusal(StatusCode.CANCELLED, "The caller has gone.") from gone


async def _unpacked(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(_EITHER)
    try:
        async for part in parts:
            while part:
                if unpacker.eof:  # gzip may have several members
                    unpacker = zlib.decompressobj(_EITHER)
                yield unpacker.decompress(part, _PIECE)
                part = unpacker.unconsumed_tail or unpacker.unused_data
                await asyncio.sleep(0)
    except zlib.error as error:
        raise invalid(f"The body cannot be unpacked: {error}.") from error
    if not unpacker.eof:
        raise invalid("The body cannot be unpacked: its end is missing.")


def _too_large(most: int) -> BodyRefusal:
    return BodyRefusal(
        413,
        StatusCode.RESOURCE_EXHAUSTED,
        f"The body is larger than {most} bytes. Send fewer rows in a request.",
    )
