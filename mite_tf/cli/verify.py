"""`mite verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mite_tf.cli.options import Verbs, add_client, add_verb, chosen, client_of, tell_written
from mite_tf.errors import MiteError
from mite_tf.quiet import load_tensorflow

if TYPE_CHECKING:
    from mite_tf.export.verification.check import Check

_OF_SERVER = ("http", "label", "tolerance", "timeout", "wait", "token_file", "tls", "ca", "cert",
              "key", "server_name")  # fmt: skip


def add(verbs: Verbs) -> None:
    """Adds the verb `verify`."""
    verify = add_verb(
        verbs,
        "verify",
        _verify,
        "check that an export, or a server of one, computes what Keras computed",
        "mite verify exports/first --server localhost:8500 --http localhost:8501",
    )
    verify.add_argument("export", help="export folder")
    verify.add_argument("--json", metavar="FILE", help="write the result as JSON")
    server = verify.add_argument_group("a server of the export, in place of its files")
    add = server.add_argument
    add("--server", metavar="HOST", help="address of gRPC, such as localhost or serving:8500")
    add("--http", metavar="HOST:PORT", help="also try REST and metrics there")
    add("--label", metavar="NAME", help="try the version of this label, such as canary")
    add("--tolerance", type=float, metavar="D", help="greatest difference of a number (1e-4)")
    add("--timeout", type=float, metavar="S", help="seconds for one request (10)")
    add("--wait", type=float, metavar="S", help="seconds until the models must be loaded (30)")
    add_client(server)


def _verify(options: argparse.Namespace) -> int:
    from mite_tf.export.verification.check import print_checks, write_checks

    checks = _of_server(options) if options.server else _of_folder(options)
    print_checks(checks)
    if options.json:
        write_checks(options.json, checks)
        tell_written(options.json)
    return int(not all(check.passed for check in checks))


def _of_folder(options: argparse.Namespace) -> list[Check]:
    given = [name for name, value in vars(options).items() if name in _OF_SERVER and value]
    if given:
        raise MiteError(f"--{given[0].replace('_', '-')} needs --server HOST.")
    load_tensorflow()
    from mite_tf.export import verify

    return verify(options.export)


def _of_server(options: argparse.Namespace) -> list[Check]:
    from mite_tf.serving import verify_server

    limits = chosen(options, "tolerance timeout wait")
    return verify_server(
        options.export,
        options.server,
        http=options.http,
        version_label=options.label,
        **client_of(options),
        **{name: value for name, value in limits.items() if value is not None},
    )
