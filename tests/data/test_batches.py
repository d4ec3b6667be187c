import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mite_tf.data.batches import PairBatches


def batches(counts, **options):
    """Image i has counts[i] captions; caption c is the single token c + 1."""
    owner = np.repeat(np.arange(len(counts)), counts)
    ids = np.arange(len(owner), dtype=np.int32)[:, None] + 1
    features = np.arange(len(counts) * 2, dtype=np.float16).reshape(len(counts), 2, 1)
    return PairBatches(ids, owner, features=features, **options), owner


def as_numpy(dataset):
    return [{key: value.numpy() for key, value in batch.items()} for batch in dataset]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=30), st.integers(2, 9), st.integers(1, 3))
def test_a_batch_holds_distinct_images_each_with_its_own_captions(counts, size, per_image):
    pairs, owner = batches(counts, batch_size=size, captions_per_image=per_image)
    plan = pairs.plan(epoch=1)
    assert len(plan) == pairs.steps
    for images, captions, caption_image in plan:
        assert len(set(images)) == len(images)
        assert (owner[captions] == caption_image).all()
        assert set(caption_image) == set(images)
        for image in images:
            assert (caption_image == image).sum() == min(per_image, counts[image])


@pytest.mark.parametrize(("per_image", "steps"), [(1, 15), (5, 3)])
def test_an_epoch_takes_every_caption_once(per_image, steps):
    pairs, owner = batches([5] * 12, batch_size=4, captions_per_image=per_image)
    seen = np.concatenate([captions for _, captions, _ in pairs.plan(epoch=3)])
    assert sorted(seen) == list(range(len(owner)))
    assert pairs.steps == steps


def test_an_epoch_depends_on_seed_and_number_alone():
    def tokens(seed, epoch, **options):
        pairs, _ = batches([5] * 24, batch_size=4, seed=seed)  # 30 steps
        found = as_numpy(pairs.dataset(epoch, **options))
        return [(b["token_ids"].tolist(), b["features"].tolist()) for b in found]

    assert tokens(1, 4) == tokens(1, 4)
    assert tokens(1, 4) != tokens(1, 5)
    assert tokens(1, 4) != tokens(2, 4)
    assert tokens(1, 4, first_step=9) == tokens(1, 4)[9:]
    assert tokens(1, 4, first_step=30) == []


def test_without_an_epoch_each_iteration_is_the_next_one():
    pairs, _ = batches([5] * 12, batch_size=4)
    dataset = pairs.dataset()
    first, second = as_numpy(dataset), as_numpy(dataset)
    assert [b["image_id"].tolist() for b in first] == [i.tolist() for i, _, _ in pairs.plan(0)]
    assert [b["image_id"].tolist() for b in second] == [i.tolist() for i, _, _ in pairs.plan(1)]
    assert int(dataset.cardinality()) == len(first) == 15


def test_the_dataset_is_the_plan():
    pairs, _ = batches([5] * 12 + [1, 9], batch_size=3, captions_per_image=2)
    for batch, (images, captions, caption_image) in zip(
        as_numpy(pairs.dataset(2)), pairs.plan(2), strict=True
    ):
        assert batch["image_id"].tolist() == images.tolist()
        assert batch["token_ids"][:, 0].tolist() == (captions + 1).tolist()
        assert batch["caption_image_id"].tolist() == caption_image.tolist()


def test_no_more_features_are_in_memory_than_a_few_batches_take(monkeypatch):
    taken = []

    class Features(np.ndarray):
        def __getitem__(self, key):
            found = super().__getitem__(key)
            taken.append(found.nbytes)
            return found

    monkeypatch.setattr("mite_tf.data.batches._BYTES_AT_ONCE", 2 * 4 * 100)
    pairs, _ = batches([1] * 40, batch_size=4)
    pairs.features = np.zeros((40, 1, 100), np.uint8).view(Features)
    assert len(as_numpy(pairs.dataset(0))) == 10
    assert taken == [2 * 4 * 100] * 5


def test_features_are_a_view_of_the_right_image():
    pairs, _ = batches([2] * 30, batch_size=30)
    views = set()
    for epoch in range(3):
        for batch in as_numpy(pairs.dataset(epoch)):
            image, view = np.divmod(batch["features"][:, 0].astype(int), 2)
            assert (image == batch["image_id"]).all()
            views |= set(view)
    assert views == {0, 1}


