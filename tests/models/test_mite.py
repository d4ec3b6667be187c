import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import (
    BidirectionalTriplet,
    EntropyMaximization,
    FlippedLabels,
    GradientReversal,
    InfoNCE,
    MaximumMeanDiscrepancy,
    SigLIP,
    Wasserstein,
)
from mite_tf.models import MITE

ADVERSARIAL = [
    FlippedLabels(r1_penalty=0.1),
    GradientReversal(),
    EntropyMaximization(),
    Wasserstein(seed=0),
    MaximumMeanDiscrepancy(),
]


def weights(model):
    return [np.array(variable) for variable in model.trainable_variables]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def step(model, batch, weight=0.0, **setting):
    model.adversarial_weight.assign(weight)
    if setting:  # each makes a new graph
        model.configure_step(**setting)
    return model.train_on_batch(batch, return_dict=True)


def encoder_weights_after(model, batch, weight, **setting):
    """Those after one step; the model itself stays as it was."""
    optimizers = (model.optimizer, model.discriminator_optimizer)
    variables = [*model.variables, *(v for each in optimizers for v in each.variables)]
    before = [np.array(variable) for variable in variables]
    step(model, batch, weight, **setting)
    after = {"image": weights(model.image_encoder), "text": weights(model.text_encoder)}
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return after


@pytest.fixture(scope="module")
def plain_weights(make_mite, make_batch):
    # The discriminator never moves here, so nothing of it may reach the encoders.
    return encoder_weights_after(make_mite(), make_batch(), 0.0, discriminator_steps=0)


@pytest.mark.parametrize("adversarial", ADVERSARIAL, ids=lambda loss: type(loss).__name__)
def test_adversarial_gradient_reaches_both_encoders_and_vanishes_to_the_bit_at_zero(
    make_mite, make_batch, plain_weights, adversarial
):
    model, batch = make_mite(adversarial=adversarial), make_batch()
    zero, adversary = (encoder_weights_after(model, batch, weight) for weight in (0.0, 0.5))
    for name, expected in plain_weights.items():
        assert equal(zero[name], expected)
        assert not equal(adversary[name], expected), name


def test_step_is_the_gradient_of_the_weighted_sum(make_mite, make_batch):
    """The two-part backward pass equals differentiating the sum in one go."""
    batch = make_batch(captions_per_image=2)
    model, reference = make_mite(), make_mite()
    for each in (model, reference):
        each.compile(keras.optimizers.SGD(1.0), adversarial_loss=FlippedLabels())
    step(model, batch, 0.3, discriminator_steps=0)

    with tf.GradientTape() as tape:
        images = reference.image_encoder(batch["features"])
        captions = reference.text_encoder(batch["token_ids"])
        rows = np.repeat(np.arange(6), 2)
        similarities = tf.matmul(tf.gather(images, rows), captions, transpose_b=True)
        loss = reference.matching_loss(batch["caption_image_id"], similarities)
        loss += 0.3 * reference.adversarial_loss.encoder_loss(
            reference.discriminator, images, captions
        )
    variables = reference.encoder_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(tf.convert_to_tensor(gradient))
    for ours, expected in zip(weights(model), weights(reference), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-5)


def test_the_adversary_judges_embeddings_without_dropout(make_mite, make_batch):
    batch = make_batch()
    model = make_mite(dropout=0.9)
    logits = [np.array(model.discriminator(each))[:, 0] for each in model(batch)]
    loss = np.mean(
        [np.log1p(np.exp(z)) - label * z for z, label in zip(logits, (0.1, 0.9), strict=True)]
    )
    model.optimizer.learning_rate = 0.0
    logs = step(model, batch, 0.5, discriminator_steps=0)
    assert logs["adversarial_loss"] == pytest.approx(loss, rel=1e-5)
    spared = step(model, batch, 0.5, discriminator_steps=0, is_adversarial=False)
    assert abs(spared["adversarial_loss"] - loss) > 1e-4


def with_unpaired(batch, pixels=False):
    random = np.random.default_rng(5)
    shape = (4, 32, 32, 3) if pixels else (4, batch["features"].shape[1])
    images = random.uniform(0, 1, shape).astype("float32")
    more = {"unpaired_token_ids": random.integers(1, 60, (9, 3)).astype("int32")}
    return batch | more | {f"unpaired_{'pixels' if pixels else 'features'}": images}


