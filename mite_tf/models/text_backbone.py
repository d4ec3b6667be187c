"""Pretrained text networks of KerasHub: token ids to features."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mite_tf.errors import MiteError
from mite_tf.models.pooling import pooling_layer
from mite_tf.preset_loading import load_network, load_tokenizer
from mite_tf.presets import licence_of, loading_preset, pooling_of

POOLINGS = ("mean", "cls", "generalized")
_INPUTS = ("token_ids", "padding_mask", "segment_ids")
_TOWERS = {"images", "token_ids"}  # of a network of pictures and texts


@keras.saving.register_keras_serializable(package="mite_tf")
class TextBackbone(keras.Model):
    """Functional model from the token ids of a text to one vector, by a network of KerasHub.

    It always runs in inference mode, without dropout.

    Args:
        network: A `keras_hub.models.Backbone` that takes `token_ids` and `padding_mask`, such as
            a `BertBackbone`; or a model from `token_ids` alone to one vector, as a text tower is.
        pooling: How the vectors of the tokens become one, as the network was trained: their
            `mean`, or that of the first token, `cls`; `cls` where the network makes one itself.
            Or `generalized`, see `GeneralizedPooling`: the mean until it has learned.
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
        pools = len(getattr(network.output, "shape", ())) == 2
        needed = {"token_ids"} if pools else {"token_ids", "padding_mask"}
        if not needed <= takes <= {*_INPUTS}:
            raise ValueError(
                "A text backbone takes token_ids and padding_mask. Received: "
                f"network={type(network).__name__}, which takes {sorted(takes) or 'one tensor'}"
            )
        if pools and pooling != "cls":
            raise ValueError(
                "A network that makes one vector of its tokens has the pooling 'cls'. Received: "
                f"pooling={pooling!r}"
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
        if pools:
            features = vectors
        elif pooling == "cls":
            features = vectors[:, 0]
        else:
            kind = "average" if pooling == "mean" else pooling
            features = pooling_layer(kind, name="pooling")(vectors, mask=counts)
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
        learned = list(keras.Model(self.network.input, vectors).trainable_variables)
        if self.pooling == "generalized":
            learned += self.get_layer("pooling").trainable_variables
        return learned

    @property
    def vocabulary_size(self) -> int:
        """How many token ids it knows: those of the network, and that of padding beside them."""
        known = self._said("vocabulary_size") or self._said("input_dim")
        return int(known) + (self.padding is not None)

    @property
    def max_length(self) -> int | None:
        """How many tokens of a text the network takes; None for any number."""
        return self._said("max_sequence_length")

    def _said(self, name: str) -> Any:
        """What the network, or else the first of its layers that does, says of itself."""
        layers = self.network._flatten_layers()
        return next((getattr(each, name) for each in layers if hasattr(each, name)), None)

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


def load_text_backbone(preset: str, pooling: str | None = None) -> TextBackbone:
    """Loads a pretrained text network by KerasHub, or the text tower of CLIP or SigLIP.

    Args:
        preset: A preset of KerasHub, a handle (`hf://…`, `kaggle://…`), or a folder: of KerasHub,
            or of Hugging Face with `config.json` and `model.safetensors`.
        pooling: As for `TextBackbone`. By default as it was trained: what `1_Pooling/config.json`
            of a sentence encoder says, else `mean`; and `cls` of a text tower, whose own pooling
            and projection make what pictures are compared with.

    Raises:
        MiteError: If there is no such network, it cannot be fetched, is not one of texts, has
            another pooling, or would compute something else in KerasHub, see `load_network`.

    Example:
        >>> load_text_backbone("minilm-of-the-moon")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: minilm-of-the-moon: KerasHub cannot load this as a text ...
    """
    with loading_preset(preset) as keras_hub:
        network = load_network(preset)
        tokenizer = load_tokenizer(preset)
        of_wordpiece = isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer)
        padding = None if of_wordpiece else int(tokenizer.pad_token_id)
        has_towers = hasattr(network, "get_text_embeddings") and {*network.input} == _TOWERS
        if has_towers:
            network = _text_tower(network, padding or 0)
    if has_towers and pooling not in (None, "cls"):
        raise MiteError(
            f"{preset}: its text tower makes one vector of its tokens itself, which pictures are "
            "compared with. Leave text_backbone.pooling empty."
        )
    with loading_preset(preset):
        pooling = pooling or ("cls" if has_towers else pooling_of(preset) or "mean")
        return TextBackbone(network, pooling, licence_of(preset), padding)


def _text_tower(network: Any, padding: int) -> keras.Model:
    """The tower of a network that takes texts, with its pooling and projection."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    tokens, length = token_ids, network.text_encoder.max_sequence_length
    if len(network.text_encoder.output.shape) == 2:  # SigLIP takes the last of always as many
        tokens = ops.pad(tokens, ((0, 0), (0, length)), constant_values=padding)[:, :length]
    return keras.Model({"token_ids": token_ids}, network.get_text_embeddings(tokens))
