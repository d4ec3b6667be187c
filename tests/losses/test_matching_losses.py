"""What holds for every matching loss, checked against loops over the pairs."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mite_tf.losses import BidirectionalTriplet, InfoNCE, SigLIP

MARGIN, TEMPERATURE, SHARE = 0.3, 0.5, 0.25
LOSSES = {
    "sum": lambda: BidirectionalTriplet(MARGIN, "sum", reduction=None),
    "hardest": lambda: BidirectionalTriplet(MARGIN, "hardest", reduction=None),
    "semi-hard": lambda: BidirectionalTriplet(MARGIN, "semi-hard", reduction=None),
    "mix": lambda: BidirectionalTriplet(MARGIN, "mix", SHARE, reduction=None),
    "infonce": lambda: InfoNCE(TEMPERATURE, reduction=None),
    "siglip": lambda: SigLIP(TEMPERATURE, bias=-1.5, reduction=None),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@st.composite
def batches(draw, max_size=5):
    """Image ids, some repeated and too large for float32, and similarities exact in float16."""
    size = draw(st.integers(1, max_size))
    ids = draw(arrays(np.int64, size, elements=st.integers(2**40, 2**40 + 3)))
    numbers = st.floats(-1, 1, width=16)
    return ids, draw(arrays(np.float32, (size, size), elements=numbers))


def hinge(pair, negative):
    return max(0.0, MARGIN - pair + negative)


def one_way(name, pair, negatives):
    """The loss of one anchor: its pair's similarity and those of its negatives."""
    if name == "infonce":
        exponentials = [math.exp(s / TEMPERATURE) for s in (pair, *negatives)]
        return (math.log(sum(exponentials)) - pair / TEMPERATURE) / 2
    if name == "siglip":
        logits = [-(pair / TEMPERATURE - 1.5), *(s / TEMPERATURE - 1.5 for s in negatives)]
        return sum(math.log1p(math.exp(logit)) for logit in logits) / 2
    if not negatives:
        return 0.0
    every = sum(hinge(pair, s) for s in negatives)
    hardest = hinge(pair, max(negatives))
    below = [s for s in negatives if s < pair]
    semi_hard = hinge(pair, max(below) if below else min(negatives))
    mix = (1 - SHARE) * every + SHARE * hardest
    return {"sum": every, "hardest": hardest, "semi-hard": semi_hard, "mix": mix}[name]


def oracle(name, ids, similarities):
    losses = []
    for n in range(len(ids)):
        others = [m for m in range(len(ids)) if ids[m] != ids[n]]
        pair = float(similarities[n, n])
        row = one_way(name, pair, [float(similarities[n, m]) for m in others])
        column = one_way(name, pair, [float(similarities[m, n]) for m in others])
        losses.append(row + column)
    return losses


def gradient(loss, ids, similarities):
    similarities = tf.constant(similarities)
    with tf.GradientTape() as tape:
        tape.watch(similarities)
        values = loss(ids, similarities)
    return tape.gradient(values, similarities).numpy()


@every_loss
@settings(max_examples=30, deadline=None)
@given(batch=batches())
def test_agrees_with_loops_over_the_pairs(name, batch):
    ids, similarities = batch
    np.testing.assert_allclose(
        LOSSES[name]()(ids, similarities), oracle(name, ids, similarities), rtol=1e-5, atol=1e-5
    )


@every_loss
@settings(max_examples=15, deadline=None)
@given(batch=batches())
def test_other_captions_of_an_image_have_no_influence(name, batch):
    ids, similarities = batch
    masked = (ids[:, None] == ids[None, :]) & ~np.eye(len(ids), dtype=bool)
    loss = LOSSES[name]()

    gradients = gradient(loss, ids, similarities)
    assert np.isfinite(gradients).all()
    np.testing.assert_array_equal(gradients[masked], 0.0)

    changed = np.where(masked, 50.0, similarities).astype("float32")
    np.testing.assert_array_equal(loss(ids, changed), loss(ids, similarities))


@every_loss
def test_gradient_pulls_pairs_together_and_pushes_negatives_apart(name):
    ids = np.array([1, 2, 3])
    similarities = np.array([[0.5, 0.4, 0.3], [0.45, 0.5, 0.1], [0.2, 0.35, 0.4]], "float32")
    gradients = gradient(LOSSES[name](), ids, similarities)
    assert (np.diagonal(gradients) < 0).all()
    assert (gradients[~np.eye(3, dtype=bool)] >= 0).all()
    assert gradients[0, 1] > 0


@every_loss
@pytest.mark.parametrize("captions", [1, 3])
def test_a_batch_of_one_image_has_nothing_to_push_away(name, captions):
    ids = np.full(captions, 7)
    similarities = np.full((captions, captions), 0.3, "float32")
    loss = LOSSES[name]()
    gradients = gradient(loss, ids, similarities)
    if name == "siglip":  # The pairs themselves still count.
        assert np.isfinite(loss(ids, similarities)).all()
        assert (np.diagonal(gradients) < 0).all()
    else:
        np.testing.assert_allclose(loss(ids, similarities), 0.0, atol=1e-7)
        np.testing.assert_allclose(gradients, 0.0, atol=1e-7)


