"""Pretrained text networks of KerasHub: token ids to features."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mite_tf.extras import loading_preset
from mite_tf.models.pooling import AveragePooling
from mite_tf.models.presets import licence_of

POOLINGS = ("mean", "cls")
_INPUTS = ("token_ids", "padding_mask", "segment_ids")


@keras.saving.register_keras_serializable(package="mite_tf")
class TextBackbone(keras.Model):
    """Functional model from the token ids of a text to one vector, by a network of KerasHub.

    It always runs in inference mode, without dropout.

    Args:
        network: A `keras_hub.models.Backbone` that takes `token_ids` and `padding_mask`, such as
            a `BertBackbone`.
        pooling: How the vectors of the tokens become one, as the network was trained: their
            `mean`, or that of the first token, `cls`.
        licence: That of its weights, where it is known.
        padding: Token of the network that padding is, where that is not 0 alone: the inputs are
            then its tokens plus 1. None where the inputs are its tokens, and 0 is padding.
        name: Name of the model.

    Call arguments:
        inputs: int32 tensor `[N, L]`, padded with 0.

    Returns:
        float32 tensor `[N, C]`.

    Raises:
        ValueError: If the network or the pooling is another.

    Example:
        >>> ids, mask = (keras.Input((None,), dtype="int32", name=name)
        ...              for name in ("token_ids", "padding_mask"))
        >>> vectors = keras.layers.Embedding(30, 8)(ids)
        >>> network = keras.Model({"token_ids": ids, "padding_mask": mask}, vectors)
        >>> TextBackbone(network)(ops.convert_to_tensor([[2, 9, 3, 0]])).shape
        TensorShape([1, 8])
    """

    def __init__(
        self,
        network: keras.Model,
        pooling: str = "mean",
        licence: str = "",
        padding: int | None = None,
        *,
        name: str = "backbone",
        **kwargs: Any,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` is one of {POOLINGS}. Received: pooling={pooling!r}")
        takes = set(network.input) if isinstance(network.input, dict) else set()
        if not {"token_ids", "padding_mask"} <= takes <= {*_INPUTS}:
            raise ValueError(
                "A text backbone takes token_ids and padding_mask. Received: "
                f"network={type(network).__name__}, which takes {sorted(takes) or 'one tensor'}"
            )
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        counts = ops.not_equal(token_ids, 0)
        tokens = token_ids if padding is None else ops.where(counts, token_ids - 1, padding)
        inputs = {
            "token_ids": tokens,
            "padding_mask": ops.cast(counts, "int32"),
            "segment_ids": ops.zeros_like(token_ids),
        }
        outputs = network({name: inputs[name] for name in takes})
        vectors = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
        if pooling == "cls":
            features = vectors[:, 0]
        else:
            features = AveragePooling(name="pooling")(vectors, mask=counts)
        super().__init__(token_ids, features, name=name, **kwargs)
        self.network = network
        self.pooling = pooling
        self.licence = licence
        self.padding = padding

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=False, mask=mask)

    @property
    def learned_variables(self) -> list[keras.Variable]:
        """The trainable variables that features depend on: a pooler behind them is none."""
        outputs = self.network.output
        vectors = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
        return list(keras.Model(self.network.input, vectors).trainable_variables)

    @property
    def vocabulary_size(self) -> int:
        """How many token ids it knows: those of the network, and that of padding beside them."""
        return int(self._embedding.input_dim) + (self.padding is not None)

    @property
    def max_length(self) -> int | None:
        """How many tokens of a text the network takes; None for any number."""
        return getattr(self.network, "max_sequence_length", None)

    @property
    def _embedding(self) -> keras.layers.Embedding:
        layers = self.network._flatten_layers(include_self=False)
        return next(layer for layer in layers if isinstance(layer, keras.layers.Embedding))

    def get_config(self) -> dict[str, Any]:
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "pooling": self.pooling,
            "name": self.name,
            "trainable": self.trainable,
            **({"licence": self.licence} if self.licence else {}),
            **({} if self.padding is None else {"padding": self.padding}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextBackbone:
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def load_text_backbone(preset: str, pooling: str = "mean") -> TextBackbone:
    """Loads a pretrained text network by KerasHub.

    Args:
        preset: A preset of KerasHub, a handle (`hf://…`, `kaggle://…`), or a folder: of KerasHub,
            or of Hugging Face with `config.json` and `model.safetensors`.
        pooling: As for `TextBackbone`.

    Raises:
        MiteError: If there is no such network, it cannot be fetched, or is not one of texts.

    Example:
        >>> load_text_backbone("minilm-of-the-moon")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: minilm-of-the-moon: KerasHub cannot load this as a text ...
    """
    with loading_preset(preset) as keras_hub:
        network = keras_hub.models.Backbone.from_preset(preset)
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(preset)
        of_wordpiece = isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer)
        padding = None if of_wordpiece else int(tokenizer.pad_token_id)
        return TextBackbone(network, pooling, licence_of(preset), padding)
