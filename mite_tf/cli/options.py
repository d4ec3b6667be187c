"""What several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from mite_tf.errors import MiteError

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_FORMATS = ("flickr", "karpathy", "coco", "csv", "tsv", "jsonl", "folder")


def add_verb(
    verbs: Verbs,
    name: str,
    call: Callable[[argparse.Namespace], int | None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Adds a verb that calls `call` with its options; the help ends with the example."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(call=call)
    return verb


def chosen(options: argparse.Namespace, names: str) -> dict[str, Any]:
    """Returns the options of these names, separated by spaces, as keyword arguments."""
    return {name: getattr(options, name) for name in names.split()}


def tell_written(*paths: str | None) -> None:
    """Says on standard error which files a verb has written, of those that were asked for."""
    from mite_tf.progress import say

    for path in filter(None, paths):
        say(f"Written: {path}")


def add_source(verb: argparse._ActionsContainer) -> None:
    """Adds how captioned images are read."""
    verb.add_argument("--format", choices=_FORMATS, help="format of the data; looked up by default")
    verb.add_argument("--root", metavar="DIR", help="folder that image paths are relative to")


def add_recipe(verb: argparse.ArgumentParser) -> None:
    """Adds how a training is configured."""
    option = verb.add_argument
    option(
        "--config",
        metavar="NAME|FILE",
        help="flickr8k (default), flickr30k, coco, scenes, pretrained, contrastive, or a TOML file",
    )
    option(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the configuration, such as stages.align.epochs=5; repeatable",
    )
    add_source(verb)
    option(
        "--skip-bad", action="store_true", help="go on without images and captions that are broken"
    )
    option("--cache", metavar="DIR", help="folder of backbone features, to share between runs")
    option(
        "--unpaired-images",
        metavar="DIR",
        help="folder of images without captions, for the adversary",
    )
    option(
        "--unpaired-captions",
        metavar="FILE",
        help="text file of captions without images, one a line, for the adversary",
    )


def add_client(options: argparse._ActionsContainer) -> None:
    """Adds how a client proves itself to a server, and the server to it."""
    add = options.add_argument
    add("--token-file", type=Path, metavar="FILE", help="file with a bearer token")
    add("--tls", action="store_true", help="connect by TLS, as any option below does too")
    add("--ca", metavar="PEM", help="authorities to trust")
    add("--cert", metavar="PEM", help="certificate of this client, for mutual TLS")
    add("--key", metavar="PEM", help="private key of that certificate")
    add("--server-name", metavar="NAME", help="name in the server's certificate")


def client_of(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what `add_client` has added as the arguments `tls` and `token`."""
    from mite_tf.serving import ClientTLS

    given = chosen(options, "ca key server_name") | {"certificate": options.cert}
    tls = ClientTLS(**given) if options.tls or any(given.values()) else None
    if options.token_file is None:
        return {"tls": tls, "token": None}
    try:
        return {"tls": tls, "token": options.token_file.read_text("utf-8").strip()}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise MiteError(f"{options.token_file}: cannot be read: {reason}.") from error
