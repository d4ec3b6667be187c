"""Batching parameters from measurements, computed by hand."""

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.sweep import propose, write_batching
from mite_tf.serving.server import Batching, read_batching
from tests.serving.loadtest.conftest import result_of, steady


@pytest.fixture
def sweep():
    """Throughput stops growing at 16 clients; latency does not."""
    loads = [  # clients, requests/s, p50, p99
        (1, 100, 10, 12),
        (4, 350, 11, 20),
        (16, 800, 18, 40),
        (64, 850, 70, 200),
    ]
    return [
        steady(clients=c, per_second=x, milliseconds=p50, slowest=p99) for c, x, p50, p99 in loads
    ]


@pytest.mark.parametrize(
    ("target", "threads", "largest", "clients", "size", "enqueued"),
    [
        # 16 clients have 16 rows under way, 8 for each thread. A lone client takes 10 ms, which
        # leaves 40 ms for the queue: 800 rows a second are 32 in this time, 4 batches of 8.
        (50, 2, 1, 16, 8, 4),
        # 64 clients are 16 rows for each thread, but the client sends 32 in a request; 850 rows a
        # second for 490 ms are 416 rows: 13 batches.
        (500, 4, 32, 64, 32, 13),
        # 16 rows would do, but the client sends 32 in a request: of these, 1 batch fits the queue.
        (50, 1, 32, 16, 32, 1),
        # No load reaches the target, so the lightest counts. As many batches as threads, at least.
        (5, 2, 32, 1, 32, 2),
        # Throughput over p99: 8.3, 17.5, 20, 4.25. The target is twice 40 ms, which leaves 70 ms:
        # 800 rows a second are 56 rows, 7 batches of 8.
        (None, 2, 1, 16, 8, 7),
    ],
)
def test_proposals(sweep, target, threads, largest, clients, size, enqueued):
    found = propose(sweep, p99=target, threads=threads, largest_request=largest)
    assert (found.clients, found.target, found.reached) == (clients, target or 80, target != 5)
    assert found.batching == Batching(
        max_batch_size=size, num_batch_threads=threads, max_enqueued_batches=enqueued
    )


def test_rows_under_way_make_a_power_of_two():
    lone = steady(clients=1, per_second=100, milliseconds=10, slowest=10)
    many = steady(clients=20, per_second=500, milliseconds=30, slowest=40, batch=3)
    # 20 clients with 3 rows each have 60 rows under way: 30 for each of two threads, up to 32.
    # 1500 rows a second for 90 ms are 135 rows: 4 batches of 32.
    found = propose([lone, many], p99=100, threads=2, largest_request=1)
    assert found.batching.max_batch_size == 32
    assert found.batching.max_enqueued_batches == 4


def test_own_requests_are_taken():
    only = steady(clients=1, per_second=50, milliseconds=10, slowest=10, batch=48)
    assert propose([only], threads=8).batching.max_batch_size == 48


def test_loads_with_errors_do_not_count(sweep):
    times = [n / 100 for n in range(999)]
    failing = [(t, t, t + 0.001, 8 if n % 50 == 0 else 0) for n, t in enumerate(times)]
    refused = result_of(*failing, clients=128)  # the fastest, with 2 % errors
    assert propose([*sweep, refused], p99=50, threads=2).clients == 16
    with pytest.raises(MiteError, match="more than 1 % of requests failed"):
        propose([refused], threads=2)


def test_both_servers_read_the_file(sweep, tmp_path):
    found = propose(sweep, p99=500, threads=4).batching
    write_batching(tmp_path / "batching.config", found)
    assert read_batching(tmp_path / "batching.config") == found
