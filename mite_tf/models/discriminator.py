"""The modality classification network, which tells images from sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras


def modality_discriminator(
    embedding_size: int,
    *,
    hidden_sizes: Sequence[int] = (256, 256),
    input_dropout: float = 0.1,
    noise: float = 0.0,
    name: str = "discriminator",
) -> keras.Model:
    """Builds the modality discriminator.

    Dense layers with LeakyReLU 0.2, dropout on the input and no batch normalisation, as in
    MUSE (gh:facebookresearch/MUSE). The coordinates of a unit vector of size D are about
    1/sqrt(D); the first layer scales them back to about 1, where initialisers expect inputs.

    Args:
        embedding_size: Size D of the embeddings.
        hidden_sizes: Width of each hidden layer.
        input_dropout: Share of input coordinates dropped while the discriminator trains.
        noise: Standard deviation of Gaussian noise on the scaled inputs while it trains.
        name: Name of the model.

    Returns:
        Functional model from embeddings `[N, D]` to logits `[N, 1]`, positive for an image.

    Example:
        >>> modality_discriminator(512).output_shape
        (None, 1)
    """
    embedding = keras.Input((embedding_size,), name="embedding")
    x = keras.layers.Rescaling(math.sqrt(embedding_size), name="scale")(embedding)
    x = keras.layers.GaussianNoise(noise, name="noise")(x)
    x = keras.layers.Dropout(input_dropout, name="input_dropout")(x)
    for number, size in enumerate(hidden_sizes):
        x = keras.layers.Dense(size, name=f"hidden_{number}")(x)
        x = keras.layers.LeakyReLU(negative_slope=0.2, name=f"relu_{number}")(x)
    logit = keras.layers.Dense(1, name="is_image", dtype="float32")(x)
    return keras.Model(embedding, logit, name=name)
