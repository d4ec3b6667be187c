"""Results of load tests with numbers that are given."""

import numpy as np

from mite_tf.serving.loadtest.batch_sizes import BatchSizes
from mite_tf.serving.loadtest.result import summarise
from mite_tf.serving.loadtest.samples import joined

FACTS = {
    "target": "localhost:8500",
    "model": "text",
    "signature": "serving_default",
    "version": 1,
    "clients": 8,
    "processes": 1,
    "rate": None,
    "not_sent": 0,
    "client_busy": 0.3,
    "batch_sizes": None,
    "interrupted": False,
}


def result_of(samples, *, seconds=10.0, batch=1, messages=None, **facts):
    return summarise(
        samples,
        seconds=seconds,
        batch=batch,
        messages=messages or {},
        client_seconds=2.0,
        **{**FACTS, **facts},
    )


def steady(make_samples, *, clients, per_second, milliseconds, slowest, rows=None, **facts):
    """Ten seconds of answers: 98 % after `milliseconds`, the others after `slowest`."""
    number = 10 * per_second
    due = np.arange(number) / per_second
    took = np.where(np.arange(number) % 50 == 0, slowest, milliseconds) / 1e3
    # Those that end after the measurement would not count: begin as much earlier.
    rows_of = [(d, d, min(d + t, 9.999), 0) for d, t in zip(due, took, strict=True)]
    sizes = None
    if rows is not None:
        batches = 100
        sizes = BatchSizes(batches=batches, rows=round(batches * rows), histogram={})
    return result_of(make_samples(*rows_of), clients=clients, batch_sizes=sizes, **facts)


def nothing():
    """No request at all."""
    return joined([])
