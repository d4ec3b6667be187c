import dataclasses
import json

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, RetrievalScores, evaluate_embeddings, matching_ranks
from mite_tf.retrieval import HubCorrection


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
    scores = {"image_to_text", "text_to_image", "rsum"}
    about_chance = {"chance", "chance_deviation", "beats_chance"}
    context = {"invariance", "left_out", "protocol", "images", "captions", "corrected"}
    assert set(found) == scores | about_chance | context
    assert set(found["image_to_text"]) == set(found["text_to_image"]) == direction
    assert set(found["chance"]) == scores
    assert (found["protocol"], found["images"], found["captions"]) == ("full", 20, 60)
    recalls = [found[d][r] for d in ("image_to_text", "text_to_image") for r in ("r1", "r5", "r10")]
    assert found["rsum"] == pytest.approx(sum(recalls))
    assert found["chance"]["text_to_image"]["r1"] == pytest.approx(5.0)


def thousands(images, captions, rows):
    """The five folds of COCO, each with image rows of its own."""
    for start in range(0, 5000, 1000):
        inside = (rows >= start) & (rows < start + 1000)
        yield images[start : start + 1000], captions[inside], rows[inside] - start


def test_hubs_are_corrected_fold_by_fold_beside_the_plain_scores(coco):
    images, captions, _ = coco
    hubs = HubCorrection(images[:50], captions[:50], weight=0.5, neighbours=3)
    found = evaluate_embeddings(*coco, protocol="coco-1k", probe=False, hubs=hubs)
    assert found.scores == evaluate_embeddings(*coco, protocol="coco-1k", probe=False).scores
    folds = [matching_ranks(*fold, hubs=hubs) for fold in thousands(*coco)]
    of_images = [100 * np.mean(fold.text_to_image <= 1) for fold in folds]
    assert found.corrected.text_to_image.r1 == pytest.approx(np.mean(of_images))
    assert found.corrected != found.scores
    assert found.to_dict()["corrected"]["rsum"] == found.corrected.rsum


@pytest.mark.parametrize(
    ("images", "absent"),
    [
        (1, {"probe_accuracy", "relative_modality_gap", "mmd"}),
        (2, {"probe_accuracy"}),
        (4, {"probe_accuracy"}),
        (5, set()),
    ],
)
def test_few_images_give_recall_and_reasons_for_the_rest(images, absent, tmp_path):
    pairs = np.random.default_rng(0).normal(size=(images, 8))
    evaluation = evaluate_embeddings(pairs, pairs, np.arange(images))
    assert evaluation.image_to_text.r1 == 100
    assert set(evaluation.left_out) == absent
    assert not absent & set(evaluation.invariance)
    assert all("at least" in reason for reason in evaluation.left_out.values())
    assert sum("is left out" in note for note in evaluation.notes) == len(absent)
    assert evaluation.beats_chance == (images > 2)  # 600 may be luck with so few
    evaluation.write_json(tmp_path / "found.json")
    assert set(json.loads((tmp_path / "found.json").read_text())["left_out"]) == absent


def test_no_order_at_all_does_not_beat_chance():
    # Ties count against the model, so that the only candidates among ten are last, and found.
    alike = evaluate_embeddings(np.ones((9, 4)), np.ones((9, 4)), np.arange(9), probe=False)
    assert not alike.beats_chance
    assert alike.notes[0].startswith("RSUM 200.0 does not beat chance: random order")


def test_importing_is_quick(run_python):
    code = (
        "import sys, mite_tf.evaluation, mite_tf.retrieval;"
        "print({'sklearn', 'matplotlib', 'jinja2', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def coco():
    rng = np.random.default_rng(0)
    rows = np.sort(np.concatenate([np.arange(5000), rng.integers(0, 5000, 1000)]))
    images = rng.normal(size=(5000, 8))
    return images, images[rows] + rng.normal(scale=0.5, size=(6000, 8)), rows


def test_coco_1k_is_the_mean_of_five_thousands_in_file_order(coco):
    evaluation = evaluate_embeddings(*coco, protocol="coco-1k", probe=False)
    folds = [evaluate_embeddings(*fold, probe=False) for fold in thousands(*coco)]
    assert evaluation.scores == RetrievalScores.mean([e.scores for e in folds])
    assert evaluation.chance == RetrievalScores.mean([e.chance for e in folds])
    assert (evaluation.protocol, evaluation.images, evaluation.captions) == ("coco-1k", 5000, 6000)
    assert evaluation.chance.text_to_image.r1 == pytest.approx(0.1)


def test_coco_5k_is_the_whole_split(coco):
    evaluation = evaluate_embeddings(*coco, protocol="coco-5k", probe=False)
    full = evaluate_embeddings(*coco, probe=False)
    assert full.protocol == "full"
    assert evaluation == dataclasses.replace(full, protocol="coco-5k")
    assert evaluation.chance.text_to_image.r1 == pytest.approx(0.02)


def test_captions_may_come_in_any_order(coco):
    images, captions, rows = coco
    order = np.random.default_rng(0).permutation(len(rows))
    found = evaluate_embeddings(
        images, captions[order], rows[order], protocol="coco-1k", probe=False
    )
    assert found.scores == evaluate_embeddings(*coco, protocol="coco-1k", probe=False).scores


@pytest.mark.parametrize(
    ("protocol", "images", "rows", "message"),
    [
        ("coco-1k", 1000, [0], "coco-1k needs exactly 5,000 images; .* 1,000"),
        ("coco-1k", 5001, [0], "coco-1k needs exactly 5,000 images; .* 5,001"),
        ("coco-5k", 4999, [0], "coco-5k needs exactly 5,000 images; .* 4,999"),
        ("coco-1k", 5000, np.r_[0:1000, 2000:5000], "Images 1000 to 1999 have no captions"),
        ("1k", 5000, [0], "'1k'; choose one of full, coco-1k, coco-5k"),
    ],
)
def test_a_split_that_does_not_fit_its_protocol_is_refused(protocol, images, rows, message):
    with pytest.raises(MiteError, match=message):
        evaluate_embeddings(np.ones((images, 2)), np.ones((len(rows), 2)), rows, protocol=protocol)
