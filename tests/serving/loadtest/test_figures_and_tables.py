"""What is drawn and printed of a load test."""

import numpy as np
import pytest
from rich.console import Console

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.plot import plot_result, plot_sweep
from mite_tf.serving.loadtest.sweep import Sweep, propose
from mite_tf.serving.loadtest.table import print_result, print_sweep
from tests.serving.loadtest.conftest import result_of, steady


def printed(function, *arguments):
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        function(*arguments, console=console)
    return capture.get()


@pytest.fixture
def result():
    """Four seconds at 5 a second, one of which fails each second; an answer takes 20 ms."""
    rows = [(n / 5, n / 5 + 0.005, n / 5 + 0.02, 8 if n % 5 == 0 else 0) for n in range(20)]
    return result_of(
        *rows,
        seconds=4.0,
        rate=5.0,
        not_sent=3,
        client_busy=0.9,
        messages={"RESOURCE_EXHAUSTED": "full [1, 2]"},
    )


def test_table_tells_all_and_what_to_mind(result):
    text = printed(print_result, result)
    for part in (
        "localhost:8500, text / serving_default, version 1",
        "5 requests/s, at most 8 at once, rows a request: 1, 4.0 s",
        "20, 16 answered",
        "20.00%: RESOURCE_EXHAUSTED 4",
        "4.0 requests/s, 4.0 rows/s",
        "p50 20.0, p95 20.0, p99 20.0, max 20.0 ms",
        "p50 15.0, p95 15.0, p99 15.0, max 15.0 ms",
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


def test_server_that_hangs_from_the_warm_up_on_is_told():
    result = result_of((-1, -1, 11, 0), (-1, -1, 14, 4))
    assert result.error_rate == 1
    assert "No request fell due: those of the warm-up still waited" in printed(print_result, result)


def test_nothing_is_not_drawn():
    with pytest.raises(MiteError, match="no request was answered"):
        plot_result(result_of(seconds=0.0))


@pytest.fixture
def sweep():
    results = [
        steady(clients=1, per_second=100, milliseconds=10, slowest=10),
        steady(clients=8, per_second=400, milliseconds=20, slowest=25),
        steady(clients=64, per_second=410, milliseconds=150, slowest=300),
    ]
    return Sweep(results=tuple(results), proposal=propose(results, p99=50, threads=2))


def test_sweep_is_drawn_and_printed(sweep):
    figure = plot_sweep(sweep)
    left, right = figure.axes
    curve, *_ = left.lines
    assert curve.get_xydata().tolist() == [[100, 10], [400, 25], [410, 300]]
    assert right.lines[0].get_xydata().tolist() == [[1, 100], [8, 400], [64, 410]]
    text = printed(print_sweep, sweep)
    assert "Best with clients: 8, requests/s: 400, p99: 25.0 ms." in text
    assert sweep.proposal.batching.max_batch_size == 32
    assert "max_batch_size { value: 32 }" in text
