import dataclasses

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import RetrievalScores, evaluate_embeddings
from mite_tf.evaluation.protocols import protocol_folds


@pytest.fixture(scope="module")
def coco():
    rng = np.random.default_rng(0)
    rows = np.sort(np.concatenate([np.arange(5000), rng.integers(0, 5000, 1000)]))
    images = rng.normal(size=(5000, 8))
    return images, images[rows] + rng.normal(scale=0.5, size=(6000, 8)), rows


def test_coco_1k_is_the_mean_of_five_thousands_in_file_order(coco):
    images, captions, rows = coco
    evaluation = evaluate_embeddings(*coco, protocol="coco-1k", probe=False)
    thousands = [
        evaluate_embeddings(
            images[start : start + 1000],
            captions[(rows >= start) & (rows < start + 1000)],
            rows[(rows >= start) & (rows < start + 1000)] - start,
            probe=False,
        )
        for start in range(0, 5000, 1000)
    ]
    assert evaluation.scores == RetrievalScores.mean([e.scores for e in thousands])
    assert evaluation.chance == RetrievalScores.mean([e.chance for e in thousands])
    assert (evaluation.protocol, evaluation.images, evaluation.captions) == ("coco-1k", 5000, 6000)
    assert evaluation.chance.text_to_image.r1 == pytest.approx(0.1)


def test_coco_5k_is_the_whole_split(coco):
    evaluation = evaluate_embeddings(*coco, protocol="coco-5k", probe=False)
    full = evaluate_embeddings(*coco, probe=False)
    assert full.protocol == "full"
    assert evaluation == dataclasses.replace(full, protocol="coco-5k")
    assert evaluation.chance.text_to_image.r1 == pytest.approx(0.02)


def test_captions_may_come_in_any_order():
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(5000), 2))
    folds = protocol_folds("coco-1k", 5000, rows)
    assert sorted(np.concatenate([fold.captions for fold in folds])) == list(range(10000))
    for number, fold in enumerate(folds):
        assert (rows[fold.captions] == fold.caption_image + 1000 * number).all()


@pytest.mark.parametrize("protocol", ["coco-1k", "coco-5k"])
@pytest.mark.parametrize("images", [1000, 4999, 5001])
def test_a_split_of_another_size_is_refused(protocol, images):
    with pytest.raises(MiteError, match=f"{protocol} needs exactly 5,000 images; .* {images:,}"):
        protocol_folds(protocol, images, [0])


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(MiteError, match="'1k'; choose one of full, coco-1k, coco-5k"):
        protocol_folds("1k", 5000, [0])


def test_a_fold_without_captions_is_refused():
    with pytest.raises(MiteError, match="Images 1000 to 1999 have no captions"):
        protocol_folds("coco-1k", 5000, np.r_[0:1000, 2000:5000])
