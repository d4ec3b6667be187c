"""Keras models: encoders, discriminator, and MITE that trains them together."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.models"):
    from mite_tf.models.applications import application_backbone, application_names
    from mite_tf.models.backbone_checks import backbone_warnings, is_untrained
    from mite_tf.models.backbones import file_backbone, load_backbone, small_cnn, write_backbone
    from mite_tf.models.discriminator import modality_discriminator
    from mite_tf.models.fused_adamw import FusedAdamW
    from mite_tf.models.hub_backbone import hub_backbone
    from mite_tf.models.hub_encoder import (
        KnownWords,
        TextEncoder,
        hub_encoder,
        text_head,
    )
    from mite_tf.models.image_encoder import ImageEncoder, PowerNormalization, image_head
    from mite_tf.models.learning_rates import SharedLearningRate, set_learning_rates
    from mite_tf.models.mite import MITE
    from mite_tf.models.packed_gru import PackedGRU
    from mite_tf.models.pooling import AveragePooling, GeneralizedPooling, MaxPooling
    from mite_tf.models.resizing import PictureInput
    from mite_tf.models.text_backbone import TextBackbone, load_text_backbone
    from mite_tf.models.text_encoder import (
        PositionEmbedding,
        bag_of_words_encoder,
        recurrent_encoder,
        transformer_encoder,
    )
    from mite_tf.models.word_average import WordAverage

__all__ = [
    "MITE",
    "AveragePooling",
    "FusedAdamW",
    "GeneralizedPooling",
    "ImageEncoder",
    "KnownWords",
    "MaxPooling",
    "PackedGRU",
    "PictureInput",
    "PositionEmbedding",
    "PowerNormalization",
    "SharedLearningRate",
    "TextBackbone",
    "TextEncoder",
    "WordAverage",
    "application_backbone",
    "application_names",
    "backbone_warnings",
    "bag_of_words_encoder",
    "file_backbone",
    "hub_backbone",
    "hub_encoder",
    "image_head",
    "is_untrained",
    "load_backbone",
    "load_text_backbone",
    "modality_discriminator",
    "recurrent_encoder",
    "set_learning_rates",
    "small_cnn",
    "text_head",
    "transformer_encoder",
    "write_backbone",
]
