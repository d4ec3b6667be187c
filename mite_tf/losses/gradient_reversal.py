"""The adversarial loss of domain-adversarial training."""

import keras
import tensorflow as tf

from mite_tf.losses.discriminator_calls import modality_logits
from mite_tf.losses.modality_classification import ModalityClassification, cross_entropy


@keras.saving.register_keras_serializable(package="mite_tf")
class GradientReversal(ModalityClassification):
    """Trains the encoders to raise the discriminator's cross-entropy.

    The encoders minimise minus the cross-entropy, without penalties: the gradient that a
    gradient-reversal layer passes to them. It fades where the discriminator is sure and right,
    which `FlippedLabels` avoids.

    Args:
        label_smoothing: In [0, 0.5): images are labelled `1 - label_smoothing` and texts
            `label_smoothing`. The paper has none.
        r1_penalty: At least 0; weight of the R1 penalty on the discriminator.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Ganin et al., 2016](https://arxiv.org/abs/1505.07818)

    Example:
        >>> from keras import ops
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> images, texts = ops.array([[2.0]]), ops.array([[-2.0]])
        >>> loss = GradientReversal()
        >>> round(float(loss.encoder_loss(discriminator, images, texts)), 4)  # -log(1 + e^-2)
        -0.1269
    """

    def __init__(self, label_smoothing: float = 0.0, r1_penalty: float = 0.0):
        super().__init__(label_smoothing, r1_penalty)

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes minus the discriminator's cross-entropy."""
        logits = modality_logits(discriminator, image_embeddings, text_embeddings, training=False)
        return -cross_entropy(*logits, image_label=1.0 - self.label_smoothing)
