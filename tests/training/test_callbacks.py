import numpy as np
import pytest

from mite_tf.evaluation import Embeddings, quick_probe_accuracy
from mite_tf.training import RetrievalMonitor


def embeddings(images):
    random = np.random.default_rng(0)
    return Embeddings(*random.normal(size=(2, images, 4)), np.arange(images))


def measured(monitor, epochs):
    rows = [{} for _ in range(epochs)]
    for epoch, logs in enumerate(rows):
        monitor.on_epoch_end(epoch, logs)
    return rows


class TestProbe:
    def test_is_that_of_the_embeddings(self):
        [logs] = measured(RetrievalMonitor(lambda: embeddings(40)), 1)
        assert logs["probe_accuracy"] == quick_probe_accuracy(*embeddings(40))

    @pytest.mark.parametrize(("every", "epochs"), [(2, [2, 4]), (3, [3]), (0, [])])
    def test_is_taken_every_so_many_epochs(self, every, epochs):
        rows = measured(RetrievalMonitor(lambda: embeddings(8), probe_every=every), 5)
        assert [n for n, row in enumerate(rows, 1) if "probe_accuracy" in row] == epochs
        assert all("rsum" in row for row in rows)

    def test_is_left_out_where_there_are_too_few_images(self):
        [logs] = measured(RetrievalMonitor(lambda: embeddings(4)), 1)
        assert "probe_accuracy" not in logs
