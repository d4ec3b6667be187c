"""The trainable model: two encoders, a discriminator, and the step that alternates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mite_tf.losses import AdversarialLoss, FlippedLabels, MatchingLoss
from mite_tf.models.arguments import (
    batch_with_weights,
    check_step,
    matching_loss_of,
    nested_sizes_below,
    refuse_compile_arguments,
    unpack,
)
from mite_tf.models.fused_adamw import FusedAdamW
from mite_tf.models.image_encoder import ImageEncoder
from mite_tf.models.learning_rates import apply_gradients, upper, with_shared_learning_rate
from mite_tf.models.objectives import embed_texts, match, play, with_unpaired
from mite_tf.models.word_average import set_packed


@keras.saving.register_keras_serializable(package="mite_tf")
class MITE(keras.Model):
    """Modality-invariant image-text embedding.

    A batch is a dictionary; images and captions find each other by id, so their order is free
    and an image may bring several captions:

    | key | dtype, shape | |
    | --- | --- | --- |
    | `pixels` or `features` | float32 `[I, H, W, 3]` in 0-255, or what the head takes | images |
    | `image_id` | int64 `[I]` | one id per image of the batch |
    | `token_ids`, with `text_features` | int32 `[N, L]`, padded with 0; float32 `[N, F]` | texts |
    | `caption_image_id` | int64 `[N]` | the image that each caption belongs to |
    | `sample_weight` | float32 `[N]`, if at all | weights in the matching loss |
    | `unpaired_features` or `unpaired_pixels` | as above `[U, ...]`, if at all | more images, for |
    | `unpaired_token_ids`, with `unpaired_text_features` | as above | the adversary; texts too |

    `train_step` updates the discriminator `discriminator_steps` times, then takes the gradient of
    `matching loss + adversarial_weight * adversarial loss`, judged by the updated discriminator,
    with respect to the embeddings, and sends it back through the encoders. With the weight at 0
    the gradient is that of the matching loss to the bit.

    The logs have that sum, with regularisers, as `loss`, the matching loss as `matching_loss`, and
    further measures of the game, each where it was measured; in validation as `val_loss` and so on.

    The matching loss sees embeddings under dropout, the adversary those without it: its noise is
    larger than most of what tells the modalities apart. Head and text encoder run twice for that,
    the backbone once and in inference mode, so that its batch-normalisation statistics stay.

    Args:
        image_encoder: Image encoder.
        text_encoder: Functional model from token ids `[N, L]` to embeddings `[N, D]`.
        discriminator: Model from embeddings `[N, D]` to logits `[N, 1]`, positive for images.

    Reference:
        Liu et al., Modality-Invariant Image-Text Embedding for Image-Sentence Matching, ACM
        TOMM 15(1):27, 2019, doi:10.1145/3300939.

    Example:
        >>> import numpy as np
        >>> from mite_tf.models import bag_of_words_encoder, image_head, modality_discriminator
        >>> model = MITE(
        ...     ImageEncoder(None, image_head((8,), embedding_size=16)),
        ...     bag_of_words_encoder(50, embedding_size=16),
        ...     modality_discriminator(16),
        ... )
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> ids = np.arange(4)
        >>> batch = {
        ...     "features": np.random.rand(4, 8).astype("float32"), "image_id": ids,
        ...     "token_ids": np.random.randint(1, 50, (4, 6)), "caption_image_id": ids,
        ... }
        >>> history = model.fit(batch, batch_size=4, epochs=2, verbose=0)
        >>> sorted(history.history)[:3]
        ['active_hinges', 'adversarial_gradient_norm', 'adversarial_loss']
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        text_encoder: keras.Model,
        discriminator: keras.Model,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.discriminator = discriminator
        self.adversarial_weight = self.add_weight(
            name="adversarial_weight", initializer="zeros", trainable=False
        )
        self.trains_encoders = True
        self.is_adversarial = True
        self.backbone_share = self.text_backbone_share = 0.0
        self.discriminator_steps = 1
        self.built = True

    def compile(
        self,
        optimizer: Any = None,
        loss: MatchingLoss | str | None = None,
        *,
        adversarial_loss: AdversarialLoss | None = None,
        discriminator_optimizer: Any = None,
        backbone_optimizer: Any = None,
        text_backbone_optimizer: Any = None,
        nested_sizes: Sequence[int] = (),
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Configures both objectives and builds all optimizers, so that checkpoints hold them.

        Args:
            optimizer: Keras optimizer of the head and the text encoder; `FusedAdamW` by default.
            loss: Matching loss, or its name in `mite_tf.losses.matching_loss`;
                `BidirectionalTriplet()` by default.
            adversarial_loss: `AdversarialLoss`; `FlippedLabels()` by default.
            discriminator_optimizer: By default Adam 1e-4 with beta_1 0.5, as since DCGAN.
            backbone_optimizer: That of the backbone; a copy of `optimizer` by default.
            text_backbone_optimizer: Likewise, where the text encoder has one that may be trained.
            nested_sizes: How many of the first values of an embedding are to be one as well, as in
                Matryoshka representation learning, see `match`.
            jit_compile: Whether XLA compiles the step: up to twelve times slower on a CPU, and
                without the check that a caption's image is there.
            **kwargs: `run_eagerly`, `steps_per_execution` and `auto_scale_loss` of
                `keras.Model.compile`.

        Raises:
            ValueError: If `loss` is not a matching loss, a size is not below D, `metrics`,
                `weighted_metrics` or `loss_weights` are given, or the policy is `mixed_float16`:
                use `mixed_bfloat16`.
        """
        refuse_compile_arguments(kwargs)
        loss = matching_loss_of(loss)
        self.nested_sizes = nested_sizes_below(self.text_encoder.output_shape[-1], nested_sizes)
        super().compile(optimizer=optimizer or FusedAdamW(), jit_compile=jit_compile, **kwargs)
        self.loss = self.matching_loss = loss
        self.adversarial_loss = adversarial_loss or FlippedLabels()
        self.discriminator_optimizer = keras.optimizers.get(
            discriminator_optimizer or FusedAdamW(1e-4, weight_decay=0.0, beta_1=0.5)
        )
        copy = self.optimizer.get_config()
        self.backbone_optimizer, self.text_backbone_optimizer = (
            keras.optimizers.get(each or type(self.optimizer).from_config(copy))
            for each in (backbone_optimizer, text_backbone_optimizer)
        )
        set_packed(self.text_encoder, not jit_compile)
        self.optimizer.build(self.encoder_variables)
        self.backbone_optimizer.build(self.backbone_variables)
        self.text_backbone_optimizer.build(self.text_backbone_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self._means = {name: keras.metrics.Mean(name) for name in _METRICS}

    def fit(self, x: Any = None, y: None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; arguments and result are those of `keras.Model.fit`.

        `sample_weight`, `[N]`, weighs the captions in the matching loss. A callback that changes
        the learning rate of the encoders changes all three alike, see `SharedLearningRate`.

        Raises:
            ValueError: If there are targets or class weights.
        """
        x = batch_with_weights(x, y, kwargs)
        callbacks = with_shared_learning_rate(kwargs.pop("callbacks", None))
        return super().fit(x, None, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x: Any = None, y: None = None, *args: Any, **kwargs: Any) -> Any:
        """Measures the losses; arguments and result are those of `keras.Model.evaluate`."""
        return super().evaluate(batch_with_weights(x, y, kwargs), None, *args, **kwargs)

    def configure_step(
        self,
        *,
        trains_encoders: bool = True,
        is_adversarial: bool = True,
        backbone_share: float = 0.0,
        text_backbone_share: float = 0.0,
        discriminator_steps: int = 1,
    ) -> None:
        """Sets what a training step updates; takes effect with a new graph at the next step.

        Args:
            trains_encoders: Whether head and text encoder are updated.
            is_adversarial: Whether the encoders learn from the adversary, which sees embeddings
                without dropout. False saves that second pass and its gradient.
            backbone_share: Share of the backbone's variables, counted from its output, that are
                updated too; above 0 needs pixels. What lies below them costs no backward pass.
            text_backbone_share: The same of the text backbone; above 0 it runs in each step.
            discriminator_steps: Updates of the discriminator in each step; 0 leaves it alone.

        Raises:
            ValueError: If a value is out of range, or a backbone is to train while the encoders
                rest or there is none.
        """
        check_step(
            discriminator_steps,
            trains_encoders,
            backbone_share=(backbone_share, self.backbone_variables),
            text_backbone_share=(text_backbone_share, self.text_backbone_variables),
        )
        self.trains_encoders = trains_encoders
        self.is_adversarial = is_adversarial
        self.backbone_share = backbone_share
        self.text_backbone_share = text_backbone_share
        self.discriminator_steps = discriminator_steps
        self.make_train_function(force=True)

    @property
    def backbone_variables(self) -> list[keras.Variable]:
        """Trainable variables of the backbone."""
        return self.image_encoder.backbone_variables

    @property
    def text_backbone_variables(self) -> list[keras.Variable]:
        """Trainable variables of a pretrained text backbone."""
        return getattr(getattr(self.text_encoder, "backbone", None), "learned_variables", [])

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """Trainable variables of the image head, and of the text encoder but for its backbone."""
        text = self.text_encoder.head if self.text_backbone_variables else self.text_encoder
        return self.image_encoder.head.trainable_variables + text.trainable_variables

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers; that of a text backbone where it may be trained."""
        last = [self.text_backbone_optimizer] if self.text_backbone_variables else []
        return [self.optimizer, self.backbone_optimizer, self.discriminator_optimizer, *last]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(getattr(self, "_means", {}).values())

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> tuple[Any, Any]:
        """Returns the embeddings of the batch's images `[I, D]` and captions `[N, D]`."""
        images = self.embed_images(inputs, training=training)
        return images, embed_texts(self.text_encoder, inputs, training=training)

    def embed_images(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Returns image embeddings `[I, D]` from `features` or `pixels`."""
        encoder = self.image_encoder
        return encoder.head(encoder.features(inputs), training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        batch, caption_weights = unpack(data)
        with tf.GradientTape(persistent=True) as tape:
            batch = {**batch, "features": self.image_encoder.features(batch)}
            if self.text_backbone_share:
                groups = 1 if self.jit_compile else _GROUPS
                features = self.text_encoder.features(batch["token_ids"], groups=groups)
                batch |= {"text_features": features}
            embeddings = self(batch, training=self.trains_encoders)
            penalty = tf.add_n(self.losses) if self.losses else tf.zeros(())
            twice = self.is_adversarial and self.trains_encoders
            judged = self(batch, training=False) if twice else embeddings
            judged = with_unpaired(self, batch, judged, self.trains_encoders and not twice)
            with tape.stop_recording():
                played = self._train_discriminator(judged)
            matching, measures = self._match(batch, embeddings, caption_weights)
            adversarial, defeat = play(self.adversarial_loss, self.discriminator, judged)
            adversarial = self.adversarial_weight.value * adversarial
            if not self.is_adversarial:
                adversarial = tf.stop_gradient(adversarial)
        pull = tape.gradient(matching, embeddings)
        push = self._unless_off(tape.gradient(adversarial, judged, unconnected_gradients="zero"))
        if self.trains_encoders:
            self._train_encoders(tape, [*embeddings, *judged, penalty], [*pull, *push, 1.0])
        return self._logged(
            loss=matching + self._unless_off(adversarial) + penalty,
            **measures,
            **defeat,
            **played,
            matching_gradient_norm=tf.linalg.global_norm(pull),
            adversarial_gradient_norm=tf.linalg.global_norm(push),
        )

    def test_step(self, data: Any) -> dict[str, Any]:
        batch, caption_weights = unpack(data)
        embeddings = self(batch, training=False)
        matching, measures = self._match(batch, embeddings, caption_weights)
        judged = with_unpaired(self, batch, embeddings, False)
        adversarial, defeat = play(self.adversarial_loss, self.discriminator, judged)
        penalty = tf.add_n(self.losses) if self.losses else 0.0
        adversarial = self._unless_off(self.adversarial_weight.value * adversarial)
        return self._logged(loss=matching + adversarial + penalty, **measures, **defeat)

    def _match(self, batch: Any, embeddings: Any, caption_weights: Any) -> Any:
        return match(self.matching_loss, batch, embeddings, caption_weights, self.nested_sizes)

    def _train_discriminator(self, embeddings: Any) -> dict[str, Any]:
        """Updates the discriminator on embeddings as they are; returns its mean loss, if any."""
        if not (self.discriminator_steps and self.adversarial_loss.uses_discriminator):
            return {}
        embeddings = [tf.stop_gradient(each) for each in embeddings]
        variables = self.discriminator.trainable_variables
        losses = []
        for _ in range(self.discriminator_steps):
            with tf.GradientTape() as tape:
                loss = self.adversarial_loss.discriminator_loss(self.discriminator, *embeddings)
            self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
            losses.append(loss)
        return {"discriminator_loss": tf.reduce_mean(losses)}

    def _unless_off(self, values: Any) -> Any:
        """Values that the adversarial weight multiplies; at 0 they are 0, even if not finite."""
        off = self.adversarial_weight.value == 0
        return tf.nest.map_structure(lambda each: tf.where(off, tf.zeros_like(each), each), values)

    def _train_encoders(self, tape: tf.GradientTape, targets: list, gradients: list) -> None:
        """Takes gradients at the embeddings back through the encoders, and applies them."""
        images = upper(self.backbone_variables, self.backbone_share)
        texts = upper(self.text_backbone_variables, self.text_backbone_share)
        optimizers = self.optimizer, self.backbone_optimizer, self.text_backbone_optimizer
        parts = zip(optimizers, (self.encoder_variables, images, texts), strict=True)
        apply_gradients(tape, targets, gradients, [*parts])

    def _logged(self, **measures: Any) -> dict[str, Any]:
        """Takes measures into the means of the epoch and returns these, of nothing else."""
        for name, value in measures.items():  # as `update_state`, in a third of its operations
            self._means[name].total.assign_add(value)
            self._means[name].count.assign_add(1.0)
        return {name: self._means[name].result() for name in measures}

    def get_config(self) -> dict[str, Any]:
        parts = ("image_encoder", "text_encoder", "discriminator")
        return {
            **super().get_config(),
            **{part: keras.saving.serialize_keras_object(getattr(self, part)) for part in parts},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> MITE:
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))

    def get_compile_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in _COMPILED}
        config = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        step = {name: getattr(self, name) for name in _STEP}
        return {**config, "nested_sizes": self.nested_sizes, "step": step}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        settings = keras.saving.deserialize_keras_object(config)
        step = settings.pop("step")
        self.compile(**settings)
        self.configure_step(**step)


# Of texts of like length: a step of MiniLM's upper half on 640 captions takes 2.4 s, 5.8 in one
# group; in eight it takes 2.0, of a graph twice as large.
_GROUPS = 4
_COMPILED = ("optimizer", "discriminator_optimizer", "backbone_optimizer",
             "text_backbone_optimizer", "loss", "adversarial_loss")  # fmt: skip
_STEP = ("trains_encoders", "is_adversarial", "backbone_share", "text_backbone_share",
         "discriminator_steps")  # fmt: skip
_METRICS = (
    "loss", "matching_loss", "active_hinges", "adversarial_loss", "discriminator_loss",
    "discriminator_accuracy", "matching_gradient_norm", "adversarial_gradient_norm",
    "similarity_gap", "loss_if_alike",
)  # fmt: skip
