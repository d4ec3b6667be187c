"""The command line as a whole: its verbs, its help, its exit status."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from mite_tf._version import __version__
from mite_tf.cli import (
    backbone,
    data,
    demo,
    duplicates,
    embed,
    evaluate,
    export,
    filter,
    index,
    loadtest,
    search,
    serve,
    study,
    train,
    ui,
    verify,
)
from mite_tf.errors import MiteError, printable
from mite_tf.files import refusal_of_disk

_FULL = "Free some space there, or name a folder on another disk."
_FORBIDDEN = "You may not read or write there; name another place, or have the right given to you."
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "A file may not be larger there, or by `ulimit -f`.",
    errno.EROFS: "Name a place that can be written.",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EEXIST: "A file lies where a folder is needed.",
    errno.ENOTDIR: "A file lies where a folder is needed.",
    errno.EISDIR: "A folder lies where a file is needed.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
    errno.EMFILE: "Raise the limit of open files, `ulimit -n`.",
    errno.EIO: "The disk, or the way to it, is failing.",
}
# What comes in the midst of work; a place that is of no use is refused before it.
_LATER = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EMFILE)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Returns:
        0; 1 if a server failed a check; 2 for what cannot be used, read or written; 130 if it was
        stopped, by Ctrl-C or SIGTERM; 141 if nobody reads its output any more.
    """
    _escape_what_the_terminal_lacks()
    options = argparse.Namespace()
    try:
        with _terminated_as_interrupted():
            options = parse(arguments)
            status = int(options.call(options) or 0)
            sys.stdout.flush()  # not at exit, where nobody catches what it raises
            return status
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        status, message = _ending(error, options)
        if message:
            print(f"mite: {printable(message, keep=chr(10))}", file=sys.stderr)
        if getattr(error, "filename", "") is None or not message:  # as what is printed may be
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status


def _ending(error: BaseException, options: argparse.Namespace) -> tuple[int, str]:
    """Returns exit status and message for what a person can act on; raises what is a mistake."""
    go_on = getattr(options, "stopped", "")
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    if isinstance(error, MiteError):
        return 2, str(error)
    if any(isinstance(each, KeyboardInterrupt) for each in causes):  # an import may wrap it
        return 130, f"stopped.{go_on}"
    if any(isinstance(each, BrokenPipeError) for each in causes):  # Rich makes it a `SystemExit`
        return 141, ""
    if isinstance(error, SystemExit):
        raise error
    if (refused := refusal_of_disk(error)) is not None:
        place = "the output" if refused.filename is None else refused.filename
        advice = _ADVICE.get(refused.errno or 0, "")
        go_on = go_on if refused.errno in _LATER else ""
        return 2, f"{place}: {refused.strerror}. {advice}".rstrip() + go_on
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return 2, f"not enough memory. Smaller batches or images take less.{go_on}"
    if isinstance(error, RecursionError):
        return 2, "the input is nested too deeply."
    raise error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Makes SIGTERM end the block as Ctrl-C does, so that nothing half-written stays behind."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _escape_what_the_terminal_lacks() -> None:
    """Lets standard output write letters that its encoding lacks as escapes, as the error one."""
    if sys.stdout is not None and sys.stdout.errors == "strict":
        with suppress(AttributeError):  # a stand-in
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line; `options.call(options)` runs it."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes an optional positional for absent when options stand before it.
    if len(rest) == 1 and getattr(options, "query", "") is None and not rest[0].startswith("-"):
        options.query = rest.pop()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mite",
        description="Match images and captions: train, measure and search with your own data.",
        epilog="examples:\n"
        "  mite demo --out demo                        everything, on rendered scenes\n"
        "  mite data check photos                      what is in the folder, and what is wrong\n"
        "  mite backbone MobileNetV2 --out mobilenet.keras\n"
        "  mite train photos --config flickr8k --run runs/first\n"
        "  mite evaluate runs/first --data photos --split test\n"
        '  mite search runs/first --data photos "a dog leaps into the water"\n'
        "  mite index photos.embeddings --out photos.index --export exports/first\n"
        '  mite search photos.index "a dog leaps into the water"\n'
        "  mite study photos --variants baseline,mite --seeds 5 --out studies/first\n"
        "  mite export runs/first --out exports/first  SavedModel and ONNX, verified\n"
        "  mite serve exports/first                    a server for one machine\n"
        "  mite loadtest localhost:8500 --clients 32   throughput and latency of a server\n"
        "  mite embed exports/first --images photos --out embeddings\n"
        "\n`mite VERB --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mite {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in (
        data,
        backbone,
        train,
        evaluate,
        embed,
        index,
        search,
        filter,
        duplicates,
        study,
        export,
        verify,
        serve,
        loadtest,
        ui,
        demo,
    ):
        verb.add(verbs)
    return parser
