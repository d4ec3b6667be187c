"""From a configuration to a compiled model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mite_tf.errors import MiteError
from mite_tf.losses import adversarial_loss, matching_loss
from mite_tf.models import (
    MITE,
    FusedAdamW,
    ImageEncoder,
    TextBackbone,
    backbone_warnings,
    hub_encoder,
    image_head,
    is_untrained,
    load_backbone,
    modality_discriminator,
)
from mite_tf.models.resizing import picture_input
from mite_tf.models.text_encoder import TEXT_ENCODERS
from mite_tf.runs.config import Config


def build_model(
    config: Config,
    vocabulary_size: int,
    feature_shape: tuple[int, ...] | None = None,
    *,
    text_backbone: TextBackbone | None = None,
    words: Sequence[int] = (),
    image_backbone: keras.Model | None = None,
) -> MITE:
    """Builds and compiles the model that a configuration describes; the same from every call.

    Args:
        config: The configuration, whose seed is set.
        vocabulary_size: Number of token ids.
        feature_shape: Shape of one image's features where they come precomputed.
        text_backbone: That of the text encoder `hub`.
        words: Token ids that this encoder may have a bag of words of.
        image_backbone: That of the image encoder, where it is at hand.

    Raises:
        MiteError: If the backbone or a loss cannot be built as configured.
    """
    keras.utils.set_random_seed(config.training.seed)
    backbone = image_backbone
    if backbone is None and config.backbone.name != "features":
        backbone = configured_backbone(config)
    if backbone is not None:
        _check_sizes(config, backbone)
        feature_shape = backbone.output_shape[1:]
    if feature_shape is None:
        raise MiteError("backbone.name is 'features', but no features were given.")
    embedding: dict[str, Any] = {
        "embedding_size": config.embedding.size,
        "standardize": config.embedding.standardize,
    }
    if config.embedding.start != "random":
        _check_start(config, feature_shape, text_backbone)
        embedding["start"] = config.embedding.start
    head = image_head(feature_shape, **embedding, **config.image_head)
    arguments = {**config.text_encoder, **embedding}
    name = arguments.pop("name")
    if name == "transformer":
        arguments["max_length"] = config.tokenizer.max_length
    if text_backbone is not None:
        text_backbone.trainable = config.learns_texts
        text_encoder: keras.Model = hub_encoder(text_backbone, words, **arguments)
    else:
        text_encoder = TEXT_ENCODERS[name](vocabulary_size, **arguments)
    mite = MITE(
        ImageEncoder(backbone, head),
        text_encoder,
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
        text_backbone_optimizer=_adamw(config),
        discriminator_optimizer=FusedAdamW(
            weight_decay=0.0,
            beta_1=config.discriminator_optimizer.beta_1,
            global_clipnorm=config.optimizer.clip_norm,
        ),
        loss=matching,
        nested_sizes=config.embedding.nested_sizes,
        adversarial_loss=adversarial,
    )
    return mite


def configured_backbone(config: Config) -> keras.Model:
    """Returns the image backbone that a configuration names, see `load_backbone`."""
    settings = config.backbone
    return load_backbone(
        settings.name,
        image_size=settings.image_size,
        weights=None if settings.weights == "none" else settings.weights,
        feature_map=config.image_head["pooling"] != "average",
        width=settings.width,
        check=settings.check,
        pooling=settings.pooling,
    )


def _check_sizes(config: Config, backbone: keras.Model) -> None:
    """Refuses a stage with pictures of a size that the layers of the backbone do not allow."""
    size = getattr(picture_input(backbone), "size", None)
    for stage in config.stages:
        if stage.inputs == "pixels" and size and stage.image_size not in (0, size):
            raise MiteError(
                f"stages.{stage.name}.image_size is {stage.image_size}, and the layers of the "
                f"backbone take pictures of {size} px alone. Set it to 0."
            )


def _check_start(
    config: Config, feature_shape: tuple[int, ...], text_backbone: TextBackbone | None
) -> None:
    """Refuses embeddings that cannot start as what both networks make."""
    pictures, texts = feature_shape[-1], text_backbone.output_shape[-1] if text_backbone else 0
    begins = f"embedding.start is {config.embedding.start!r}, so both encoders begin as features"
    for key, value, holds in (
        ("text_encoder.name", "hub", text_backbone is not None),
        ("image_head.pooling", "average", len(feature_shape) == 1),
        ("image_head.power", 1, config.image_head["power"] == 1),
        ("backbone.pooling", "cls", config.backbone.pooling == "cls"),
        ("embedding.standardize", "false", not config.embedding.standardize),
        ("embedding.size", pictures, config.embedding.size == pictures or texts != pictures),
    ):
        if not holds:
            raise MiteError(f"{begins}. Set {key} to {value}.")
    if pictures != texts:
        raise MiteError(
            f"{begins}, but pictures have {pictures} and texts {texts}. Name both towers of one "
            "model in backbone.name and text_backbone.name."
        )


def warnings_before(config: Config, backbone: keras.Model | None) -> list[str]:
    """Returns what is to be said of a new backbone before a training, a sentence each.

    Random weights are no fault where the first stage that trains the encoders trains all of them.
    """
    if backbone is None:
        return []
    untrained = is_untrained(backbone)
    sentences = backbone_warnings(backbone)[: -1 if untrained else None]
    if not config.backbone.check:
        sentences = [each for each in sentences if "first convolution" not in each]
    first = next((s for s in config.stages if s.epochs and s.trains_encoders), None)
    if untrained and first is not None and first.backbone_share < 1:
        rests = f"trains {first.backbone_share:.0%} of it" if first.backbone_share else "freezes it"
        sentences.append(
            f"The backbone has random weights and stage {first.name!r} {rests}, so that its "
            "features tell little. Give it weights (backbone.weights, or a file written by `mite "
            f"backbone`), or train it: stages.{first.name}.inputs=pixels and .backbone_share=1."
        )
    return sentences


def _adamw(config: Config) -> keras.optimizers.Optimizer:
    optimizer = FusedAdamW(
        weight_decay=config.optimizer.weight_decay, global_clipnorm=config.optimizer.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
