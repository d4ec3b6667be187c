"""How many connections there may be, and how they end."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

# Files beside connections: models, versions that are loaded, pipes, logs.
_RESERVED = 128
# More than clients of one process ever need; each takes some 50 KB.
_MOST = 2000
# What a service manager allows at most; beyond, nothing is gained.
_FILES = 1 << 16
# Connections that are being closed while others come.
_SPARE = 16
_INTERNET = (socket.AF_INET, socket.AF_INET6)


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
    return max(8, min(_MOST, (soft - _RESERVED) // 2 - _SPARE))


class Listener(socket.socket):
    """A listening socket that counts what it has accepted and is still open.

    Beyond `most`, `make_room` is to end one that waits; a connection that comes while there are
    far too many is closed at once.

    Example:
        >>> with Listener(socket.AF_INET) as listener:
        ...     listener.fileno() > 0
        True
    """

    most = _MOST

    def accept(self) -> tuple[socket.socket, object]:
        """Accepts a connection, or raises `BlockingIOError` where there may be no more."""
        connection, address = super().accept()
        opened = self.__dict__.setdefault("opened", WeakSet())
        if len(opened) >= self.most:
            self.make_room()
        if len(opened) >= self.most + _SPARE:
            connection.close()
            raise BlockingIOError("There are too many connections.")
        opened.add(connection)
        return connection, address

    make_room: Callable[[], None] = staticmethod(lambda: None)


def cut(port: int) -> None:
    """Ends all that is connected to a TCP port of this process.

    gRPC has no call for it: where it stops by itself, requests that are on their way end as
    CANCELLED, which no client takes for a reason to ask another server. A connection that ends is
    UNAVAILABLE.

    Example:
        >>> with socket.create_server(("127.0.0.1", 0)) as server:
        ...     cut(server.getsockname()[1])
    """
    for each in _sockets():
        with suppress(OSError):  # it listens, or has ended
            if each.family in _INTERNET and each.getsockname()[1] == port and each.getpeername():
                each.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[socket.socket]:
    for path in list(Path("/dev/fd").iterdir()):
        try:
            found = socket.socket(fileno=int(path.name))
        except OSError:  # no socket, or closed by now
            continue
        try:
            yield found
        finally:
            found.detach()
