import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import (
    evaluate_embeddings,
    everything_gallery,
    grouping,
    mixed_gallery,
    recall,
    scorings,
)
from mite_tf.evaluation.galleries import images_in_ten, joint_ranks
from mite_tf.retrieval import HubCorrection


@pytest.fixture
def split():
    """Forty images with three captions each, in no order, some of them far from their image."""
    rng = np.random.default_rng(0)
    images, rows = rng.normal(size=(40, 8)), rng.permutation(np.repeat(np.arange(40), 3))
    return images, images[rows] + rng.normal(scale=1.5, size=(120, 8)) + 0.5, rows


@pytest.fixture
def bank(split):
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=0.2, size=(300, 8))
    return HubCorrection(
        split[0][rng.integers(40, size=300)] + noise, split[1][rng.integers(120, size=300)] + noise
    )


def apart(images=30):
    """A modality gap: a caption is nearer to every caption than to its image."""
    eye, rows = np.eye(images), np.repeat(np.arange(images), 2)
    images_too = np.hstack([eye, np.full((images, 1), 2.0), np.zeros((images, 1))])
    captions = np.hstack([eye, np.zeros((images, 1)), np.full((images, 1), 2.0)])[rows]
    return images_too, captions, rows


class TestMixedGallery:
    def test_a_gap_hides_images_from_captions_until_means_are_removed(self):
        images, captions, rows = apart()
        ways = scorings(HubCorrection(images, captions))
        found = mixed_gallery(ways["cosine"].of(images, captions, rows), draws=5)
        middle = found[0.5]
        assert middle["caption_to_caption_r1"] == 100
        assert middle["caption_to_image_r1"] == middle["image_to_caption_r1"] == 0
        assert -60 < middle["images_in_ten"] < -40  # none, and half of the gallery are images
        assert found[1.0]["caption_to_image_r1"] == found[0.0]["caption_to_caption_r1"] == 100
        moved = mixed_gallery(ways["means"].of(images, captions, rows), draws=5)[0.5]
        assert moved["caption_to_image_r1"] == moved["mean_r1"] == 100

    @pytest.mark.parametrize("name", ["cosine", "hubs", "reciprocal_rank"])
    def test_ranks_are_those_of_galleries_built_one_by_one(self, split, bank, name, monkeypatch):
        """The slots and queries of one draw are looked at where they are drawn."""
        import mite_tf.evaluation.mixed as module

        drawn, coins = [], []
        original = module._two_captions

        class Coins:
            def __init__(self, seed):
                self.of = np.random.Generator(np.random.PCG64(seed))

            def permutation(self, n):
                return np.arange(n)

            def random(self, n):
                coins.append(self.of.random(n))
                return coins[-1]

        def two(*given):
            drawn.append(original(*given))
            return drawn[-1]

        monkeypatch.setattr(module, "_two_captions", two)
        monkeypatch.setattr(np.random, "default_rng", Coins)
        found = mixed_gallery(scorings(bank)[name].of(*split), shares=(0.4,), draws=1)[0.4]
        monkeypatch.undo()

        images, captions, rows = split
        by_image = np.argsort(rows, kind="stable")
        shown, asking = (by_image[each] for each in drawn[0])
        assert (rows[shown] == np.arange(40)).all()
        assert (rows[asking] == np.arange(40)).all()
        assert (shown != asking).all()
        is_image = coins[-1] < 0.4
        gallery = np.where(is_image[:, None], images, captions[shown])
        hits = {"caption_to_image": [], "caption_to_caption": [], "image_to_caption": []}
        for query, kind in ((captions[asking], "caption"), (images, "image")):
            scores = scorings(bank)[name].scores(query, [kind == "image"] * 40, gallery, is_image)
            for row in range(40):
                slot = "image" if is_image[row] else "caption"
                if kind == "caption" or slot == "caption":
                    others = np.delete(scores[row], row)
                    hits[f"{kind}_to_{slot}"].append((others < scores[row, row]).all())
        for kind, right in hits.items():
            assert found[f"{kind}_r1"] == pytest.approx(100 * np.mean(right)), kind
        assert 0 < found["mean_r1"] < 100

    def test_draws_are_the_same_again_and_nested(self, split):
        scored = scorings()["cosine"].of(*split)
        assert mixed_gallery(scored, draws=2) == mixed_gallery(scored, draws=2)
        some = mixed_gallery(scored, draws=2, shares=(0.5,))
        assert some[0.5] == mixed_gallery(scored, draws=2)[0.5]

    def test_images_with_one_caption_or_none_are_shown_and_told_if_all_are(self, split):
        images, captions, rows = split
        few = np.isin(rows, np.arange(30)) | (np.arange(120) == np.flatnonzero(rows == 35)[0])
        found = mixed_gallery(scorings()["cosine"].of(images, captions[few], rows[few]), draws=3)
        assert found[0.0]["images_in_ten"] != 0  # nine images are always there
        with pytest.raises(MiteError, match="two images with two captions each"):
            mixed_gallery(scorings()["cosine"].of(images, images, np.arange(40)))


