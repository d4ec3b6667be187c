"""Batch sizes from the metrics of both servers."""

import pytest

from mite_tf.serving.loadtest.batch_sizes import BatchSizes, fetch_batch_counts, read_batch_counts
from mite_tf.serving.server.metrics import Metrics

# Lines in the form of TensorFlow Serving's `util/prometheus_exporter.cc`: colons for slashes, no
# help, empty braces; a value that equals a limit is counted above it (`prometheus_exporter_test.cc`
# has 2 in the bucket of 4).
PAGE = """\
# TYPE @input_batch_size histogram
@input_batch_size_bucket{{le="1"}} 0
@input_batch_size_bucket{{le="2"}} {rows}
@input_batch_size_bucket{{le="+Inf"}} {rows}
@input_batch_size_sum{{}} {rows}
@input_batch_size_count{{}} {rows}
# TYPE @padding_size histogram
@padding_size_bucket{{execution_batch_size="1",le="+Inf"}} {ones}
@padding_size_sum{{execution_batch_size="1"}} 0
@padding_size_count{{execution_batch_size="1"}} {ones}
@padding_size_bucket{{execution_batch_size="4",le="+Inf"}} {fours}
@padding_size_sum{{execution_batch_size="4"}} {fours}
@padding_size_count{{execution_batch_size="4"}} {fours}
# TYPE @processed_batch_size histogram
@processed_batch_size_bucket{{le="1"}} 0
@processed_batch_size_bucket{{le="2"}} {ones}
@processed_batch_size_bucket{{le="4"}} {ones}
@processed_batch_size_bucket{{le="8"}} {all}
@processed_batch_size_bucket{{le="8192"}} {all}
@processed_batch_size_bucket{{le="+Inf"}} {all}
@processed_batch_size_sum{{}} {padded}
@processed_batch_size_count{{}} {all}
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{{model_name="text",status="OK"}} {rows}
"""


def page(ones, fours):
    """Of batches of one row, and of batches of three that were padded to four."""
    padded, rows = ones + 4 * fours, ones + 3 * fours
    form = PAGE.replace("@", ":tensorflow:serving:batching_session:")
    return form.format(ones=ones, fours=fours, all=ones + fours, padded=padded, rows=rows)


def test_tensorflow_serving_without_its_padding():
    before, after = (read_batch_counts(page(*counts), "text") for counts in ((5, 1), (15, 31)))
    found = after.since(before)
    assert found == BatchSizes(batches=40, rows=10 + 3 * 30, histogram={"1": 10, "4-7": 30})
    assert found.mean == 2.5


def test_other_session_of_tensorflow_serving():
    other = page(2, 1).replace("batching_session", "tfrt_saved_model_with_batching")
    assert read_batch_counts(other, "text").batches == 3


def test_mite_serve_counts_each_model_alone():
    metrics = Metrics()
    for model, sizes in {"text": [1, 4, 4, 5, 2000], "image": [32] * 9}.items():
        batches = metrics.of_batches(model)
        for size in sizes:
            batches.ran(size, 0.001, 0)
    counts = read_batch_counts(metrics.page().decode(), "text")
    none = read_batch_counts(Metrics().page().decode(), "text")
    found = counts.since(none)
    # Here a value that equals a limit is counted below it.
    assert found == BatchSizes(
        batches=5, rows=2014, histogram={"1": 1, "3-4": 2, "5-8": 1, "1025+": 1}
    )


def test_server_without_batching_tells_nothing():
    assert read_batch_counts('# TYPE :a counter\n:a{b="c"} 1\n', "text") is None


@pytest.mark.parametrize("url", ["http://localhost:1/metrics", "nonsense", "file:///dev/null"])
def test_address_without_metrics_is_passed_over(url):
    assert fetch_batch_counts([url], "text") is None