def test_what_is_unpaired_is_judged_and_never_matched(make_mite, make_batch, plain_weights):
    batch = with_unpaired(make_batch())
    model = make_mite(dropout=0.5)
    images = model.image_encoder(np.concatenate([batch["features"], batch["unpaired_features"]]))
    captions = [model.text_encoder(batch[f"{key}token_ids"]) for key in ("", "unpaired_")]
    expected = model.adversarial_loss.encoder_loss(
        model.discriminator, images, np.concatenate(captions)
    )
    model.optimizer.learning_rate = 0.0
    for logs in (
        step(model, batch, 0.5, discriminator_steps=0),
        model.test_on_batch(batch, return_dict=True),
    ):
        assert logs["adversarial_loss"] == pytest.approx(float(expected), rel=1e-5)
    model = make_mite()
    off = encoder_weights_after(model, batch, 0.0)
    for name, weights_ in plain_weights.items():
        assert equal(off[name], weights_)  # to the bit: no negatives, no other matching loss
    other = batch | {"unpaired_token_ids": batch["unpaired_token_ids"] % 7 + 1}
    on, also_on = (encoder_weights_after(model, each, 0.5) for each in (batch, other))
    for name in plain_weights:
        assert not equal(on[name], plain_weights[name])
        assert not equal(on[name], also_on[name])


def test_either_modality_alone_and_pixels_may_be_unpaired(make_mite, make_batch):
    batch = with_unpaired(make_batch(pixels=True), pixels=True)
    del batch["unpaired_token_ids"]
    model = make_mite(pixels=True, adversarial=MaximumMeanDiscrepancy())
    pixels = np.concatenate([batch["pixels"], batch["unpaired_pixels"]])
    images, captions = model.image_encoder(pixels), model.text_encoder(batch["token_ids"])
    expected = float(model.adversarial_loss.encoder_loss(None, images, captions))
    assert step(model, batch, 0.5)["adversarial_loss"] == pytest.approx(expected, rel=1e-4)


def test_stage_settings_decide_what_moves(make_mite, make_batch):
    model, batch = make_mite(pixels=True), make_batch(pixels=True)
    backbone = model.image_encoder.backbone
    parts = {
        "backbone": backbone, "head": model.image_encoder.head,
        "text": model.text_encoder, "discriminator": model.discriminator,
    }  # fmt: skip

    def moved(**setting):
        before = {name: weights(part) for name, part in parts.items()}
        step(model, batch, 0.1, **setting)
        return {name for name, part in parts.items() if not equal(before[name], weights(part))}

    assert moved(discriminator_steps=0) == {"head", "text"}
    assert moved(trains_encoders=False, discriminator_steps=2) == {"discriminator"}
    assert moved(discriminator_steps=1) == {"head", "text", "discriminator"}
    before = weights(backbone)
    assert moved(backbone_share=0.25, discriminator_steps=0) == {"backbone", "head", "text"}
    last = [not np.array_equal(x, y) for x, y in zip(before, weights(backbone), strict=True)]
    assert last == [False] * 18 + [True] * 6


def test_a_word_that_comes_twice_has_one_gradient(make_mite, make_batch):
    """Keras's Adam squares the parts of a sparse gradient one by one."""
    model, batch = make_mite(), make_batch()
    batch["token_ids"][:, :4] = 7
    model.optimizer.exclude_from_weight_decay(var_names=["words"])
    step(model, batch, 0.0)
    moments = {each.path: each.numpy() for each in model.optimizer.variables}
    kept = {p.rpartition("_")[2]: v for p, v in moments.items() if "embeddings" in p}
    gradient = kept["momentum"] / 0.1
    assert np.abs(gradient[7]).max() > 1e-4
    np.testing.assert_allclose(kept["velocity"] / 0.001, gradient**2, rtol=1e-3, atol=1e-9)


def test_without_an_adversary_its_loss_is_measured_alone(make_mite, make_batch):
    model, batch = make_mite(), make_batch()
    logs = step(model, batch, 0.5, discriminator_steps=0, is_adversarial=False)
    assert logs["adversarial_gradient_norm"] == 0.0
    assert logs["adversarial_loss"] > 0.0
    alone = make_mite()
    step(alone, batch, 0.0, discriminator_steps=0)
    assert equal(weights(model), weights(alone))


def test_order_of_images_and_captions_does_not_matter(make_mite, make_batch):
    batch = make_batch(captions_per_image=3)
    random = np.random.default_rng(1)
    images, captions = random.permutation(6), random.permutation(18)
    mixed = {
        "features": batch["features"][images],
        "image_id": batch["image_id"][images],
        "token_ids": np.pad(batch["token_ids"], ((0, 0), (0, 4)))[captions],
        "caption_image_id": batch["caption_image_id"][captions],
    }
    one, other = make_mite(), make_mite()
    logs, mixed_logs = step(one, batch, 0.2), step(other, mixed, 0.2)
    for name, value in logs.items():
        assert mixed_logs[name] == pytest.approx(value, abs=1e-5), name
    for a, b in zip(weights(one), weights(other), strict=True):
        # Adam divides by the gradient's size: where that is near zero, rounding shows.
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_same_seed_same_weights(make_mite, make_batch):
    def train():
        model = make_mite(dropout=0.3, input_dropout=0.2)
        for seed in range(3):
            step(model, make_batch(seed=seed), 0.2)
        return weights(model)

    assert equal(train(), train())


