"""`mite loadtest`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from mite_tf.cli.options import Verbs, add_verb
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra


def add(verbs: Verbs) -> None:
    """Adds the verb `loadtest`."""
    verb = add_verb(
        verbs,
        "loadtest",
        _loadtest,
        "measure throughput and latency of a server, and find batching parameters",
        "mite loadtest localhost:8500 --clients 32 --seconds 20 --plot load.png\n"
        "  mite loadtest localhost:8500 --sweep 1,2,4,8,16,32 --p99 50 --batching batching.config\n"
        "  mite loadtest --export exports/first --sweep-batching 1,8,32,128 --batching best.config",
    )
    verb.add_argument("host", nargs="?", metavar="HOST[:PORT]", help="the server (port 8500)")
    _add_load(verb)
    _add_connection(verb)
    _add_sweeps(verb)
    verb.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    verb.add_argument("--plot", metavar="FILE", help="write a picture (PNG)")
    verb.add_argument(
        "--max-error-rate",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="exit with status 1 if a larger share of requests failed (default 0)",
    )


def _add_load(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--clients", type=int, default=32, metavar="N", help="at once (default 32)")
    verb.add_argument(
        "--seconds", type=float, metavar="S", help="how long to measure (default 20; in sweeps 5)"
    )
    verb.add_argument(
        "--warmup", type=float, default=2.0, metavar="S", help="load before it (default 2)"
    )
    verb.add_argument("--model", default="text", metavar="NAME", help="text (default) or image")
    verb.add_argument(
        "--signature", default="serving_default", metavar="NAME", help="default serving_default"
    )
    verb.add_argument(
        "--batch", type=int, default=1, metavar="N", help="rows a request (default 1)"
    )
    verb.add_argument(
        "--inputs",
        metavar="PATH",
        help="file of captions, image file, folder of images, or an export (default: generated)",
    )
    verb.add_argument(
        "--rate",
        type=float,
        metavar="R",
        help="send R requests a second, whatever the server does, and count latency from when "
        "each was due (default: a client sends its next request when it has an answer)",
    )
    verb.add_argument(
        "--deadline", type=float, default=10.0, metavar="S", help="per request (default 10)"
    )
    verb.add_argument(
        "--processes", type=int, metavar="N", help="client processes (default: by the cores)"
    )
    verb.add_argument(
        "--metrics", metavar="URL", help="the server's metrics, for batch sizes (default port 8501)"
    )


def _add_connection(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--tls", action="store_true", help="encrypt; implied by the next three")
    verb.add_argument("--ca", metavar="FILE", help="authorities to trust (PEM)")
    verb.add_argument("--cert", metavar="FILE", help="certificate of the client (PEM)")
    verb.add_argument("--key", metavar="FILE", help="its private key (PEM)")
    verb.add_argument("--server-name", metavar="NAME", help="name in the server's certificate")
    verb.add_argument("--token-file", metavar="FILE", help="holds a bearer token")


def _add_sweeps(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--sweep",
        type=_numbers,
        nargs="?",
        const=[1, 2, 4, 8, 16, 32, 64],
        metavar="N,...",
        help="measure each number of clients, and propose batching parameters",
    )
    verb.add_argument(
        "--p99", type=float, metavar="MS", help="latency that 99 of 100 requests must keep"
    )
    verb.add_argument(
        "--server-cores", type=int, metavar="N", help="of the server (default: of this machine)"
    )
    verb.add_argument("--export", metavar="DIR", help="export to serve here, for --sweep-batching")
    verb.add_argument(
        "--sweep-batching",
        type=_numbers,
        nargs="?",
        const=[1, 8, 32, 128],
        metavar="N,...",
        help="serve the export with each max_batch_size, and compare",
    )
    verb.add_argument(
        "--timeouts",
        type=_numbers,
        default=[0],
        metavar="US,...",
        help="each with these batch_timeout_micros (default 0)",
    )
    verb.add_argument("--backend", default="auto", help="of the served export (default auto)")
    verb.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="measure each N times (default 3)"
    )
    verb.add_argument("--batching", metavar="FILE", help="write the proposed batching parameters")


def _loadtest(options: argparse.Namespace) -> int:
    with from_extra("serving", "mite loadtest"):
        from mite_tf.serving import loadtest

    load = {
        name: getattr(options, name)
        for name in ("warmup", "model", "signature", "batch", "inputs", "deadline", "processes")
    }
    if options.sweep_batching is not None:
        if options.plot or options.rate:
            raise MiteError("--sweep-batching takes neither --plot nor --rate.")
        if options.export is None or options.host is not None:
            raise MiteError("--sweep-batching serves an export: give --export DIR and no HOST.")
        compared = loadtest.sweep_batching(
            options.export,
            sizes=options.sweep_batching,
            timeouts=options.timeouts,
            threads=None if options.server_cores is None else (options.server_cores,),
            backend=options.backend,
            clients=options.clients,
            seconds=options.seconds or 5.0,
            rounds=options.rounds,
            p99=options.p99,
            **load,
        )
        loadtest.print_batching_sweep(compared)
        return _finish(options, compared, batching=compared.best.batching)
    if options.host is None:
        raise MiteError("Name the server, such as localhost:8500.")
    load |= {"tls": _tls(options), "token": _token(options), "metrics": options.metrics}
    if options.sweep is not None:
        if options.rate:
            raise MiteError("--sweep varies the number of clients; --rate is for one load test.")
        sweep = loadtest.load_sweep(
            options.host,
            clients=options.sweep,
            seconds=options.seconds or 5.0,
            p99=options.p99,
            threads=options.server_cores or os.cpu_count() or 1,
            **load,
        )
        loadtest.print_sweep(sweep)
        batching = None if sweep.proposal is None else sweep.proposal.batching
        return _finish(options, sweep, batching=batching, plot=loadtest.plot_sweep)
    result = loadtest.load_test(
        options.host,
        clients=options.clients,
        seconds=options.seconds or 20.0,
        rate=options.rate,
        **load,
    )
    loadtest.print_result(result)
    return _finish(options, result, plot=loadtest.plot_result)


def _finish(
    options: argparse.Namespace, found: Any, *, batching: Any = None, plot: Any = None
) -> int:
    from mite_tf.serving.loadtest import write_batching, write_figure

    if options.json:
        found.write_json(options.json)
    if options.batching and batching is not None:
        write_batching(options.batching, batching)
    if options.plot and plot is not None:
        write_figure(options.plot, plot(found))
    if found.interrupted:
        return 130
    return int(found.error_rate > options.max_error_rate)


def _tls(options: argparse.Namespace) -> Any:
    from mite_tf.serving import ClientTLS

    given = {"ca": options.ca, "certificate": options.cert, "key": options.key}
    given["server_name"] = options.server_name
    return ClientTLS(**given) if any(given.values()) else options.tls


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is None:
        return None
    try:
        return Path(options.token_file).read_text("utf-8").strip()
    except OSError as error:
        raise MiteError(f"{options.token_file}: cannot be read: {error.strerror}.") from error


def _numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list such as 1,2,4") from error
