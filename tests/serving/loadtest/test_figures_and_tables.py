"""What is drawn and printed of a load test."""

import numpy as np
import pytest
from rich.console import Console

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.batch_sizes import BatchSizes
from mite_tf.serving.loadtest.batching_sweep import BatchingSweep, BatchingTrial
from mite_tf.serving.loadtest.batching_table import print_batching_sweep
from mite_tf.serving.loadtest.plot import plot_result, write_figure
from mite_tf.serving.loadtest.proposal import propose
from mite_tf.serving.loadtest.sweep import Sweep
from mite_tf.serving.loadtest.sweep_plot import plot_sweep
from mite_tf.serving.loadtest.sweep_table import print_sweep
from mite_tf.serving.loadtest.table import print_result
from mite_tf.serving.server.batching import Batching
from tests.serving.loadtest.results import nothing, result_of, steady


def printed(function, *arguments):
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        function(*arguments, console=console)
    return capture.get()


@pytest.fixture
def result(samples):
    """Four seconds at 5 a second, one of which fails each second; an answer takes 20 ms."""
    rows = [(n / 5, n / 5 + 0.005, n / 5 + 0.02, 8 if n % 5 == 0 else 0) for n in range(20)]
    return result_of(
        samples(*rows),
        seconds=4.0,
        rate=5.0,
        not_sent=3,
        client_busy=0.9,
        messages={"RESOURCE_EXHAUSTED": "full [1, 2]"},
        batch_sizes=BatchSizes(batches=8, rows=16, histogram={"1": 4, "2-3": 4}),
    )


def test_table_tells_all_and_what_to_mind(result):
    text = printed(print_result, result)
    for part in (
        "localhost:8500, text / serving_default, version 1",
        "5 requests/s, at most 8 at once, 1 row a request, 4.0 s",
        "20, 16 answered",
        "20.00%: RESOURCE_EXHAUSTED 4",
        "4.0 requests/s, 4.0 rows/s",
        "p50 20.0, p95 20.0, p99 20.0, max 20.0 ms",
        "p50 15.0, p95 15.0, p99 15.0, max 15.0 ms",
        "8 of 2.0 rows on average (1: 4, 2-3: 4)",
        "busy 90% of the time, so the client is likely the limit",
        "3 requests fell due and were never sent",
        "RESOURCE_EXHAUSTED: full [1, 2]",
    ):
        assert part in text


def test_picture_shows_each_second_and_all_answers(result):
    figure = plot_result(result)
    left, right = figure.axes
    answers, errors = (patch.get_data().values for patch in left.patches)
    assert answers.tolist() == [4, 4, 4, 4]
    assert errors.tolist() == [1, 1, 1, 1]
    shares = [patch.get_data().values.sum() for patch in right.patches]
    np.testing.assert_allclose(shares, 100)
    assert "4 answers a second, p99 20.0 ms" in figure.get_suptitle()


def test_server_that_hangs_from_the_warm_up_on_is_told(samples):
    result = result_of(samples((-1, -1, 11, 0), (-1, -1, 14, 4)))
    assert result.error_rate == 1
    assert "2 requests of the warm-up waited through all of it, up to 15.0 s" in printed(
        print_result, result
    )


def test_nothing_is_not_drawn():
    with pytest.raises(MiteError, match="no request was answered"):
        plot_result(result_of(nothing(), seconds=0.0))


@pytest.fixture
def sweep(samples):
    results = [
        steady(samples, clients=1, per_second=100, milliseconds=10, slowest=10),
        steady(samples, clients=8, per_second=400, milliseconds=20, slowest=25),
        steady(samples, clients=64, per_second=410, milliseconds=150, slowest=300),
    ]
    return Sweep(results=tuple(results), proposal=propose(results, p99=50, threads=2))


def test_sweep_is_drawn_and_printed(sweep, tmp_path):
    figure = plot_sweep(sweep)
    left, right = figure.axes
    curve, *_ = left.lines
    assert curve.get_xydata().tolist() == [[100, 10], [400, 25], [410, 300]]
    assert right.lines[0].get_xydata().tolist() == [[1, 100], [8, 400], [64, 410]]
    write_figure(tmp_path / "sweep.png", figure)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    text = printed(print_sweep, sweep)
    assert "Best at 8 clients: 400 requests/s, p99 25.0 ms." in text
    assert sweep.proposal.batching.max_batch_size == 32
    assert "max_batch_size { value: 32 }" in text


@pytest.mark.parametrize(("p99", "best"), [(None, 32), (30.0, 8), (1.0, 1)])
def test_best_setting_is_the_fastest_within_the_latency(p99, best):
    trials = tuple(
        BatchingTrial(
            batching=Batching(max_batch_size=size, num_batch_threads=2),
            throughput=throughput,
            p50=5.0,
            p99=latency,
            error_rate=0.0,
            rows_per_batch=None,
        )
        for size, throughput, latency in ((1, 100.0, 20.0), (8, 300.0, 25.0), (32, 400.0, 60.0))
    )
    found = BatchingSweep(clients=32, rounds=3, trials=trials, p99=p99, interrupted=False)
    assert found.best.batching.max_batch_size == best
    text = printed(print_batching_sweep, found)
    assert f"max_batch_size {{ value: {best} }}" in text
    assert ("No setting stayed within" in text) == (p99 == 1.0)
