"""The adversarial losses whose discriminator is a classifier."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.adversarial import (
    AdversarialLoss,
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

    Example:
        >>> class Neutral(ModalityClassification):
        ...     def encoder_loss(self, discriminator, image_embeddings, text_embeddings):
        ...         both = image_embeddings, text_embeddings
        ...         return cross_entropy(*modality_logits(discriminator, *both, False), 0.5)
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> images, texts = ops.array([[2.0]]), ops.array([[-2.0]])
        >>> round(float(Neutral().encoder_loss(discriminator, images, texts)), 4)  # log 2
        0.6931
    """

    def __init__(self, label_smoothing: float = 0.0, r1_penalty: float = 0.0):
        if not 0 <= label_smoothing < 0.5:
            raise invalid_argument("label_smoothing", label_smoothing, "a number in [0, 0.5)")
        if not r1_penalty >= 0:
            raise invalid_argument("r1_penalty", r1_penalty, "a number of at least 0")
        self.label_smoothing = label_smoothing
        self.r1_penalty = r1_penalty

    def discriminator_loss(
        self, discriminator: keras.Model, image_embeddings: tf.Tensor, text_embeddings: tf.Tensor
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
        return {"label_smoothing": self.label_smoothing, "r1_penalty": self.r1_penalty}


def cross_entropy(image_logits: tf.Tensor, text_logits: tf.Tensor, image_label: float) -> tf.Tensor:
    """Computes the binary cross-entropy of both modalities, one half each.

    Args:
        image_logits: Shape `[N]`, float32.
        text_logits: Shape `[M]`, float32.
        image_label: Label of the images, in [0, 1]; that of the texts is the rest to 1.

    Example:
        >>> round(float(cross_entropy(ops.zeros(3), ops.zeros(2), image_label=1.0)), 4)  # log 2
        0.6931
    """
    images = ops.mean(ops.softplus(image_logits) - image_label * image_logits)
    texts = ops.mean(ops.softplus(text_logits) - (1.0 - image_label) * text_logits)
    return (images + texts) / 2.0


@keras.saving.register_keras_serializable(package="mite_tf")
class FlippedLabels(ModalityClassification):
    """Trains the encoders to have each modality taken for the other.

    The encoders minimise the same cross-entropy as the discriminator with the labels swapped
    (smoothed alike). Its gradient is strongest where the discriminator is right.

    Arguments are those of `ModalityClassification`; MUSE smooths by 0.1.

    Reference:
        [Conneau et al., 2018, MUSE](https://arxiv.org/abs/1710.04087)

    Example:
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


@keras.saving.register_keras_serializable(package="mite_tf")
class GradientReversal(ModalityClassification):
    """Trains the encoders to raise the discriminator's cross-entropy.

    The encoders minimise minus the cross-entropy, without penalties: the gradient that a
    gradient-reversal layer passes to them. It fades where the discriminator is sure and right,
    which `FlippedLabels` avoids.

    Arguments are those of `ModalityClassification`; the paper does not smooth.

    Reference:
        [Ganin et al., 2016](https://arxiv.org/abs/1505.07818)

    Example:
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> images, texts = ops.array([[2.0]]), ops.array([[-2.0]])
        >>> loss = GradientReversal()
        >>> round(float(loss.encoder_loss(discriminator, images, texts)), 4)  # -log(1 + e^-2)
        -0.1269
    """

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes minus the discriminator's cross-entropy."""
        logits = modality_logits(discriminator, image_embeddings, text_embeddings, training=False)
        return -cross_entropy(*logits, image_label=1.0 - self.label_smoothing)


@keras.saving.register_keras_serializable(package="mite_tf")
class EntropyMaximization(ModalityClassification):
    """Trains the encoders to make the discriminator's answer a coin toss.

    The encoders minimise `log 2 - H`, where H is the mean entropy of the predicted modality: at
    least 0, and 0 when every logit is 0. It asks for indecision, where `FlippedLabels` asks for
    error.

    Arguments are those of `ModalityClassification`. The entropy is flat where the discriminator
    is very sure; the default smoothing keeps it from going there.

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
