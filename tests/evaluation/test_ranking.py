import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.evaluation import (
    Confusion,
    matching_ranks,
    matching_similarities,
    near_miss_confusion,
)
from mite_tf.retrieval import HubCorrection
from mite_tf.retrieval.cosine import unit_rows


def _naive(images, captions, rows, hubs=None):
    """Ranks and similarities by their definition, one pair at a time."""
    of_images = hubs.bias(images, queries="caption") if hubs else [0] * len(images)
    of_captions = hubs.bias(captions, queries="image") if hubs else [0] * len(captions)
    images, captions = (unit_rows(x, allow_zero=True).astype(float) for x in (images, captions))
    s = [[np.float32(math.fsum(c * i)) for i in images] for c in captions]
    i2t = []
    for i in sorted(set(rows)):
        found = [s[c][i] - of_captions[c] for c in range(len(rows))]
        best = max(found[c] for c in range(len(rows)) if rows[c] == i)
        i2t.append(1 + sum(found[c] >= best for c in range(len(rows)) if rows[c] != i))
    t2i = []
    for c in range(len(rows)):
        found = [s[c][j] - of_images[j] for j in range(len(images))]
        others = [found[j] for j in range(len(images)) if j != rows[c]]
        t2i.append(1 + sum(each >= found[rows[c]] for each in others))
    hardest = [max(s[c][j] for j in range(len(images)) if j != rows[c]) for c in range(len(rows))]
    return i2t, t2i, [s[c][rows[c]] for c in range(len(rows))], hardest


@st.composite
def _embeddings(draw):
    """Small integers, so that duplicates, opposite rows, zeros and exact ties are common."""
    dimension = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 2), min_size=dimension, max_size=dimension)
    images = draw(st.lists(row, min_size=2, max_size=7))
    captions = draw(st.lists(row, min_size=1, max_size=12))
    of_image = st.integers(0, len(images) - 1)
    rows = draw(st.lists(of_image, min_size=len(captions), max_size=len(captions)))
    return images, captions, rows


@given(_embeddings(), st.integers(1, 13))
def test_ranks_are_those_of_the_definition_in_any_blocks(embeddings, block_size):
    ranks = matching_ranks(*embeddings, block_size=block_size)
    similarities = matching_similarities(*embeddings, block_size=block_size)
    i2t, t2i, matching, hardest = _naive(*embeddings)
    assert ranks.image_to_text.tolist() == i2t
    assert ranks.text_to_image.tolist() == t2i
    assert similarities[0].tolist() == matching
    assert similarities[1].tolist() == hardest


@given(_embeddings(), st.sampled_from([0, 0.3, 0.5, 1]), st.integers(1, 4), st.integers(1, 13))
def test_ranks_with_hubs_corrected_are_those_of_the_definition(embeddings, weight, k, block_size):
    images, captions, _ = embeddings
    hubs = HubCorrection(images, captions, weight=weight, neighbours=k)
    ranks = matching_ranks(*embeddings, hubs=hubs, block_size=block_size)
    i2t, t2i, _, _ = _naive(*embeddings, hubs)
    assert ranks.image_to_text.tolist() == i2t
    assert ranks.text_to_image.tolist() == t2i
    if not weight:
        plain = matching_ranks(*embeddings)
        assert all(np.array_equal(*pair) for pair in zip(ranks, plain, strict=True))


def test_a_matrix_that_fits_in_the_head():
    # On the unit circle, by degrees, so that similarity is nearness of angles. The images lie
    # at 0, 90 and 180; the captions of the first at 80 and 100, of the second at 20, of the
    # third at 170.
    def at(*degrees):
        angles = np.radians(degrees)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    ranks = matching_ranks(at(0, 90, 180), at(80, 100, 20, 170), [0, 0, 1, 2])
    # Image 0: nearest is 20 (not its own), then 80. Image 1: 80 and 100 before 20; 170 is
    # farther. Image 2: 170 is nearest.
    assert ranks.image_to_text.tolist() == [2, 3, 1]
    # 80: image 1 is nearer than 0. 100: images 1 and 2 are. 20: image 0 is. 170: its own.
    assert ranks.text_to_image.tolist() == [2, 3, 2, 1]


