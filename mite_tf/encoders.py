"""The two trained encoders with all they need to take image files and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from mite_tf.data import CaptionedImages
from mite_tf.data.batches import pixel_batches
from mite_tf.data.feature_cache import text_features, text_graph
from mite_tf.data.images import Preprocessing
from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings
from mite_tf.models import MITE, ImageEncoder, TextEncoder
from mite_tf.models.resizing import picture_input
from mite_tf.models.text_encoder import PositionEmbedding
from mite_tf.models.word_average import packing
from mite_tf.reading import read_object, reading
from mite_tf.registration import register_layers_in
from mite_tf.text import (
    BertTokenizer,
    BytePairTokenizer,
    SentencePieceTokenizer,
    TextTokenizer,
    WordPieceTokenizer,
    read_vocabulary,
    write_vocabulary,
)

TOKENIZERS: dict[str, type[TextTokenizer]] = {
    kind.kind: kind
    for kind in (WordPieceTokenizer, BertTokenizer, SentencePieceTokenizer, BytePairTokenizer)
}
Progress = Callable[[int, int], None]
_BRING_BACK = "Bring the folder back from a copy, or train anew."


class Encoders:
    """Image and text encoder of a run, ready for image files and texts.

    Args:
        image_encoder: Functional model from pixels (or features) to `[N, D]`.
        text_encoder: Functional model from token ids to `[N, D]`.
        tokenizer: Texts to token ids.
        preprocessing: Image files to pixels; None when the image encoder starts at features.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        text_encoder: keras.Model,
        tokenizer: TextTokenizer,
        preprocessing: Preprocessing | None,
    ) -> None:
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        head = image_encoder.head
        self._embed_features = _graph(head, tf.TensorSpec((None, *head.input_shape[1:])))
        if isinstance(text_encoder, TextEncoder):
            self._text_features = text_graph(text_encoder.backbone)
            shape = (None, text_encoder.backbone.output_shape[-1])
            self._embed_texts = _graph(
                text_encoder, tf.TensorSpec((None, None), tf.int32), tf.TensorSpec(shape),
                call=text_encoder.embed,
            )  # fmt: skip
        else:
            self._embed_ids = _graph(text_encoder, tf.TensorSpec((None, None), tf.int32))
        if image_encoder.backbone is not None:
            shape = (None, *image_encoder.input_shape[1:])
            self._embed_pixels = _graph(image_encoder, tf.TensorSpec(shape))

    @classmethod
    def of(
        cls,
        model: MITE,
        tokenizer: TextTokenizer,
        *,
        orientation: Literal["exif", "ignored"] = "exif",
    ) -> Encoders:
        """Returns the encoders of a model in training; they share its weights.

        `orientation` says whether images are turned upright, see `Preprocessing`.
        """
        encoder = model.image_encoder
        preprocessing = None
        if encoder.backbone is not None:
            height, width = encoder.input_shape[1:3]
            resize = getattr(picture_input(encoder.backbone), "resize", "bilinear")
            preprocessing = Preprocessing(height, width, resize, orientation=orientation)
        return cls(encoder, model.text_encoder, tokenizer, preprocessing)

    def embed_images(
        self,
        paths: Sequence[str | Path],
        *,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Embeds image files.

        `on_progress` is called with the number of images done and of all, now and then.

        Returns:
            float32 `[N, D]`, unit norm.

        Raises:
            MiteError: If a file cannot be read or decoded, or the encoder takes features.
        """
        if self.preprocessing is None:
            raise MiteError(
                "These encoders were trained on precomputed features and take no image files. "
                "Compute the features as for training and use `embed_features`."
            )
        missing = [str(path) for path in paths if not Path(path).is_file()]
        if missing:
            folder = " It is a folder." if Path(missing[0]).is_dir() else ""
            raise MiteError(f"{missing[0]}: no such image file.{folder}")
        blocks, done = [], 0
        batches = pixel_batches([Path(path) for path in paths], self.preprocessing)
        for batch in batches if len(paths) else ():
            blocks.append(self._embed_pixels(batch).numpy())
            done += len(blocks[-1])
            if on_progress:
                on_progress(done, len(paths))
        return np.concatenate(blocks) if blocks else self._none()

    def embed_features(self, features: np.ndarray) -> np.ndarray:
        """Embeds backbone features `[N, ...]`; returns float32 `[N, D]`."""
        return self._in_blocks(self._embed_features, features, np.float32)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds texts; returns float32 `[N, D]`, unit norm."""
        return self.embed_ids(self.tokenizer.table(texts).ids)

    def embed_ids(self, token_ids: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Embeds token ids `[N, L]`, padded with 0; returns float32 `[N, D]`.

        `features` `[N, C]` are those of a pretrained text backbone where they are known.
        """
        if not isinstance(self.text_encoder, TextEncoder):
            return self._in_blocks(self._embed_ids, token_ids, np.int32)
        ids = np.asarray(token_ids, np.int32)
        if features is None:
            if not len(ids):
                return self._none()
            features = np.concatenate(list(text_features(self._text_features, ids)))
        known = features
        return self._in_blocks(
            lambda rows: self._embed_texts(ids[rows], known[rows].astype(np.float32)),
            np.arange(len(ids)),
            np.int32,
        )

    def _in_blocks(self, network: Any, rows: np.ndarray, dtype: Any) -> np.ndarray:
        blocks = [
            network(np.asarray(rows[i : i + 512], dtype)).numpy() for i in range(0, len(rows), 512)
        ]
        return np.concatenate(blocks) if blocks else self._none()

    def embed(
        self,
        table: CaptionedImages,
        *,
        features: np.ndarray | None = None,
        text_features: np.ndarray | None = None,
        on_progress: Progress | None = None,
    ) -> Embeddings:
        """Embeds all images and captions of a table; features are those of backbones, if known."""
        if features is None:
            images = self.embed_images(table.paths, on_progress=on_progress)
        else:
            images = self.embed_features(features)
        ids = self.tokenizer.table(table.captions).ids
        return Embeddings(images, self.embed_ids(ids, text_features), table.caption_image)

    def _none(self) -> np.ndarray:
        return np.zeros((0, self.text_encoder.output_shape[-1]), np.float32)

    def save(self, folder: str | Path) -> None:
        """Writes both encoders, the vocabulary and the preprocessing into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.image_encoder.save(folder / "image_encoder.keras")
        self.text_encoder.save(folder / "text_encoder.keras")
        write_vocabulary(folder / "vocabulary.txt", self.tokenizer.vocabulary)
        of_text = {"kind": self.tokenizer.kind, **self.tokenizer.settings()}
        of_images = self.preprocessing and self.preprocessing.to_dict()
        settings = {"tokenizer": of_text, "preprocessing": of_images}
        (folder / "encoders.json").write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Encoders:
        """Reads what `save` wrote.

        Raises:
            MiteError: If the folder holds no encoders, or they cannot be read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise MiteError(f"{folder}: holds no readable encoders: it is no folder.")
        file, what = folder / "encoders.json", "the settings of encoders"
        settings = read_object(file, what, _BRING_BACK)
        with reading(file, what, _BRING_BACK):
            of_text = dict(settings["tokenizer"])
            kind = TOKENIZERS[of_text.pop("kind", "wordpiece")]
            _check_of_text(of_text, kind)
        image = _load_model(folder / "image_encoder.keras", ImageEncoder)
        text = _load_model(folder / "text_encoder.keras", keras.Model)
        vocabulary = read_vocabulary(folder / "vocabulary.txt", kind.first)
        with reading(file, what, _BRING_BACK):
            tokenizer = kind.from_config({"vocabulary": vocabulary, **of_text})
            preprocessing = _of_images(settings["preprocessing"], image)
        with reading(folder / "text_encoder.keras", "the text encoder of its folder", _BRING_BACK):
            _check_text_encoder(text, image, tokenizer)
        return cls(image, text, tokenizer, preprocessing)


def _load_model(path: Path, kind: type[keras.Model]) -> Any:
    register_layers_in(path)
    with reading(path, "a readable encoder", _BRING_BACK):
        model = keras.saving.load_model(path, compile=False)
        if not isinstance(model, kind) or (kind is keras.Model and isinstance(model, ImageEncoder)):
            raise ValueError(f"it holds a {type(model).__name__}")
    return model


def _check_of_text(settings: dict[str, Any], kind: type[TextTokenizer]) -> None:
    """Checks the settings of a tokenizer."""
    flags = [settings.get("strip_accents", True)]
    if issubclass(kind, WordPieceTokenizer):
        flags.append(settings["lower_case"])
    length = settings["max_length"]
    if type(length) is not int or not all(isinstance(each, bool) for each in flags):
        raise ValueError(f"its tokenizer is {str(settings)[:200]}")


def _of_images(values: dict[str, Any] | None, encoder: ImageEncoder) -> Preprocessing | None:
    """Checks a preprocessing, which has to give what the encoder takes."""
    if (values is None) != (encoder.backbone is None):
        raise ValueError("its preprocessing does not fit the image encoder")
    if values is None:
        return None
    given = TypeAdapter(Preprocessing).validate_python(
        Preprocessing.from_dict(values).to_dict(), strict=False
    )
    if (given.height, given.width) != tuple(encoder.input_shape[1:3]):
        raise ValueError(
            f"its images are {given.height} x {given.width}, those of the image encoder "
            f"{' x '.join(map(str, encoder.input_shape[1:3]))}"
        )
    tf.image.resize(tf.zeros((1, 1, 3)), (1, 1), method=given.resize)  # raises if there is none
    if not all(map(math.isfinite, given.value_range)):
        raise ValueError(f"its value_range is {given.value_range}")
    return given


def _check_text_encoder(text: keras.Model, image: ImageEncoder, tokenizer: TextTokenizer) -> None:
    """Refuses a text encoder that is not the image encoder's, or not the vocabulary's."""
    sizes = [model.output_shape[-1] for model in (image, text)]
    if sizes[0] != sizes[1] or len(text.inputs) != 1:
        raise ValueError(f"the image encoder gives {sizes[0]} numbers, and it {sizes[1]}")
    if isinstance(text, TextEncoder) != (tokenizer.kind != "wordpiece"):
        raise ValueError("it is not the kind that the tokenizer in encoders.json is for")
    if isinstance(text, TextEncoder):
        known = {text.backbone.vocabulary_size}
    else:
        embeddings = [each for each in text.layers if isinstance(each, keras.layers.Embedding)]
        known = {each.input_dim for each in embeddings}
    if known - {len(tokenizer.vocabulary)}:
        raise ValueError(
            f"it knows {max(known)} words, and vocabulary.txt holds {len(tokenizer.vocabulary)}"
        )
    for layer in text.layers:
        if isinstance(layer, PositionEmbedding) and layer.max_length < tokenizer.max_length:
            raise ValueError(
                f"it takes {layer.max_length} words, and max_length is {tokenizer.max_length}"
            )


def _graph(model: keras.Model, *specifications: tf.TensorSpec, call: Any = None) -> Any:
    """The same numbers to the bit from a model that was compiled and from its file."""

    def embed(*inputs: tf.Tensor) -> tf.Tensor:
        with packing(model, True):
            return (call or model)(*inputs, training=False)

    return tf.function(embed, input_signature=specifications)
