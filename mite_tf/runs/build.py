"""From a configuration to a compiled model."""

from __future__ import annotations

from typing import Any

import keras

from mite_tf.errors import MiteError
from mite_tf.losses import adversarial_loss, matching_loss
from mite_tf.models import MITE, ImageEncoder, image_head, load_backbone, modality_discriminator
from mite_tf.models.text_encoder import TEXT_ENCODERS
from mite_tf.runs.config import Config


def build_model(
    config: Config, vocabulary_size: int, feature_shape: tuple[int, ...] | None = None
) -> MITE:
    """Builds and compiles the model that a configuration describes; the same from every call.

    Args:
        config: The configuration, whose seed is set.
        vocabulary_size: Number of token ids.
        feature_shape: Shape of one image's features where they come precomputed.

    Raises:
        MiteError: If the backbone or a loss cannot be built as configured.
    """
    keras.utils.set_random_seed(config.training.seed)
    backbone = None
    if config.backbone.name != "features":
        backbone = load_backbone(
            config.backbone.name,
            image_size=config.backbone.image_size,
            weights=None if config.backbone.weights == "none" else config.backbone.weights,
            feature_map=config.image_head["pooling"] != "average",
            width=config.backbone.width,
        )
        feature_shape = backbone.output_shape[1:]
    if feature_shape is None:
        raise MiteError("backbone.name is 'features', but no features were given.")
    embedding: dict[str, Any] = {
        "embedding_size": config.embedding.size,
        "standardize": config.embedding.standardize,
    }
    head = image_head(feature_shape, **embedding, **config.image_head)
    arguments = {**config.text_encoder, **embedding}
    name = arguments.pop("name")
    if name == "transformer":
        arguments["max_length"] = config.tokenizer.max_length
    mite = MITE(
        ImageEncoder(backbone, head),
        TEXT_ENCODERS[name](vocabulary_size, **arguments),
        modality_discriminator(config.embedding.size, **config.discriminator),
        name="mite",
    )
    try:
        matching = matching_loss(**config.loss)
        adversarial = adversarial_loss(**config.adversarial_loss)
    except (ValueError, TypeError) as error:
        raise MiteError(f"loss: {error}") from error
    mite.compile(
        optimizer=_adamw(config),
        backbone_optimizer=_adamw(config),
        discriminator_optimizer=keras.optimizers.Adam(
            beta_1=config.discriminator_optimizer.beta_1,
            global_clipnorm=config.optimizer.clip_norm,
        ),
        loss=matching,
        adversarial_loss=adversarial,
    )
    return mite


def _adamw(config: Config) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(
        weight_decay=config.optimizer.weight_decay, global_clipnorm=config.optimizer.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