def test_metrics_against_numpy(make_mite, make_batch):
    model, batch = make_mite(), make_batch()
    images, captions = (np.array(x) for x in model(batch))
    logs = model.test_on_batch(batch, return_dict=True)
    scores = images @ captions.T
    own = np.diag(scores)
    off = ~np.eye(6, dtype=bool)
    rows = np.maximum(0, 0.2 - own[:, None] + scores) * off
    columns = np.maximum(0, 0.2 - own[None, :] + scores) * off
    assert logs["matching_loss"] == pytest.approx((rows.sum(1) + columns.sum(0)).mean(), rel=1e-5)
    active = np.concatenate([rows.max(1) > 0, columns.max(0) > 0])
    assert logs["active_hinges"] == pytest.approx(active.mean())
    logits = [np.array(model.discriminator(x))[:, 0] for x in (images, captions)]
    accuracy = ((logits[0] > 0).mean() + (logits[1] <= 0).mean()) / 2
    assert logs["discriminator_accuracy"] == pytest.approx(accuracy)


def test_discriminator_learns_when_encoders_rest(make_mite, make_batch):
    model, batch = make_mite(), make_batch(images=32)
    model.discriminator_optimizer.learning_rate = 0.05
    model.configure_step(trains_encoders=False, discriminator_steps=5)
    for _ in range(20):
        logs = model.train_on_batch(batch, return_dict=True)
    assert logs["discriminator_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("pixels", "matching", "adversarial"),
    [
        (True, BidirectionalTriplet(negatives="mix", hardest_share=0.25), FlippedLabels(0.1, 0.5)),
        (False, InfoNCE(), Wasserstein(seed=3)),
        (False, SigLIP(), MaximumMeanDiscrepancy()),
    ],
    ids=["triplet", "infonce", "siglip"],
)
def test_keras_file_round_trip_is_exact(
    tmp_path, make_mite, make_batch, pixels, matching, adversarial
):
    model = make_mite(pixels=pixels, matching=matching, adversarial=adversarial)
    batch = make_batch(pixels=pixels)
    step(model, batch, 0.2, backbone_share=float(pixels))
    model.save(tmp_path / "mite.keras")
    copy = keras.saving.load_model(tmp_path / "mite.keras")
    assert isinstance(copy, MITE)
    for ours, theirs in zip(model(batch), copy(batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.matching_loss.get_config() == model.matching_loss.get_config()
    assert copy.adversarial_loss.get_config() == model.adversarial_loss.get_config()
    for name in ("optimizer", "backbone_optimizer", "discriminator_optimizer"):
        assert equal(getattr(model, name).variables, getattr(copy, name).variables), name
    if not isinstance(adversarial, Wasserstein):  # its random points start over
        for each in (model, copy):
            step(each, batch, 0.2)
        assert equal(weights(model), weights(copy))


def test_changing_weight_and_rate_makes_no_new_graph(make_mite, make_batch):
    model, batch = make_mite(), make_batch()
    traces = []
    original = model.train_step
    model.train_step = lambda data: (traces.append(1), original(data))[1]
    model.make_train_function(force=True)
    for weight in (0.0, 0.1, 0.2):
        model.adversarial_weight.assign(weight)
        model.optimizer.learning_rate = 0.01 * (1 + weight)
        model.train_on_batch(batch)
    assert len(traces) == 1


def test_fit_on_a_dictionary_learns(make_mite, make_batch):
    model = make_mite()
    history = model.fit(make_batch(images=32), batch_size=32, epochs=15, verbose=0).history
    assert history["matching_loss"][-1] < 0.5 * history["matching_loss"][0]


def test_errors_name_the_rule(make_mite, make_batch):
    model = make_mite()
    with pytest.raises(ValueError, match="discriminator_steps=-1"):
        model.configure_step(discriminator_steps=-1)
    with pytest.raises(ValueError, match="backbone_share=2"):
        model.configure_step(backbone_share=2)
    with pytest.raises(ValueError, match="backbone trains only"):
        model.configure_step(backbone_share=0.5)
    with pytest.raises(ValueError, match="needs the key 'features'"):
        model.embed_images({"pixels": np.zeros((1, 32, 32, 3))})
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ValueError, match="mixed_bfloat16"):
            model.compile("adam")
    finally:
        keras.config.set_dtype_policy("float32")