def test_padding_is_trimmed_to_the_longest_caption_of_the_batch():
    ids = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]], np.int32)
    pairs = PairBatches(ids, np.arange(4), features=np.zeros((4, 1, 1)), batch_size=2, seed=0)
    for batch in as_numpy(pairs.dataset(0)):
        lengths = (ids[batch["caption_image_id"]] != 0).sum(1)
        assert batch["token_ids"].shape == (2, max(1, lengths.max()))
        np.testing.assert_array_equal(
            batch["token_ids"], ids[batch["caption_image_id"], : lengths.max()]
        )


def test_neither_features_nor_paths_is_an_error():
    with pytest.raises(ValueError, match="Give either"):
        PairBatches(np.zeros((1, 1)), np.zeros(1, int))


def unpaired_batches(**options):
    """Unpaired image u has the features -1 - 2u and -2 - 2u, caption t the token 1000 + t."""
    options = {
        "unpaired_features": -1.0 - np.arange(60.0).reshape(30, 2, 1),
        "unpaired_token_ids": (1000 + np.arange(25))[:, None] * [1, 0, 0],
    } | options
    return batches([5] * 12, batch_size=4, **options)[0]


def test_a_batch_has_as_many_unpaired_as_paired_each_once():
    plain, _ = batches([5] * 12, batch_size=4, captions_per_image=2)
    drawn = set()
    both = zip(
        as_numpy(plain.dataset(0)),
        as_numpy(unpaired_batches(captions_per_image=2).dataset(0)),
        strict=True,
    )
    for alone, batch in both:
        for key, value in alone.items():
            np.testing.assert_array_equal(batch[key], value)
        images, captions = batch["unpaired_features"][:, 0], batch["unpaired_token_ids"][:, 0]
        assert (images.dtype, captions.dtype) == (np.float32, np.int32)
        assert images.shape == (4,)
        assert batch["unpaired_token_ids"].shape == (8, 1)  # padding is trimmed
        rows = (-1 - images) // 2
        assert len(set(rows)) == 4
        assert len(set(captions)) == 8
        drawn |= set(rows)
    assert len(drawn) > 12
    few = unpaired_batches(unpaired_token_ids=np.full((1, 2), 3), unpaired_features=None)
    assert next(iter(few.dataset(0)))["unpaired_token_ids"].shape == (4, 2)


def test_what_is_unpaired_depends_on_seed_epoch_and_step_alone():
    def drawn(seed, epoch, **options):
        found = as_numpy(unpaired_batches(seed=seed).dataset(epoch, **options))
        return [(b["unpaired_token_ids"].tolist(), b["unpaired_features"].tolist()) for b in found]

    first = drawn(1, 4)
    assert drawn(1, 4) == first != drawn(1, 5)
    assert drawn(2, 4) != first
    assert drawn(1, 4, first_step=9) == first[9:]
    dataset = unpaired_batches().dataset()
    assert int(dataset.cardinality()) == 15
    second = [as_numpy(dataset), as_numpy(dataset)][1]
    assert [b["unpaired_token_ids"].tolist() for b in second] == [i for i, _ in drawn(0, 1)]


def test_unpaired_images_come_as_the_paired_ones_do():
    with pytest.raises(ValueError, match="as features, or as paths"):
        unpaired_batches(unpaired_paths=["a.png"])


def test_features_of_captions_come_with_their_captions():
    """Caption c has the feature 100 + c, the unpaired caption t, of token 1000 + t, 2000 + t."""
    pairs = unpaired_batches(
        text_features=100 + np.arange(60, dtype=np.float16)[:, None],
        unpaired_text_features=2000 + np.arange(25, dtype=np.float16)[:, None],
    )
    seen = set()
    for batch in as_numpy(pairs.dataset(0)):
        captions = batch["text_features"][:, 0] - 100
        np.testing.assert_array_equal(captions // 5, batch["caption_image_id"])
        np.testing.assert_array_equal(
            batch["unpaired_text_features"][:, 0], 1000 + batch["unpaired_token_ids"][:, 0]
        )
        assert batch["text_features"].dtype == batch["unpaired_text_features"].dtype == np.float32
        seen |= set(captions)
    assert seen == set(range(60))