@every_loss
def test_half_precision_is_computed_in_float32(name):
    rng = np.random.default_rng(0)
    ids = np.arange(64)
    similarities = rng.uniform(-1, 1, (64, 64)).astype("float16")
    loss = LOSSES[name]()
    for dtype in ("float16", "bfloat16", "float64"):
        cast = tf.cast(similarities, dtype)
        exact = loss(ids, tf.cast(cast, "float32"))
        assert loss(ids, cast).dtype == "float32"
        np.testing.assert_array_equal(loss(ids, cast), exact)


@every_loss
def test_works_on_batches_of_unknown_size_without_retracing(name):
    loss, traces = LOSSES[name](), []

    @tf.function(
        input_signature=[tf.TensorSpec([None], "int64"), tf.TensorSpec([None, None], "float32")]
    )
    def step(ids, similarities):
        traces.append(1)
        return loss(ids, similarities), tf.gradients(loss(ids, similarities), similarities)[0]

    rng = np.random.default_rng(0)
    for size in (1, 2, 5):
        ids, similarities = np.arange(size) // 2, rng.uniform(-1, 1, (size, size)).astype("float32")
        values, gradients = step(ids, similarities)
        np.testing.assert_allclose(values, oracle(name, ids, similarities), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradients, gradient(loss, ids, similarities), atol=1e-6)
    assert len(traces) == 1


@every_loss
def test_survives_serialisation(name):
    loss = LOSSES[name]()
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()


@every_loss
def test_mean_and_sample_weights_are_those_of_keras(name):
    ids = np.array([1, 2, 2])
    similarities = np.array([[0.1, 0.4, 0.3], [0.5, 0.2, 0.1], [0.2, 0.3, 0.4]], "float32")
    per_pair = LOSSES[name]()(ids, similarities).numpy()
    mean = type(LOSSES[name]()).from_config({**LOSSES[name]().get_config(), "reduction": "mean"})
    assert float(mean(ids, similarities)) == pytest.approx(per_pair.mean(), rel=1e-5)
    weighted = mean(ids, similarities, sample_weight=np.array([0.0, 3.0, 0.0]))
    assert float(weighted) == pytest.approx(per_pair[1], rel=1e-5)


def test_large_ids_stay_apart_in_a_compiled_model():
    # 2**24 and 2**24 + 1 are one number in float32, to which Keras casts y_true: the two images
    # would pass for one, and the loss would be 0.
    class Similarities(keras.Model):
        def call(self, embeddings):
            return keras.ops.matmul(embeddings, keras.ops.transpose(embeddings))

    model = Similarities()
    model.compile(loss=BidirectionalTriplet(margin=0.25))
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0]], "float32")
    ids = np.array([2**24, 2**24 + 1])
    # Everything is equally similar: each of two directions costs the margin.
    assert model.evaluate(embeddings, ids, verbose=0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("ids", "similarities"),
    [([1, 2], (2, 3)), ([1, 2, 3], (2, 2)), ([[1], [2]], (2, 2)), ([1, 2], (2,))],
)
def test_shapes_that_do_not_fit_are_named(ids, similarities):
    with pytest.raises(ValueError, match=r"\[N, N\].*y_true\.shape=.*y_pred\.shape="):
        InfoNCE()(np.array(ids), np.zeros(similarities, "float32"))


def test_ids_that_are_not_integers_are_refused():
    with pytest.raises(ValueError, match=r"y_true\.dtype=float32"):
        InfoNCE()(np.array([1.0, 2.0], "float32"), np.zeros((2, 2), "float32"))


def test_infonce_equals_the_cross_entropies_computed_by_hand():
    # exp(s) = [[3, 1], [1, 1]]: row 0 and column 0 give log(4 / 3), row 1 and column 1 log 2.
    similarities = np.log(np.array([[3.0, 1.0], [1.0, 1.0]], "float32"))
    losses = InfoNCE(temperature=1.0, reduction=None)(np.array([5, 6]), similarities)
    np.testing.assert_allclose(losses, [np.log(4 / 3), np.log(2)], rtol=1e-6)


def test_siglip_in_the_mean_is_the_loss_of_the_paper():
    similarities = np.random.default_rng(0).uniform(-1, 1, (6, 6)).astype("float32")
    signs = 2.0 * np.eye(6) - 1.0
    expected = np.log1p(np.exp(-signs * (10.0 * similarities - 10.0))).sum() / 6
    np.testing.assert_allclose(SigLIP()(np.arange(6), similarities), expected, rtol=1e-5)


def test_siglip_stays_finite_at_extreme_logits():
    similarities = np.array([[-1.0, 1.0], [1.0, -1.0]], "float32")
    # Temperature 1e-4: logits of ten thousand in size, each wrong.
    value = SigLIP(temperature=1e-4, bias=0.0)(np.array([5, 6]), similarities)
    np.testing.assert_allclose(value, 2e4, rtol=1e-6)
