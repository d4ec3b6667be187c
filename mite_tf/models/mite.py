"""The trainable model: two encoders, a discriminator, and the step that alternates them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mite_tf.losses import (
    AdversarialLoss,
    BidirectionalTriplet,
    FlippedLabels,
    active_hinges,
    similarity_gap,
)
from mite_tf.models.backbones import resized_backbone
from mite_tf.models.image_encoder import backbone_of, head_of


@keras.saving.register_keras_serializable(package="mite_tf")
class MITE(keras.Model):
    """Modality-invariant image-text embedding.

    A batch is a dictionary; images and captions find each other by id, so their order is free
    and an image may bring several captions:

    | key | dtype, shape | |
    | --- | --- | --- |
    | `pixels` or `features` | float32 `[I, H, W, 3]` in 0-255, or what the head takes | images |
    | `image_id` | int64 `[I]` | one id per image of the batch |
    | `token_ids` | int32 `[N, L]`, padded with 0 | captions |
    | `caption_image_id` | int64 `[N]` | the image that each caption belongs to |

    `train_step` updates the discriminator `discriminator_steps` times, then takes the gradient of
    `matching loss + adversarial_weight * adversarial loss`, judged by the updated discriminator,
    with respect to the embeddings, and sends it back through the encoders. With the weight at 0
    the gradient is that of the matching loss to the bit.

    The matching loss sees embeddings under dropout; discriminator and adversarial loss see those
    without it, which are the ones to be made alike: dropout's noise is larger than most of what
    tells the modalities apart. Head and text encoder run twice for that, the backbone once.

    The backbone runs in inference mode always, so its batch-normalisation statistics stay as
    they were pretrained.

    Args:
        image_encoder: Functional model with the submodels `backbone` (optional) and `head`,
            see `mite_tf.models.image_encoder`.
        text_encoder: Functional model from token ids `[N, L]` to embeddings `[N, D]`.
        discriminator: Model from embeddings `[N, D]` to logits `[N, 1]`, positive for images.

    Reference:
        Liu et al., Modality-Invariant Image-Text Embedding for Image-Sentence Matching, ACM
        TOMM 15(1):27, 2019, doi:10.1145/3300939.

    Example:
        >>> import numpy as np
        >>> from mite_tf.models import bag_of_words_encoder, image_encoder, image_head
        >>> from mite_tf.models import modality_discriminator
        >>> model = MITE(
        ...     image_encoder(None, image_head((8,), embedding_size=16)),
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
        image_encoder: keras.Model,
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
        self.backbone_share = 0.0
        self.discriminator_steps = 1
        self.built = True

    def compile(
        self,
        optimizer: Any = "adamw",
        discriminator_optimizer: Any = None,
        backbone_optimizer: Any = None,
        matching_loss: keras.losses.Loss | None = None,
        adversarial_loss: AdversarialLoss | None = None,
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Configures the objectives and builds all optimizers, so that checkpoints hold them.

        Args:
            optimizer: Keras optimizer of the head and the text encoder.
            discriminator_optimizer: That of the discriminator; Adam 1e-4 with beta_1 0.5 by
                default, the value that adversarial recipes since DCGAN share.
            backbone_optimizer: That of the backbone; a copy of `optimizer` by default.
            matching_loss: Loss of `mite_tf.losses` over a similarity matrix;
                `BidirectionalTriplet()` by default.
            adversarial_loss: `AdversarialLoss`; `FlippedLabels()` by default.
            jit_compile: Whether XLA compiles the step. Off: on a CPU it has been up to twelve
                times slower, depending on the encoder.
            **kwargs: Further arguments of `keras.Model.compile`.

        Raises:
            ValueError: If the global policy is `mixed_float16`, whose loss scaling the
                three optimizers do not share; use `mixed_bfloat16`.
        """
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError(
                "MITE does not scale its losses, which mixed_float16 needs. "
                "Use keras.config.set_dtype_policy('mixed_bfloat16') instead."
            )
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self.discriminator_optimizer = keras.optimizers.get(
            discriminator_optimizer or keras.optimizers.Adam(1e-4, beta_1=0.5)
        )
        self.backbone_optimizer = keras.optimizers.get(
            backbone_optimizer or type(self.optimizer).from_config(self.optimizer.get_config())
        )
        self.matching_loss = matching_loss or BidirectionalTriplet()
        self.adversarial_loss = adversarial_loss or FlippedLabels()
        self.optimizer.build(self.encoder_variables)
        self.backbone_optimizer.build(self.backbone_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self._means = {name: keras.metrics.Mean(name) for name in _METRICS}

    def configure_step(
        self,
        *,
        trains_encoders: bool = True,
        is_adversarial: bool = True,
        backbone_share: float = 0.0,
        discriminator_steps: int = 1,
    ) -> None:
        """Sets what a training step updates; takes effect with a new graph at the next step.

        Args:
            trains_encoders: Whether head and text encoder are updated.
            is_adversarial: Whether discriminator and adversarial loss see embeddings without
                dropout. Where the adversarial weight stays at 0, False saves that second pass.
            backbone_share: Share of the backbone's variables, counted from its output, that are
                updated too; above 0 needs pixels. What lies below them costs no backward pass.
            discriminator_steps: Updates of the discriminator in each step; 0 leaves it alone.

        Raises:
            ValueError: If `discriminator_steps` is negative, `backbone_share` lies outside
                [0, 1], or the backbone shall train while the encoders rest or there is none.
        """
        if discriminator_steps < 0:
            raise ValueError(
                "`discriminator_steps` must not be negative. "
                f"Received: discriminator_steps={discriminator_steps}"
            )
        if not 0 <= backbone_share <= 1:
            raise ValueError(
                f"`backbone_share` lies in [0, 1]. Received: backbone_share={backbone_share}"
            )
        if backbone_share and not (trains_encoders and self.backbone_variables):
            raise ValueError(
                "The backbone trains only together with the encoders, and only where the image "
                f"encoder has one. Received: trains_encoders={trains_encoders}, trainable "
                f"variables of the backbone: {len(self.backbone_variables)}"
            )
        self.trains_encoders = trains_encoders
        self.is_adversarial = is_adversarial
        self.backbone_share = backbone_share
        self.discriminator_steps = discriminator_steps
        self.make_train_function(force=True)

    @property
    def backbone_variables(self) -> list[keras.Variable]:
        """Trainable variables of the backbone."""
        backbone = backbone_of(self.image_encoder)
        return [] if backbone is None else backbone.trainable_variables

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """Trainable variables of the image head and the text encoder."""
        head = head_of(self.image_encoder)
        return head.trainable_variables + self.text_encoder.trainable_variables

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(getattr(self, "_means", {}).values())

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> tuple[Any, Any]:
        """Returns the embeddings of the batch's images `[I, D]` and captions `[N, D]`."""
        return (
            self.embed_images(inputs, training=training),
            self.text_encoder(inputs["token_ids"], training=training),
        )

    def embed_images(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Returns image embeddings `[I, D]` from `features` or `pixels`, whichever is there."""
        return head_of(self.image_encoder)(self.features(inputs), training=training)

    def features(self, inputs: dict[str, Any]) -> Any:
        """Returns the `features` of a batch, or those that the backbone finds in its `pixels`."""
        if "features" in inputs:
            return inputs["features"]
        backbone = backbone_of(self.image_encoder)
        if backbone is None:
            raise ValueError(
                "This image encoder starts at precomputed features, so a batch needs the key "
                f"'features'. Received the keys: {sorted(inputs)}"
            )
        pixels = inputs["pixels"]
        height = pixels.shape[1]
        if height != backbone.input_shape[1]:
            backbone = resized_backbone(backbone, height)
        return backbone(pixels, training=False)

    def train_step(self, data: Any) -> dict[str, Any]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            batch = {**batch, "features": self.features(batch)}
            embeddings = self(batch, training=self.trains_encoders)
            penalty = tf.add_n(self.losses) if self.losses else tf.zeros(())
            twice = self.is_adversarial and self.trains_encoders
            judged = self(batch, training=False) if twice else embeddings

        for _ in range(self.discriminator_steps if self.adversarial_loss.uses_discriminator else 0):
            self._update_discriminator(*judged)

        matching = self._matching_gradient(batch, embeddings)
        adversarial = self._adversarial_gradient(judged)
        if self.trains_encoders:
            own = self.encoder_variables
            backbone = self.backbone_variables
            backbone = backbone[len(backbone) - round(self.backbone_share * len(backbone)) :]
            gradients = tape.gradient(
                [*embeddings, *judged, penalty],
                own + backbone,
                [*matching, *adversarial, tf.ones(())],
            )
            self.optimizer.apply(gradients[: len(own)], own)
            if backbone:
                self.backbone_optimizer.apply(gradients[len(own) :], backbone)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        embeddings = self(batch, training=False)
        self._matching_gradient(batch, embeddings)
        self._adversarial_gradient(embeddings)
        return self.get_metrics_result()

    def _update_discriminator(self, images: Any, captions: Any) -> None:
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.adversarial_loss.discriminator_loss(
                self.discriminator, tf.stop_gradient(images), tf.stop_gradient(captions)
            )
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        self._means["discriminator_loss"].update_state(loss)

    def _matching_gradient(self, batch: dict[str, Any], embeddings: Any) -> list[Any]:
        """Gradient of the matching loss in `[images, captions]`; updates metrics on the way."""
        ids = batch["caption_image_id"]
        owner = tf.argmax(tf.cast(ids[:, None] == batch["image_id"][None, :], tf.int8), axis=1)
        images, captions = (tf.stop_gradient(each) for each in embeddings)
        with tf.GradientTape() as tape:
            tape.watch([images, captions])
            similarities = tf.matmul(tf.gather(images, owner), captions, transpose_b=True)
            loss = self.matching_loss(ids, similarities)
        margin = getattr(self.matching_loss, "margin", 0.0)
        self._means["matching_loss"].update_state(loss)
        self._means["active_hinges"].update_state(active_hinges(ids, similarities, margin))
        self._means["similarity_gap"].update_state(similarity_gap(ids, similarities))
        # What the loss would be if the embeddings of the batch were all alike.
        alike = tf.fill(tf.shape(similarities), tf.reduce_mean(similarities))
        self._means["loss_if_alike"].update_state(self.matching_loss(ids, alike))
        return self._measured("matching", tape.gradient(loss, [images, captions]))

    def _adversarial_gradient(self, embeddings: Any) -> list[Any]:
        """Gradient of the weighted adversarial loss in `[images, captions]`; exactly 0 at weight 0.

        Updates metrics on the way.
        """
        images, captions = (tf.stop_gradient(each) for each in embeddings)
        with tf.GradientTape() as tape:
            tape.watch([images, captions])
            loss = self.adversarial_loss.encoder_loss(self.discriminator, images, captions)
            weighted = self.adversarial_weight.value * loss
        gradient = tape.gradient(weighted, [images, captions], unconnected_gradients="zero")
        self._means["adversarial_loss"].update_state(loss)
        for each, label in ((images, True), (captions, False)):
            self._means["discriminator_accuracy"].update_state(
                self._discriminator_hits(each, label=label)
            )
        off = self.adversarial_weight.value == 0  # 0 times a loss that is not finite is not 0
        return self._measured(
            "adversarial", [tf.where(off, tf.zeros_like(each), each) for each in gradient]
        )

    def _measured(self, objective: str, gradient: list[Any]) -> list[Any]:
        self._means[f"{objective}_gradient_norm"].update_state(tf.linalg.global_norm(gradient))
        return gradient

    def _discriminator_hits(self, embeddings: Any, *, label: bool) -> Any:
        """Share of embeddings whose modality the discriminator names; one mean per modality."""
        says_image = self.discriminator(embeddings, training=False) > 0
        return tf.reduce_mean(tf.cast(tf.equal(says_image, label), tf.float32))

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
        parts = (
            "optimizer",
            "discriminator_optimizer",
            "backbone_optimizer",
            "matching_loss",
            "adversarial_loss",
        )
        return {part: keras.saving.serialize_keras_object(getattr(self, part)) for part in parts}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))


_METRICS = (
    "matching_loss",
    "active_hinges",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_accuracy",
    "matching_gradient_norm",
    "adversarial_gradient_norm",
    "similarity_gap",
    "loss_if_alike",
)
