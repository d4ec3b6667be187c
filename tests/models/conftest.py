import keras
import numpy as np
import pytest

from mite_tf.losses import BidirectionalTriplet, FlippedLabels
from mite_tf.models import (
    MITE,
    ImageEncoder,
    bag_of_words_encoder,
    image_head,
    modality_discriminator,
    small_cnn,
)

WORDS, SIZE, FEATURES = 60, 16, 12


@pytest.fixture(scope="session")
def make_mite():
    """Builds the same small model at every call; from pixels, or from feature vectors."""

    def make(*, pixels=False, dropout=0.0, adversarial=None, matching=None, input_dropout=0.0):
        keras.utils.set_random_seed(7)
        backbone = small_cnn(image_size=32, width=8) if pixels else None
        shape = backbone.output_shape[1:] if pixels else (FEATURES,)
        mite = MITE(
            ImageEncoder(
                backbone,
                image_head(shape, embedding_size=SIZE, hidden_size=8, dropout=dropout),
            ),
            bag_of_words_encoder(
                WORDS, word_size=10, embedding_size=SIZE, hidden_size=8, dropout=dropout
            ),
            modality_discriminator(SIZE, hidden_sizes=(8,), input_dropout=input_dropout),
        )
        mite.compile(
            keras.optimizers.AdamW(1e-2),
            loss=matching or BidirectionalTriplet(),
            adversarial_loss=adversarial or FlippedLabels(),
        )
        return mite

    return make


@pytest.fixture(scope="session")
def make_batch():
    def make(images=6, captions_per_image=1, pixels=False, seed=0):
        random = np.random.default_rng(seed)
        ids = np.arange(images) * 10
        captions = images * captions_per_image
        shape = (images, 32, 32, 3) if pixels else (images, FEATURES)
        return {
            "pixels" if pixels else "features": random.uniform(
                0, 255 if pixels else 1, shape
            ).astype("float32"),
            "image_id": ids,
            "token_ids": random.integers(1, WORDS, (captions, 7)).astype("int32"),
            "caption_image_id": np.repeat(ids, captions_per_image),
        }

    return make
