"""A server as the one who answers, for both clients."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import grpc
import grpc.aio

from mite_tf.errors import MiteError
from mite_tf.serving.client.connection import Connection, bearer
from mite_tf.serving.client.diagnose import explain
from mite_tf.serving.client.effects import Ask
from mite_tf.serving.client.errors import Failure
from mite_tf.serving.client.exchange import method_of
from mite_tf.serving.client.run_blocking import Stop


class Remote:
    """Asks over a channel and waits.

    Args:
        connection: How the server is reached.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.explain = partial(explain, connection.target, connection.tls)
        credentials, options = connection.credentials(), connection.options()
        self._channel = (
            grpc.insecure_channel(connection.target, options)
            if credentials is None
            else grpc.secure_channel(connection.target, credentials, options)
        )
        self._stubs: dict[str, Any] = {}

    def ask(self, ask: Ask, stop: Stop | None = None) -> Any:
        method = method_of(ask.question)
        stub = self._stubs.get(method.path)
        if stub is None:
            stub = self._stubs[method.path] = self._channel.unary_unary(method.path)
        how = {"timeout": ask.timeout, "metadata": self._metadata(), "wait_for_ready": ask.wait}
        request = method.encode(ask.question)
        try:
            if stop is None:
                response = stub(request, **how)
            else:
                response = stop.result_of(stub.future(request, **how))
        except grpc.RpcError as error:
            raise _failure(error) from error
        return method.decode(response)

    def _metadata(self) -> list[tuple[str, str]] | None:
        token = self._connection.token
        if token is None:
            return None
        value = token() if callable(token) else token
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise MiteError("This client cannot await its token; AsyncEmbeddingClient can.")
        return bearer(value)

    def close(self) -> None:
        self._channel.close()


class AsyncRemote:
    """Asks over a channel of `grpc.aio`.

    Args:
        connection: How the server is reached.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.explain = partial(explain, connection.target, connection.tls)
        self._credentials = connection.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[str, Any] = {}

    async def ask(self, ask: Ask) -> Any:
        method = method_of(ask.question)
        stub = self._stubs.get(method.path)
        if stub is None:
            stub = self._stubs[method.path] = self._open().unary_unary(method.path)
        try:
            response = await stub(
                method.encode(ask.question),
                timeout=ask.timeout,
                metadata=await self._metadata(),
                wait_for_ready=ask.wait,
            )
        except grpc.RpcError as error:
            raise _failure(error) from error
        return method.decode(response)

    def _open(self) -> grpc.aio.Channel:
        # Made with the first question: a channel belongs to the event loop that runs then.
        if self._channel is None:
            target, options = self._connection.target, self._connection.options()
            self._channel = (
                grpc.aio.insecure_channel(target, options)
                if self._credentials is None
                else grpc.aio.secure_channel(target, self._credentials, options)
            )
        return self._channel

    async def _metadata(self) -> list[tuple[str, str]] | None:
        token = self._connection.token
        if token is None:
            return None
        value = token() if callable(token) else token
        return bearer(await value if inspect.isawaitable(value) else value)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def _failure(error: Any) -> Failure:
    return Failure(error.code().name, error.details() or "")
