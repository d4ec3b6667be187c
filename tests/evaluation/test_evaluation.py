import io
import json

import numpy as np
import pytest
from rich.console import Console

from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, evaluate_embeddings
from mite_tf.reports import print_table


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 8))
    rows = np.repeat(np.arange(20), 3)
    return Embeddings(images, images[rows] + rng.normal(scale=0.6, size=(60, 8)), rows)


@pytest.fixture(scope="module")
def evaluation(embeddings):
    return evaluate_embeddings(*embeddings)


def test_json_has_the_documented_keys(evaluation, tmp_path):
    evaluation.write_json(tmp_path / "new" / "evaluation.json")
    found = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert found == evaluation.to_dict()
    direction = {"r1", "r5", "r10", "median_rank", "mean_rank"}
    assert set(found) == {
        "image_to_text",
        "text_to_image",
        "rsum",
        "invariance",
        "chance",
        "protocol",
        "images",
        "captions",
    }
    assert set(found["image_to_text"]) == set(found["text_to_image"]) == direction
    assert set(found["invariance"]) == {
        "probe_accuracy",
        "centroid_gap",
        "relative_modality_gap",
        "mmd",
    }
    assert set(found["chance"]) == {"image_to_text", "text_to_image", "rsum"}
    assert (found["protocol"], found["images"], found["captions"]) == ("full", 20, 60)
    recalls = [found[d][r] for d in ("image_to_text", "text_to_image") for r in ("r1", "r5", "r10")]
    assert found["rsum"] == pytest.approx(sum(recalls))
    assert found["chance"]["text_to_image"]["r1"] == pytest.approx(5.0)


def test_writing_replaces_the_file_and_leaves_no_other(evaluation, tmp_path):
    for _ in range(2):
        evaluation.write_json(tmp_path / "evaluation.json")
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_without_the_probe_its_key_is_absent(embeddings):
    evaluation = evaluate_embeddings(*embeddings, probe=False)
    assert "probe_accuracy" not in evaluation.to_dict()["invariance"]


def test_wrong_rows_are_refused_before_anything_else(embeddings):
    with pytest.raises(MiteError, match="entry 0: image row 99"):
        evaluate_embeddings(embeddings.images, embeddings.captions, np.full(60, 99))


def _printed(evaluations, width=80):
    output = io.StringIO()
    print_table(evaluations, console=Console(file=output, width=width))
    return [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]


def test_the_table_shows_models_and_chance_side_by_side(evaluation, embeddings):
    quick = evaluate_embeddings(*embeddings, probe=False)
    header, _, *lines = _printed({"first [v1]": evaluation, "second": quick})
    assert header.split() == ["first", "[v1]", "second", "chance"]
    cells = {tuple(line.split()[:-3]): line.split()[-3:] for line in lines}
    r1 = f"{evaluation.image_to_text.r1:.1f}"
    assert cells["image", "→", "text", "R@1,", "%"] == [r1, r1, "5.0"]
    [probe] = [line for line in lines if "probe accuracy" in line]
    assert probe.split() == [
        "probe",
        "accuracy",
        f"{evaluation.invariance['probe_accuracy']:.3f}",
        "0.500",
    ]


def test_models_judged_on_different_candidates_have_their_own_chance(evaluation, embeddings):
    images, captions, rows = embeddings
    fewer = evaluate_embeddings(images[:10], captions[:30], rows[:30], probe=False)
    header, *_ = _printed({"all": evaluation, "fewer": fewer}, width=120)
    assert "chance, full, 20 images" in header
    assert "chance, full, 10 images" in header


def test_importing_is_quick(run_python):
    code = (
        "import sys, mite_tf.evaluation, mite_tf.retrieval;"
        "print({'sklearn', 'matplotlib', 'jinja2', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"