def test_duplicates_tie_exactly():
    rng = np.random.default_rng(0)
    images = np.repeat(rng.normal(size=(150, 300)).astype(np.float32), 2, axis=0)
    captions = images + rng.normal(scale=0.1, size=images.shape).astype(np.float32)
    ranks = matching_ranks(images, captions, np.arange(300), block_size=37)
    assert set(ranks.text_to_image) == {2}
    ranks = matching_ranks(images * 3.7, images, np.arange(300), block_size=41)
    assert set(ranks.image_to_text) == {2}


@pytest.mark.parametrize(
    ("images", "captions", "rows", "image_to_text", "text_to_image"),
    [
        # The rank of a collapsed model is 1 + the number of captions of other images.
        (np.ones((3, 8)), np.ones((6, 8)), [0, 0, 1, 1, 1, 2], [5, 4, 6], [3] * 6),
        # Two equal captions of one image are no rivals.
        (np.eye(2), [[1, 0], [1, 0], [0, 1]], [0, 0, 1], [1, 1], [1, 1, 1]),
        # An image without captions is only a distractor.
        ([[1, 0], [0, 1], [1, 1]], [[1, 0.9], [0, 1]], [0, 1], [1, 1], [2, 1]),
        # A zero row is ranked last, not refused.
        ([[1, 0], [0, 0]], [[1, 0], [0, 0]], [0, 1], [1, 2], [1, 2]),
    ],
)
def test_rules_by_hand(images, captions, rows, image_to_text, text_to_image):
    ranks = matching_ranks(images, captions, rows)
    assert ranks.image_to_text.tolist() == image_to_text
    assert ranks.text_to_image.tolist() == text_to_image


def test_memory_does_not_grow_with_the_matrix():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4000, 16)).astype(np.float32)
    captions, rows = images[np.repeat(np.arange(4000), 3)], np.repeat(np.arange(4000), 3)
    tracemalloc.start()
    try:
        matching_ranks(images, captions, rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole = 4000 * 12000 * np.dtype(np.float32).itemsize
    assert peak < whole / 8


@pytest.mark.parametrize(
    ("images", "captions", "rows", "message"),
    [
        (np.eye(2), np.eye(3), [0, 1, 1], "share one dimension"),
        (np.eye(2), [[1, np.nan]], [0], "caption embeddings, row 0: .* not finite"),
        ([[1, 0], [np.inf, 0]], [[1, 0]], [0], "image embeddings, row 1: .* not finite"),
        (np.eye(2), np.eye(2), [0], r"shape \(2,\); received int64 of shape \(1,\)"),
        (np.eye(2), np.eye(2), [0.0, 1.0], "received float64"),
        (np.eye(2), np.eye(2), [0, 2], r"entry 1: image row 2 .* \(rows 0 to 1\)"),
        (np.eye(2), np.eye(2), [-1, 1], "entry 0: image row -1"),
        (np.eye(2), np.empty((0, 2)), np.empty(0, int), "no captions"),
        (np.ones(2), np.eye(2), [0, 0], r"image embeddings must have shape .* received \(2,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images, captions, rows, message):
    with pytest.raises(MiteError, match=message):
        matching_ranks(images, captions, rows)
    with pytest.raises(MiteError, match="single image"):
        matching_similarities([[1, 0]], [[1, 0]], [0])


def test_confusion_counts_by_hand_and_ties_are_wrong():
    images = [[1, 0], [0, 1], [1, 0]]  # the third looks like the first
    captions, caption_image = [[2, 1], [1, 2]], [0, 1]
    pairs = [(0, 1, "colour"), (1, 0, "colour"), (0, 2, "count")]
    found = near_miss_confusion(images, captions, caption_image, pairs)
    assert found == {"colour": Confusion(0, 2), "count": Confusion(1, 1)}
    assert found["count"].percent == 100
    assert near_miss_confusion(images, captions, caption_image, []) == {}


def test_random_embeddings_are_at_chance():
    random = np.random.default_rng(0)
    images, captions = random.normal(size=(2, 4000, 8))
    pairs = [(row, (row + 1) % 4000, "size") for row in range(4000)]
    found = near_miss_confusion(images, captions, np.arange(4000), pairs)["size"]
    assert found.percent == pytest.approx(50, abs=3 * 50 / np.sqrt(4000))
