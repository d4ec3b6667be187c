"""Keras models: encoders, discriminator, and MITE that trains them together."""

from mite_tf.models.backbones import (
    application_backbone,
    file_backbone,
    load_backbone,
    small_cnn,
)
from mite_tf.models.discriminator import modality_discriminator
from mite_tf.models.image_encoder import backbone_of, head_of, image_encoder
from mite_tf.models.image_head import image_head
from mite_tf.models.mite import MITE
from mite_tf.models.pooling import AveragePooling, GeneralizedPooling, MaxPooling
from mite_tf.models.power_normalization import PowerNormalization
from mite_tf.models.text_encoder import (
    PositionEmbedding,
    bag_of_words_encoder,
    recurrent_encoder,
    transformer_encoder,
)

__all__ = [
    "MITE",
    "AveragePooling",
    "GeneralizedPooling",
    "MaxPooling",
    "PositionEmbedding",
    "PowerNormalization",
    "application_backbone",
    "backbone_of",
    "bag_of_words_encoder",
    "file_backbone",
    "head_of",
    "image_encoder",
    "image_head",
    "load_backbone",
    "modality_discriminator",
    "recurrent_encoder",
    "small_cnn",
    "transformer_encoder",
]
