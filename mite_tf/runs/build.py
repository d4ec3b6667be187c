"""From a configuration to a compiled model."""

from __future__ import annotations

from typing import Any

import keras

from mite_tf.errors import MiteError
from mite_tf.losses import adversarial_loss, matching_loss
from mite_tf.models import (
    MITE,
    ImageEncoder,
    image_head,
    load_backbone,
    modality_discriminator,
)
from mite_tf.models.text_encoder import TEXT_ENCODERS
from mite_tf.runs.config import Config


def build_model(
    config: Config, vocabulary_size: int, feature_shape: tuple[int, ...] | None = None
) -> MITE:
    """Builds and compiles the model that a configuration describes.

    Args:
        config: The configuration.
        vocabulary_size: Number of token ids.
        feature_shape: Shape of one image's features where `model.backbone` is `features`, that
            is, where they come precomputed.

    Returns:
        A compiled `MITE`; the seed has been set, so the same call gives the same weights.

    Raises:
        MiteError: If the backbone or a loss cannot be built as configured.
    """
    keras.utils.set_random_seed(config.training.seed)
    model = config.model
    if model.backbone == "features":
        if feature_shape is None:
            raise MiteError("model.backbone is 'features', but no features were given.")
        backbone = None
    else:
        backbone = load_backbone(
            model.backbone,
            image_size=model.image_size,
            weights=None if model.weights == "none" else model.weights,
            feature_map=model.image_pooling != "average",
            width=model.cnn_width,
        )
        feature_shape = backbone.output_shape[1:]
    head = image_head(
        feature_shape,
        embedding_size=model.embedding_size,
        hidden_size=model.image_hidden_size,
        pooling=model.image_pooling,
        power=model.image_power,
        dropout=model.image_dropout,
        standardize=model.standardize,
    )
    extra: dict[str, Any] = (
        {"max_length": config.text.max_length} if model.text_encoder == "transformer" else {}
    )
    text = TEXT_ENCODERS[model.text_encoder](
        vocabulary_size,
        word_size=model.word_size,
        embedding_size=model.embedding_size,
        hidden_size=model.text_hidden_size,
        pooling=model.text_pooling,
        dropout=model.text_dropout,
        word_dropout=model.word_dropout,
        standardize=model.standardize,
        **extra,
    )
    discriminator = modality_discriminator(
        model.embedding_size,
        hidden_sizes=config.discriminator.hidden_sizes,
        input_dropout=config.discriminator.input_dropout,
        noise=config.discriminator.noise,
    )
    mite = MITE(ImageEncoder(backbone, head), text, discriminator, name="mite")
    try:
        matching = matching_loss(**config.loss.matching)
        adversarial = adversarial_loss(**config.loss.adversarial)
    except (ValueError, TypeError) as error:
        raise MiteError(f"loss: {error}") from error
    mite.compile(
        optimizer=_adamw(config),
        backbone_optimizer=_adamw(config),
        discriminator_optimizer=keras.optimizers.Adam(
            beta_1=config.discriminator.beta_1, global_clipnorm=config.training.clip_norm
        ),
        loss=matching,
        adversarial_loss=adversarial,
    )
    return mite


def _adamw(config: Config) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(
        weight_decay=config.training.weight_decay, global_clipnorm=config.training.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
