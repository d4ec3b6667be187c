"""What the adversarial losses share whose discriminator is a classifier."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.losses._checks import invalid
from mite_tf.losses.adversarial import AdversarialLoss
from mite_tf.losses.discriminator_calls import (
    float32_pair,
    modality_logits,
    squared_gradient_norms,
)


class ModalityClassification(AdversarialLoss):
    """Base class of variants whose discriminator learns to tell the modalities by cross-entropy.

    Subclasses implement `encoder_loss`.

    Args:
        label_smoothing: In [0, 0.5): images are labelled `1 - label_smoothing` and texts
            `label_smoothing`. (Keras' argument of that name counts twice as much.)
        r1_penalty: At least 0; adds `r1_penalty / 2` times the mean squared norm of the logit's
            gradient in the embeddings of both modalities.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Mescheder et al., 2018](https://arxiv.org/abs/1801.04406) for the R1 penalty, there on
        one of the two sides; here both are data.
    """

    def __init__(self, label_smoothing: float = 0.0, r1_penalty: float = 0.0):
        if not 0 <= label_smoothing < 0.5:
            raise invalid("label_smoothing", label_smoothing, "a number in [0, 0.5)")
        if not r1_penalty >= 0:
            raise invalid("r1_penalty", r1_penalty, "a number of at least 0")
        self.label_smoothing = label_smoothing
        self.r1_penalty = r1_penalty

    def discriminator_loss(
        self,
        discriminator: keras.Model,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes the cross-entropy of the modality, plus the R1 penalty if there is one."""
        logits = modality_logits(discriminator, image_embeddings, text_embeddings, training=True)
        loss = cross_entropy(*logits, image_label=1.0 - self.label_smoothing)
        if self.r1_penalty:
            embeddings = ops.concatenate(float32_pair(image_embeddings, text_embeddings))
            steepness = ops.mean(squared_gradient_norms(discriminator, embeddings))
            loss += self.r1_penalty / 2.0 * steepness
        return loss

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as plain values."""
        return {"label_smoothing": self.label_smoothing, "r1_penalty": self.r1_penalty}


def cross_entropy(image_logits: tf.Tensor, text_logits: tf.Tensor, image_label: float) -> tf.Tensor:
    """Computes the binary cross-entropy of both modalities, one half each.

    Args:
        image_logits: Shape `[N]`, float32.
        text_logits: Shape `[M]`, float32.
        image_label: Label of the images, in [0, 1]; that of the texts is the rest to 1.

    Returns:
        Scalar, float32.

    Example:
        >>> round(float(cross_entropy(ops.zeros(3), ops.zeros(2), image_label=1.0)), 4)  # log 2
        0.6931
    """
    images = ops.mean(ops.softplus(image_logits) - image_label * image_logits)
    texts = ops.mean(ops.softplus(text_logits) - (1.0 - image_label) * text_logits)
    return (images + texts) / 2.0
