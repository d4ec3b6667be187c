import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, evaluate_embeddings
from mite_tf.reports import (
    plot_courses,
    plot_history,
    plot_modalities,
    plot_near_misses,
    plot_recall,
    plot_similarities,
)
from mite_tf.reports.evaluation_plots import _project


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(30, 8))
    rows = np.repeat(np.arange(30), 2)
    captions = images[rows] + rng.normal(scale=0.3, size=(60, 8))
    return {
        "before": Embeddings(images + 2, captions - 2, rows),
        "after": Embeddings(images, captions, rows),
    }


def _saved(figure, path):
    figure.savefig(path / "figure.png", dpi=40)
    assert figure.get_suptitle().endswith(".")


def test_recall_bars_have_the_height_of_the_recalls(embeddings, tmp_path):
    evaluations = {n: evaluate_embeddings(*e, probe=False) for n, e in embeddings.items()}
    figure = plot_recall(evaluations)
    _saved(figure, tmp_path)
    before, after = (e.rsum for e in evaluations.values())
    title = f"Recall sum, of 600: before {before:.1f}, after {after:.1f}."
    assert figure.get_suptitle() == title
    for panel, direction in zip(figure.axes, ("image_to_text", "text_to_image"), strict=True):
        heights = [bar.get_height() for bar in panel.patches]
        scores = [getattr(evaluation, direction) for evaluation in evaluations.values()]
        assert heights == [recall for s in scores for recall in (s.r1, s.r5, s.r10)]


def test_modalities_lie_apart_before_and_mix_after(embeddings, tmp_path):
    figure = plot_modalities(embeddings)
    _saved(figure, tmp_path)
    distances = []
    for panel in figure.axes:
        assert len(panel.lines) == 25
        images, image_centre, captions, caption_centre = (
            c.get_offsets() for c in panel.collections
        )
        assert len(images) == len(captions) == 30
        distances.append(np.linalg.norm(image_centre - caption_centre))
    assert distances[0] > 5 * distances[1]


def test_modalities_can_be_drawn_with_umap(embeddings, tmp_path, monkeypatch):
    def fake(*, random_state, **_):
        """Keeps the first two dimensions."""
        assert random_state == 0
        return SimpleNamespace(fit_transform=lambda rows: rows[:, :2])

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=fake))
    figure = plot_modalities(embeddings, method="umap")
    _saved(figure, tmp_path)
    drawn = figure.axes[0].collections[0].get_offsets()
    units = embeddings["before"].images
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    assert sorted(drawn[:, 0]) == pytest.approx(sorted(units[:, 0]), abs=1e-6)
    assert "UMAP" in figure.axes[0].get_xlabel()


def test_projections_that_cannot_be_drawn_are_refused(embeddings, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MiteError, match=r"pip install .*\[umap\]"):
        plot_modalities(embeddings, method="umap")
    with pytest.raises(MiteError, match="No projection 'tsne'; there are pca, umap"):
        plot_modalities(embeddings, method="tsne")


@pytest.mark.slow
def test_umap_keeps_groups_together():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(8)[:2] * 5, 30, axis=0) + rng.normal(scale=0.3, size=(60, 8))
    points = _project(groups, "umap")[0]
    within = max(points[:30].std(axis=0).max(), points[30:].std(axis=0).max())
    assert np.linalg.norm(points[:30].mean(axis=0) - points[30:].mean(axis=0)) > 3 * within


def test_similarities_count_every_caption_once(embeddings, tmp_path):
    figure = plot_similarities(embeddings)
    _saved(figure, tmp_path)
    before, after = ([bar.get_x() for bar in panel.patches] for panel in figure.axes)
    assert before == after  # the same bins
    for panel, pairs in zip(figure.axes, embeddings.values(), strict=True):
        assert sum(bar.get_height() for bar in panel.patches) == 2 * len(pairs.captions)
        r1 = evaluate_embeddings(*pairs, probe=False).text_to_image.r1
        assert f"\n{r1:.1f}% of captions" in panel.get_title()


def test_near_misses_are_bars_of_percentages():
    figure = plot_near_misses({"mite": {"colour": 25.0, "count": 75.0}})
    assert [bar.get_height() for bar in figure.axes[0].patches] == [25.0, 75.0]
    assert "in count are the hardest" in figure.get_suptitle()


def test_history_skips_missing_values_and_marks_stages(tmp_path):
    history = [
        {"epoch": "1", "stage": "align", "matching_loss": "0.4", "adversarial_loss": ""},
        {"epoch": "2", "stage": "align", "matching_loss": "0.3"},
        {"epoch": "3", "stage": "adversarial", "matching_loss": "", "adversarial_loss": "0.7"},
        {"epoch": "4", "stage": "adversarial", "matching_loss": 0.1, "rsum": 250.0},
    ]
    figure = plot_history(history)
    _saved(figure, tmp_path)
    loss, rsum = figure.axes
    matching, adversarial, boundary = loss.lines
    assert matching.get_xydata().tolist() == [[1, 0.4], [2, 0.3], [4, 0.1]]
    assert adversarial.get_xydata().tolist() == [[3, 0.7]]
    assert list(boundary.get_xdata()) == [2.5, 2.5]
    assert [text.get_text() for text in loss.texts] == ["align", "adversarial"]
    assert rsum.lines[0].get_xydata().tolist() == [[4, 250.0]]


def test_courses_are_means_over_the_runs_that_have_a_value():
    first = [{"stage": "align", "rsum": 1.0}, {"stage": "finetune", "rsum": "3"}]
    [panel] = plot_courses({"mite": [first, [{"stage": "align", "rsum": 2.0}]]}).axes
    mean, boundary = panel.lines
    assert mean.get_xydata().tolist() == [[1, 1.5], [2, 3.0]]
    assert list(boundary.get_xdata()) == [1.5, 1.5]
    assert [text.get_text() for text in panel.texts] == ["finetune"]


def test_a_history_may_have_no_stages_but_not_no_columns():
    figure = plot_history([{"rsum": 1.0}, {"rsum": 2.0}])
    [panel] = figure.axes
    assert len(panel.lines) == 1
    assert figure.get_suptitle() == "Training took 2 epochs."
    with pytest.raises(MiteError, match="none of the columns matching_loss, "):
        plot_history([{"epoch": 1, "speed": 3.0}])
