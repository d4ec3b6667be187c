from types import SimpleNamespace

import numpy as np
import pytest

from mite_tf.evaluation import Embeddings, quick_probe_accuracy
from mite_tf.losses import BidirectionalTriplet
from mite_tf.training import RetrievalMonitor


def embeddings(images):
    random = np.random.default_rng(0)
    return Embeddings(*random.normal(size=(2, images, 4)), np.arange(images))


def measured(monitor, epochs):
    monitor.set_model(SimpleNamespace(matching_loss=BidirectionalTriplet()))
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


def test_val_loss_is_the_matching_loss_of_batches_of_all_captions():
    images, captions, _ = embeddings(150)
    [logs] = measured(RetrievalMonitor(lambda: embeddings(150), probe_every=0), 1)
    order = np.random.default_rng(0).permutation(150)
    losses = []
    for block in (order[:128], order[128:]):
        scores = images[block] @ captions[block].T
        own, off = np.diag(scores), ~np.eye(len(block), dtype=bool)
        hinges = [np.maximum(0, 0.2 - own[:, None] + each) * off for each in (scores, scores.T)]
        losses += list(sum(hinges).sum(axis=1))
    assert logs["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