@pytest.mark.parametrize("name", ["cosine", "z_scores", "reciprocal_rank"])
def test_everything_is_what_a_loop_finds(split, bank, name):
    images, captions, rows = split
    way = scorings(bank)[name]
    found = everything_gallery(way.of(*split))
    ranks, shares = [], []
    for caption, row in zip(np.random.default_rng(0).permutation(120), range(120), strict=True):
        others = np.delete(np.arange(120), caption)
        siblings = others[rows[others] == rows[caption]]
        for left, kept in ((shares, others), (ranks, np.setdiff1d(others, siblings))):
            items = np.concatenate([images, captions[kept]])
            is_image = np.arange(len(items)) < 40
            # Of equal ranks in two lists, the image leads for every second query.
            twice = [captions[caption]] * 2
            scores = way.scores(twice, [False] * 2, items, is_image)[row % 2]
            if left is shares:
                left.append(is_image[np.argsort(-scores, kind="stable")[:10]].mean())
            else:
                left.append(1 + (np.delete(scores, rows[caption]) >= scores[rows[caption]]).sum())
    assert found["caption_to_image_r1"] == pytest.approx(100 * np.mean(np.array(ranks) == 1))
    assert found["caption_to_image_r10"] == pytest.approx(100 * np.mean(np.array(ranks) <= 10))
    assert found["images_in_ten"] == pytest.approx(100 * np.mean(shares))
    assert found["fair"] == pytest.approx(100 * 40 / 159)


def test_recall_is_that_of_an_evaluation_with_hubs_corrected_or_not(split, bank):
    evaluation = evaluate_embeddings(*split, probe=False, hubs=bank)
    ways = scorings(bank)
    assert recall(ways["cosine"].of(*split))["rsum"] == pytest.approx(evaluation.rsum)
    assert recall(ways["hubs"].of(*split))["rsum"] == pytest.approx(evaluation.corrected.rsum)


class TestScorings:
    def test_z_scores_of_the_bank_have_mean_0_and_spread_1(self, split, bank):
        way = scorings(bank)["z_scores"]
        for modality, items in ((True, bank.images), (False, bank.captions)):
            scores = way.scores(split[0], [True] * 40, items, [modality] * 300)
            np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-2)
            np.testing.assert_allclose(scores.std(axis=1), 1, atol=1e-2)

    def test_hubs_are_corrected_by_the_modality_of_query_and_item(self, split, bank):
        images, captions, _ = (
            each / np.linalg.norm(each, axis=-1, keepdims=True) for each in split
        )
        items, is_image = np.concatenate([images, captions]), np.arange(160) < 40
        for kind in ("image", "caption"):
            queries = images if kind == "image" else captions
            asks = [kind == "image"] * len(queries)
            scores = scorings(bank)["hubs"].scores(queries, asks, items, is_image)
            bias = bank.bias(items, queries=kind)
            np.testing.assert_allclose(scores, queries @ items.T - bias, atol=1e-5)

    def test_moved_modalities_have_the_same_mean_spread_and_covariance(self):
        rng = np.random.default_rng(0)
        mixing = rng.normal(size=(2, 4, 4)) / 40
        rows = rng.normal(size=(2, 4000, 4)) @ mixing + [[[1, 0, 0, 0]], [[0.8, 0.6, 0, 0]]]
        bank = HubCorrection(*rows)
        distance = {}
        for name in ("cosine", "means", "variances", "covariances"):
            vectors = scorings(bank)[name].vectors
            both = vectors(bank.images, "image").items, vectors(bank.captions, "caption").items
            covariances = [np.cov(each.T) for each in both]
            means = np.linalg.norm(np.subtract(*[each.mean(axis=0) for each in both]))
            spreads = np.linalg.norm(np.subtract(*[each.std(axis=0) for each in both]))
            off = np.linalg.norm(np.subtract(*covariances)) / np.linalg.norm(covariances[0])
            distance[name] = means, spreads, off
        assert distance["means"][0] < distance["cosine"][0] / 5
        assert distance["variances"][1] < distance["means"][1] / 2
        assert distance["covariances"][2] < distance["variances"][2] / 4


@pytest.mark.parametrize("sizes", [(3, 30), (30, 3), (20, 20), (4, 3)])
def test_two_lists_are_joined_in_closed_form_as_rank_by_rank(sizes):
    rng = np.random.default_rng(sum(sizes))
    queries, items = rng.normal(size=(50, 6)), rng.normal(size=(sum(sizes), 6))
    is_image = np.arange(len(items)) < sizes[0]
    cosine, joined = (
        scorings()[name].scores(queries, [True] * 50, items, is_image)
        for name in ("cosine", "reciprocal_rank")
    )
    right = rng.integers(len(items), size=50)
    own = cosine[np.arange(50), right]
    above = cosine >= own[:, None]
    ranks = joint_ranks(
        above[:, is_image].sum(axis=1), above[:, ~is_image].sum(axis=1), is_image[right], *sizes,
        joined=True,
    )  # fmt: skip
    expected = (joined >= joined[np.arange(50), right][:, None]).sum(axis=1)
    np.testing.assert_array_equal(ranks, expected)
    ten = min(10, len(items))
    first = np.argsort(-joined, axis=1)[:, :ten]
    shares = images_in_ten(cosine, is_image, joined=True)
    np.testing.assert_allclose(shares, 100 * is_image[first].mean(axis=1), rtol=1e-6)


def test_one_threshold_is_not_enough_for_duplicates_where_modalities_lie_apart():
    found = grouping(*apart(20), groups=2)
    assert found["duplicates_f1_apart"] == pytest.approx(100)
    assert found["duplicates_f1"] < 80
    assert found["modality"] == pytest.approx(100)
    assert found["together"] == 0
