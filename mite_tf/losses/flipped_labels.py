"""The adversarial loss whose encoders answer with the other modality's label."""

import keras
import tensorflow as tf

from mite_tf.losses.discriminator_calls import modality_logits
from mite_tf.losses.modality_classification import ModalityClassification, cross_entropy


@keras.saving.register_keras_serializable(package="mite_tf")
class FlippedLabels(ModalityClassification):
    """Trains the encoders to have each modality taken for the other.

    The encoders minimise the same cross-entropy as the discriminator with the labels swapped
    (smoothed alike). Its gradient is strongest where the discriminator is right.

    Args:
        label_smoothing: In [0, 0.5): images are labelled `1 - label_smoothing` and texts
            `label_smoothing`. MUSE uses 0.1.
        r1_penalty: At least 0; weight of the R1 penalty on the discriminator.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Conneau et al., 2018, MUSE](https://arxiv.org/abs/1710.04087)

    Example:
        >>> from keras import ops
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> images, texts = ops.array([[2.0]]), ops.array([[-2.0]])
        >>> loss = FlippedLabels(label_smoothing=0.0)
        >>> round(float(loss.discriminator_loss(discriminator, images, texts)), 4)  # log(1 + e^-2)
        0.1269
        >>> round(float(loss.encoder_loss(discriminator, images, texts)), 4)  # log(1 + e^2)
        2.1269
    """

    def __init__(self, label_smoothing: float = 0.1, r1_penalty: float = 0.0):
        super().__init__(label_smoothing, r1_penalty)

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes the cross-entropy against the other modality's label."""
        logits = modality_logits(discriminator, image_embeddings, text_embeddings, training=False)
        return cross_entropy(*logits, image_label=self.label_smoothing)
