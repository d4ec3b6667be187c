"""How many connections there may be, and how they end."""

from __future__ import annotations

import errno
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import unpack_from
from typing import Any

from mite_tf.errors import MiteError

# Files beside connections: models, versions that are loaded, pipes, logs.
_RESERVED = 128
# More than clients of one process ever need; each takes some 50 KB.
_MOST = 2000
# What a service manager allows at most; beyond, nothing is gained.
_FILES = 1 << 16
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_FILES_OPEN = Path("/dev/fd")
# Of the connections that there may be, the share at which those make room that were silent for so
# many milliseconds, or for so many from the beginning.
_NEARLY, _SILENCE, _NO_BYTE = 0.75, 1000, 250


def raise_file_limit() -> None:
    """Lets this process open as many files as the system permits, within reason.

    Example:
        >>> raise_file_limit()
        >>> most_connections() <= 2000
        True
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most_connections() -> int:
    """Returns how many connections each side, gRPC and HTTP, may have at the same time.

    Example:
        >>> most_connections() > 0
        True
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(8, min(_MOST, (soft - _RESERVED) // 2))


class Listener(socket.socket):
    """A listening socket that counts what it has accepted and is still open.

    At `most`, one ends that has said nothing in the second since it was accepted, or that
    `make_room` chooses, which gets the seconds that one must have waited; what comes stays in the
    queue of the system until then. Where there is none, and none to come, it is closed at once.
    Who has spoken is taken out of `silent`.

    Example:
        >>> with Listener(socket.AF_INET) as listener:
        ...     listener.most > 0
        True
    """

    most = _MOST
    make_room: Callable[[float], bool] = staticmethod(lambda seconds: False)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._accepted: list[socket.socket] = []
        self.silent: dict[int, tuple[socket.socket, float]] = {}  # since when; the oldest first

    def accept(self) -> tuple[socket.socket, Any]:
        """Accepts a connection, or raises `BlockingIOError` where there may be no more."""
        self._accepted = [each for each in self._accepted if each.fileno() >= 0]
        full = len(self._accepted) >= self.most
        # Those who may be about to speak go before those who spoke a moment ago.
        if full and (
            self._end_silent()
            or self.make_room(_SILENCE / 1000 if self.silent else 0.0)
            or self.silent
        ):
            raise BlockingIOError("There is room in a moment.")
        connection, address = super().accept()
        if full:
            connection.close()
            raise BlockingIOError("There are too many connections.")
        self._accepted.append(connection)
        self.silent[connection.fileno()] = connection, time.monotonic()
        return connection, address

    def _end_silent(self) -> bool:
        for number, (connection, since) in list(self.silent.items()):
            if connection.fileno() != number:  # it has ended
                del self.silent[number]
            elif time.monotonic() - since < _SILENCE / 1000:
                return False
            else:
                del self.silent[number]
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return True
        return False


def bound(host: str, port: int, *, side: str) -> Listener:
    """Returns a socket that is bound to an address, of IPv4 where the name has both.

    Raises:
        MiteError: If the host is not known, or the port is taken or not allowed.

    Example:
        >>> bound("127.0.0.1", 0, side="HTTP").close()
    """
    where = f"{side} cannot listen on {host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise MiteError(f"{where}: {told}. Name another host.") from error
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    # By the protocol asyncio sees that an answer need not wait for what may follow.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.most = most_connections()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        other = "host" if error.errno == errno.EADDRNOTAVAIL else "port"
        raise MiteError(f"{where}: {error.strerror}. Name another {other}.") from error
    return listener


def cut(port: int) -> None:
    """Ends all that listens at a TCP port of this process, or is connected to it.

    gRPC has no call for it: where it stops by itself, requests that are on their way end as
    CANCELLED, which no client takes for a reason to ask another server. A connection that ends is
    UNAVAILABLE.

    Example:
        >>> with socket.create_server(("127.0.0.1", 0)) as server:
        ...     cut(server.getsockname()[1])
    """
    for listening in (True, False):  # so that nobody comes between
        for each in _sockets(port, listening=listening):
            each.shutdown(socket.SHUT_RDWR)


def thin_out(port: int, most: int) -> None:
    """Ends half of the connections to a port if `most` are nearly reached: the silent ones.

    First those that never sent a byte, then those that sent nothing for longest. Does nothing
    where the system does not tell, as any but Linux.

    Example:
        >>> thin_out(8500, most=100)
    """
    tcp_info = getattr(socket, "TCP_INFO", None)
    if tcp_info is None or sum(1 for _ in _FILES_OPEN.iterdir()) < most:
        return
    silent = []
    for each in _sockets(port):
        # struct tcp_info of linux/tcp.h: tcpi_last_data_recv, in ms, and tcpi_bytes_received.
        info = each.getsockopt(socket.IPPROTO_TCP, tcp_info, 136).ljust(136, b"\0")
        silence, received = *unpack_from("I", info, 52), *unpack_from("Q", info, 128)
        silent.append((received == 0, silence, each.fileno()))
    if len(silent) < _NEARLY * most:
        return
    ended = {
        number
        for speechless, silence, number in sorted(silent)[-len(silent) // 2 :]
        if silence > (_NO_BYTE if speechless else _SILENCE)
    }
    for each in _sockets(port):
        if each.fileno() in ended:
            each.shutdown(socket.SHUT_RDWR)


def _sockets(port: int, *, listening: bool = False) -> Iterator[socket.socket]:
    """Yields what is connected to a port of this process, or listens there; not to be kept."""
    for path in list(_FILES_OPEN.iterdir()):
        try:
            found = socket.socket(fileno=int(path.name))
        except OSError:  # no socket, or closed by now
            continue
        with suppress(OSError):  # it has ended
            if found.family in _INTERNET and found.getsockname()[1] == port:
                listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listening == bool(listens) and (listens or found.getpeername()):
                    yield found
        found.detach()
