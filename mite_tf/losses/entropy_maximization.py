"""The adversarial loss whose encoders leave the discriminator undecided."""

import math

import keras
import tensorflow as tf
from keras import ops

from mite_tf.losses.discriminator_calls import modality_logits
from mite_tf.losses.modality_classification import ModalityClassification


@keras.saving.register_keras_serializable(package="mite_tf")
class EntropyMaximization(ModalityClassification):
    """Trains the encoders to make the discriminator's answer a coin toss.

    The encoders minimise `log 2 - H`, where H is the mean entropy of the predicted modality: at
    least 0, and 0 when every logit is 0. It asks for indecision, where `FlippedLabels` asks for
    error.

    Args:
        label_smoothing: In [0, 0.5): images are labelled `1 - label_smoothing` and texts
            `label_smoothing`. The entropy is flat where the discriminator is very sure; the
            default keeps it from going there.
        r1_penalty: At least 0; weight of the R1 penalty on the discriminator.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        ITMeetsAL (https://arxiv.org/abs/2104.04991), where the encoders maximise the entropy of
        the discriminator's output.

    Example:
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> images, texts = ops.array([[2.0]]), ops.array([[-2.0]])
        >>> float(EntropyMaximization().encoder_loss(discriminator, images, texts))
        0.0
    """

    def __init__(self, label_smoothing: float = 0.1, r1_penalty: float = 0.0):
        super().__init__(label_smoothing, r1_penalty)

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes how far the discriminator's entropy is below that of a coin toss."""
        images, texts = modality_logits(
            discriminator, image_embeddings, text_embeddings, training=False
        )
        return math.log(2.0) - (ops.mean(_entropy(images)) + ops.mean(_entropy(texts))) / 2.0


def _entropy(logits: tf.Tensor) -> tf.Tensor:
    # -p log p - (1 - p) log(1 - p) for p = sigmoid(logits).
    return ops.softplus(logits) - ops.sigmoid(logits) * logits
