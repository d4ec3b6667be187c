"""Whether images and captions are distributed alike in the embedding space."""

from numpy.typing import ArrayLike

from mite_tf.evaluation.gaps import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.probe import probe_accuracy


def measure_invariance(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    probe: bool = True,
    seed: int = 0,
) -> dict[str, float]:
    """Takes every measure of modality invariance: the lower, the more alike the modalities.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`.
        caption_embeddings: Real numbers of shape `[C, D]`.
        caption_image: Integers of shape `[C]`: the row of each caption's image.
        probe: Whether to train the probe, which takes a few seconds.
        seed: Decides every random draw.

    Returns:
        `probe_accuracy` (in [0, 1], 0.5 is chance; absent without the probe), `centroid_gap`
        (in [0, 2]), `relative_modality_gap` (in [0, 1]) and `mmd` (about 0 to 2), each from
        the function of that name.

    Raises:
        MiteError: If fewer than two images have captions (five for the probe), or the
            embeddings cannot be used.

    Example:
        >>> import numpy as np
        >>> measure_invariance(np.eye(4), np.eye(4), np.arange(4), probe=False)["centroid_gap"]
        0.0
    """
    arrays = (image_embeddings, caption_embeddings, caption_image)
    measures = {
        "centroid_gap": centroid_gap(image_embeddings, caption_embeddings),
        "relative_modality_gap": relative_modality_gap(*arrays),
        "mmd": mmd(*arrays, seed=seed),
    }
    if probe:
        measures = {"probe_accuracy": probe_accuracy(*arrays, seed=seed), **measures}
    return measures
