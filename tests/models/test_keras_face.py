"""What a Keras user tries first."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import BidirectionalTriplet, InfoNCE
from mite_tf.models import MITE, ImageEncoder, image_head
from mite_tf.training import Stage, StageSchedule

RATES = ("optimizer", "backbone_optimizer", "discriminator_optimizer")


def rates(model):
    return np.array([float(getattr(model, name).learning_rate) for name in RATES])


def fit(model, batch, **more):
    return model.fit(batch, batch_size=6, verbose=0, **more).history


def test_loss_is_what_is_minimised_and_in_the_logs_of_both_splits(make_mite, make_batch):
    model, batch = make_mite(matching=InfoNCE()), make_batch()
    model.adversarial_weight.assign(0.5)
    stops = keras.callbacks.EarlyStopping(min_delta=1e9)
    history = fit(model, batch, validation_data=(batch,), epochs=3, callbacks=stops)
    assert len(history["val_loss"]) == 2  # nothing falls by so much
    for prefix in ("", "val_"):
        total = history[f"{prefix}matching_loss"][0] + 0.5 * history[f"{prefix}adversarial_loss"][0]
        assert history[f"{prefix}loss"][0] == pytest.approx(total, rel=1e-5)


def test_evaluate_reports_only_what_it_measures(make_mite, make_batch):
    measured = make_mite().evaluate(make_batch(), verbose=0, return_dict=True)
    assert not {"discriminator_loss", "matching_gradient_norm"} & set(measured)
    assert "discriminator_accuracy" in measured
    model = make_mite()
    model.configure_step(discriminator_steps=0)
    assert "discriminator_loss" not in fit(model, make_batch())


class TestArguments:
    @pytest.mark.parametrize("name", ["metrics", "weighted_metrics", "loss_weights"])
    def test_compile_refuses_what_it_has_no_use_for(self, make_mite, name):
        with pytest.raises(ValueError, match=rf"{name}=\['accuracy'\]"):
            make_mite().compile("adam", **{name: ["accuracy"]})

    def test_loss_is_a_matching_loss_or_its_name(self, make_mite):
        model = make_mite()
        model.compile("adam", loss="infonce")
        assert isinstance(model.matching_loss, InfoNCE)
        assert model.loss is model.matching_loss
        for wrong in (keras.losses.MeanSquaredError(), "mse"):
            with pytest.raises(ValueError, match="triplet"):
                model.compile("adam", loss=wrong)

    def test_sample_weight_weighs_captions_in_the_matching_loss(self, make_mite, make_batch):
        model, batch = make_mite(), make_batch()
        images, captions = (np.array(each) for each in model(batch))
        scores = images @ captions.T
        own, off = np.diag(scores), ~np.eye(6, dtype=bool)
        hinges = [np.maximum(0, 0.2 - own[:, None] + each) * off for each in (scores, scores.T)]
        weights = np.array([0, 0, 3.0, 1, 0, 0], np.float32)
        expected = (sum(hinges).sum(axis=1) * weights).mean()
        model.optimizer.learning_rate = 0.0
        history = fit(model, batch, sample_weight=weights, shuffle=False)
        assert history["matching_loss"][0] == pytest.approx(expected, rel=1e-5)

    def test_classes_and_targets_are_refused(self, make_mite, make_batch):
        model, batch = make_mite(), make_batch()
        with pytest.raises(ValueError, match="no `class_weight`"):
            fit(model, batch, class_weight={0: 1.0})
        with pytest.raises(ValueError, match="no targets `y`"):
            fit(model, batch, y=np.zeros(6))


class TestLearningRates:
    def test_stock_callbacks_change_all_three_by_the_same_factor(self, make_mite, make_batch):
        model = make_mite()
        before = rates(model)
        halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        fit(model, make_batch(), epochs=2, callbacks=[halve])
        np.testing.assert_allclose(rates(model), before / 4, rtol=1e-6)
        tenth = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1e9)
        fit(model, make_batch(), epochs=3, callbacks=[tenth])  # one epoch sets the mark
        np.testing.assert_allclose(rates(model)[1:], before[1:] / 40, rtol=1e-6)

    def test_a_schedule_keeps_the_factor(self, make_mite, make_batch):
        model = make_mite()
        stages = [Stage(name="a", epochs=2, decay="constant", learning_rate=0.1)]
        stages += [Stage(name="b", epochs=1, decay="constant", learning_rate=0.2)]
        halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / (1 + epoch % 2))
        schedule = StageSchedule(stages)
        fit(model, make_batch(), epochs=3, callbacks=[schedule, halve])
        np.testing.assert_allclose(rates(model), [0.1, 0.01, 0.5e-4], rtol=1e-6)
        again = StageSchedule(stages)
        again.restore(schedule.state())
        assert again.callback_factor == pytest.approx(0.5)


def test_what_a_step_does_survives_a_file(tmp_path, make_mite):
    model = make_mite(pixels=True)
    step = {
        "trains_encoders": True, "is_adversarial": False, "backbone_share": 0.5,
        "discriminator_steps": 3,
    }  # fmt: skip
    model.configure_step(**step)
    model.save(tmp_path / "mite.keras")
    copy = keras.saving.load_model(tmp_path / "mite.keras")
    assert {name: getattr(copy, name) for name in step} == step


def test_backbone_and_head_may_have_any_name(tmp_path):
    pixels = keras.Input((8, 8, 3))
    backbone = keras.Model(pixels, keras.layers.Flatten()(pixels), name="my_resnet")
    encoder = ImageEncoder(backbone, image_head((192,), embedding_size=4, name="my_head"))
    encoder.save(tmp_path / "encoder.keras")
    copy = keras.saving.load_model(tmp_path / "encoder.keras")
    assert (copy.backbone.name, copy.head.name) == ("my_resnet", "my_head")
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(copy(images), encoder(images))
    with pytest.raises(ValueError, match="other features"):
        ImageEncoder(backbone, image_head((7,)))


@pytest.mark.parametrize("eagerly", [True, False])
def test_a_caption_without_its_image_is_an_error_that_names_it(make_mite, make_batch, eagerly):
    model, batch = make_mite(), make_batch()
    batch["caption_image_id"] = np.array([0, 10, 4711, 30, 40, 4712])
    model.compile("adam", run_eagerly=eagerly)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"not in `image_id`[\s\S]*4711,? 4712"
    ):
        fit(model, batch, shuffle=False)


def test_files_open_in_a_fresh_process_that_only_imports_the_package(
    tmp_path, make_mite, run_python
):
    model = make_mite(matching=BidirectionalTriplet(negatives="soft"))
    model.save(tmp_path / "mite.keras")
    model.image_encoder.save(tmp_path / "image.keras")
    model.text_encoder.save(tmp_path / "text.keras")
    script = (
        "import sys, mite_tf\n"
        "assert 'keras' not in sys.modules\n"
        "import keras\n"
        "models = [keras.saving.load_model(path) for path in sys.argv[1:]]\n"
        "print([type(each).__module__ + '.' + type(each).__name__ for each in models])\n"
        "import mite_tf.models, mite_tf.losses\n"
        "assert isinstance(models[2], mite_tf.MITE)\n"
    )
    done = run_python(script, *(tmp_path / f"{name}.keras" for name in ("text", "image", "mite")))
    assert done.returncode == 0, done.stderr
    assert "mite_tf.models.image_encoder.ImageEncoder', 'mite_tf.models.mite.MITE" in done.stdout


def test_every_serialisable_class_has_a_stand_in():
    from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS

    from mite_tf.registration import _HOMES

    known = {f"mite_tf>{name}" for names in _HOMES.values() for name in names}
    assert {name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("mite_tf>")} == known
    assert MITE is GLOBAL_CUSTOM_OBJECTS["mite_tf>MITE"]
