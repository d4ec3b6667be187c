"""The command: `python -m mite_tf.serving.smoke HOST`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.serving.client import ClientTLS
from mite_tf.serving.smoke.run import smoke
from mite_tf.serving.smoke.subject import Subject


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line for each check; returns 0 if all held, 1 if not, 2 for unusable input."""
    options = _parser().parse_args(arguments)
    try:
        subject = _subject(options)
        failed = 0
        for outcome in smoke(subject):
            print(outcome, flush=True)
            failed += not outcome.ok
        subject.close()
    except MiteError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 2
    print(f"{failed} failed" if failed else "all ok")
    return 1 if failed else 0


def _subject(options: argparse.Namespace) -> Subject:
    tls = None
    if options.tls or options.ca or options.cert or options.key or options.server_name:
        tls = ClientTLS(
            ca=options.ca,
            certificate=options.cert,
            key=options.key,
            server_name=options.server_name,
        )
    token = None
    if options.token_file:
        try:
            token = options.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise MiteError(f"{options.token_file}: cannot be read: {error.strerror}.") from error
    return Subject(
        target=options.host if ":" in options.host else f"{options.host}:8500",
        tls=tls,
        token=token,
        label=options.label,
        http=options.http,
        export=options.export,
        tolerance=options.tolerance,
        timeout=options.timeout,
        wait=options.wait,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smoke.sh", description="Proves that a server works with this client."
    )
    add = parser.add_argument
    add("host", metavar="HOST", help="address of gRPC, such as localhost or serving.example:443")
    add("--http", metavar="HOST:PORT", help="also try REST and metrics there")
    add("--export", type=Path, metavar="DIR", help="also compare with the cases of this export")
    add("--tolerance", type=float, default=1e-4, help="greatest difference of a number (1e-4)")
    add("--label", metavar="NAME", help="try the version of this label, such as canary")
    add("--timeout", type=float, default=10, metavar="S", help="seconds for one request (10)")
    add("--wait", type=float, default=30, metavar="S", help="seconds until models are loaded (30)")
    add("--tls", action="store_true", help="connect by TLS")
    add("--ca", type=Path, metavar="PEM", help="authority of the server's certificate; with TLS")
    add("--cert", type=Path, metavar="PEM", help="certificate of this client, for mutual TLS")
    add("--key", type=Path, metavar="PEM", help="private key of that certificate")
    add("--server-name", metavar="NAME", help="name in the server's certificate")
    add("--token-file", type=Path, metavar="FILE", help="file with a bearer token")
    return parser


if __name__ == "__main__":
    sys.exit(main())
