"""`mite loadtest`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from mite_tf.cli.options import Verbs, add_client, add_verb, chosen, client_of, tell_written
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.files import written_beside


def add(verbs: Verbs) -> None:
    """Adds the verb `loadtest`."""
    verb = add_verb(
        verbs,
        "loadtest",
        _loadtest,
        "measure throughput and latency of a server, and find batching parameters",
        "mite loadtest localhost:8500 --clients 32 --seconds 20 --plot load.png\n"
        "  mite loadtest localhost:8500 --rate 500 --clients 128\n"
        "  mite loadtest localhost:8500 --sweep 1,2,4,8,16,32 --p99 50 --batching batching.config",
    )
    option = verb.add_argument
    option("host", metavar="HOST[:PORT]", help="the server (port 8500)")
    option("--clients", type=int, default=32, metavar="N", help="at once (default 32)")
    option(
        "--seconds", type=float, metavar="S", help="how long to measure (default 20; in a sweep 5)"
    )
    option("--warmup", type=float, default=2.0, metavar="S", help="load before it (default 2)")
    option("--model", default="text", metavar="NAME", help="text (default) or image")
    option("--signature", default="serving_default", metavar="NAME", help="default serving_default")
    option("--batch", type=int, default=1, metavar="N", help="rows a request (default 1)")
    option("--inputs", metavar="PATH", help="captions, image file, or folder (default: generated)")
    option(
        "--rate",
        type=float,
        metavar="R",
        help="send R requests a second, whatever the server does, and count latency from when "
        "each was due (default: a client sends its next request when it has an answer)",
    )
    option("--deadline", type=float, default=10.0, metavar="S", help="per request (default 10)")
    option("--processes", type=int, metavar="N", help="client processes (default: by the cores)")
    add_client(verb)
    option(
        "--sweep",
        type=_numbers,
        nargs="?",
        const=[1, 2, 4, 8, 16, 32, 64],
        metavar="N,...",
        help="measure each number of clients, and propose batching parameters",
    )
    option("--p99", type=float, metavar="MS", help="latency that 99 of 100 requests must keep")
    option("--server-cores", type=int, metavar="N", help="of the server (default: of this machine)")
    option("--batching", metavar="FILE", help="write the proposed batching parameters")
    option("--json", metavar="FILE", help="write all numbers as JSON")
    option("--plot", metavar="FILE", help="write a picture (PNG)")
    option(
        "--max-error-rate",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="exit with status 1 if a larger share of requests failed (default 0)",
    )


def _loadtest(options: argparse.Namespace) -> int:
    with from_extra("serving", "mite loadtest"):
        from mite_tf.serving import loadtest

    load = chosen(options, "warmup model signature batch inputs deadline processes rate")
    load |= client_of(options)
    if options.sweep is not None:
        sweep = loadtest.load_sweep(
            options.host,
            clients=options.sweep,
            seconds=options.seconds or 5.0,
            p99=options.p99,
            threads=options.server_cores or os.cpu_count() or 1,
            **load,
        )
        loadtest.print_sweep(sweep)
        if options.batching and sweep.proposal is not None:
            loadtest.write_batching(options.batching, sweep.proposal.batching)
            tell_written(options.batching)
        return _finish(options, sweep, loadtest.plot_sweep)
    result = loadtest.load_test(
        options.host, clients=options.clients, seconds=options.seconds or 20.0, **load
    )
    loadtest.print_result(result)
    return _finish(options, result, loadtest.plot_result)


def _finish(options: argparse.Namespace, found: Any, plot: Callable[[Any], Any]) -> int:
    if options.json:
        found.write_json(options.json)
    if options.plot:
        with from_extra("serving", "--plot"):
            from mite_tf.reports.figures import to_png

        try:
            png = to_png(plot(found))
        except MiteError:
            if not found.interrupted:
                raise
            options.plot = None  # stopped before there was anything to draw
        else:
            with written_beside(options.plot, "wb") as file:
                file.write(png)
    tell_written(options.json, options.plot)
    return 130 if found.interrupted else int(found.error_rate > options.max_error_rate)


def _numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list such as 1,2,4") from error
