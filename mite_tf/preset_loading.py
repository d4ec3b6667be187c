"""Networks and tokenizers of presets: by KerasHub, and what it does not read or reads wrongly."""

from __future__ import annotations

import base64
import json
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.presets import file_of_preset

# Families of Hugging Face that KerasHub builds in one way, whatever these settings say.
_BUILT_ALIKE = (
    *("albert", "bart", "bert", "deit", "dinov2", "dinov2_with_registers", "distilbert", "gpt2"),
    *("roberta", "swin", "vit", "xlm-roberta"),
)
# Architectures of timm that come out as other networks.
_WRONG_OF_TIMM = ("efficientnet_e", "efficientnetv2_rw")
_ACTIVATIONS = ("hidden_act", "activation", "activation_function")
_VOCABULARIES = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")


def load_network(preset: str, **settings: Any) -> Any:
    """Loads a network by KerasHub, and of Hugging Face what its own loader would not or get wrong.

    That is weights which a model without a head has written, whose names lack that of their family;
    a BERT without a pooler, which is of no use here; and the type that RoBERTa adds to each token.

    Args:
        preset: A preset of KerasHub, a handle, or a folder.
        **settings: Arguments of the network in place of those in the preset.

    Returns:
        A `keras_hub.models.Backbone`.

    Raises:
        MiteError: If `config.json` of Hugging Face asks for what KerasHub does not look at: an
            activation other than GELU, positions that are relative, or tokens that see only those
            before them; or names an architecture of timm that KerasHub makes another of.
        Exception: Of KerasHub, if there is no such network, or it cannot be fetched.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     said = {"model_type": "bert", "hidden_act": "relu"}
        ...     _ = (Path(folder) / "config.json").write_text(json.dumps(said))
        ...     load_network(folder)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: ...: its config.json says hidden_act = "relu", ...
    """
    import keras_hub

    loader, of_transformers = _loader(preset)
    _check(preset, loader.config)
    if not of_transformers:
        return keras_hub.models.Backbone.from_preset(preset, **settings)
    network = keras_hub.models.Backbone.from_preset(preset, load_weights=False, **settings)
    with _tensors(preset) as tensors:
        loader.converter.convert_weights(network, tensors, loader.config)
    return network


def _loader(preset: str) -> tuple[Any, bool]:
    """What reads a preset, and whether that is in the format of Transformers."""
    from keras_hub.src.utils.preset_utils import get_preset_loader
    from keras_hub.src.utils.transformers.preset_loader import TransformersPresetLoader

    loader = get_preset_loader(preset)
    return loader, isinstance(loader, TransformersPresetLoader)


def _check(preset: str, said: dict[str, Any]) -> None:
    if str(said.get("architecture", "")).startswith(_WRONG_OF_TIMM):
        raise MiteError(
            f"{preset}: KerasHub makes another network of {said['architecture']} than timm. Name "
            "another network."
        )
    if said.get("model_type") not in _BUILT_ALIKE:
        return
    wrong = [each for each in _ACTIVATIONS if not str(said.get(each, "gelu")).startswith("gelu")]
    if said.get("position_embedding_type", "absolute") != "absolute":
        wrong.append("position_embedding_type")
    if said.get("is_decoder"):
        wrong.append("is_decoder")
    if wrong:
        [name, *_] = wrong
        raise MiteError(
            f"{preset}: its config.json says {name} = {json.dumps(said[name])}, which KerasHub "
            "does not look at: the network would compute something else. Name another network."
        )


def _tensors(preset: str) -> Any:
    """The weights of Hugging Face by the names that KerasHub asks for."""
    from keras_hub.src.utils.transformers.safetensor_utils import SafetensorLoader

    class Tensors(SafetensorLoader):
        def get_prefixed_key(self, name: str, known: Any) -> str:
            names, key = set(known.keys()), str(super().get_prefixed_key(name, known))
            if key in names:
                return key
            if name.startswith("pooler.dense."):  # KerasHub wants one: any of its shape
                name = name.replace("pooler", "encoder.layer.0.attention.output")
                return str(super().get_prefixed_key(name, known))
            _, _, of_no_family = name.partition(".")
            return of_no_family if of_no_family in names else key

        def get_tensor(self, name: str) -> Any:
            tensor = super().get_tensor(name)
            if name == "roberta.embeddings.position_embeddings.weight":
                types = self.get_tensor("roberta.embeddings.token_type_embeddings.weight")
                tensor = tensor + types[0]
            return tensor

    return Tensors(preset)


def load_tokenizer(preset: str) -> Any:
    """Loads a tokenizer by KerasHub, or makes it of the `tokenizer.json` of Hugging Face.

    That file is all that Transformers writes since its version 5; KerasHub wants older ones.

    Args:
        preset: A preset of KerasHub, a handle, or a folder.

    Returns:
        A `keras_hub.tokenizers.Tokenizer`.

    Raises:
        Exception: Of KerasHub, if there is none, or it cannot be fetched.

    Example:
        >>> load_tokenizer("nowhere")
        Traceback (most recent call last):
        ValueError: Unknown preset identifier...
    """
    import keras_hub

    kinds, (loader, of_transformers) = keras_hub.tokenizers, _loader(preset)
    file = file_of_preset(preset, "tokenizer.json") if of_transformers else None
    if not file or any(file_of_preset(preset, each) for each in _VOCABULARIES):
        return kinds.Tokenizer.from_preset(preset)
    said = json.loads(file.read_text("utf-8"))
    model, normalizer = said["model"], said.get("normalizer") or {}
    if model["type"] == "Unigram":
        return kinds.XLMRobertaTokenizer(_sentence_pieces(model["vocab"], normalizer))
    kind = getattr(kinds, loader.check_backbone_class().__name__.replace("Backbone", "Tokenizer"))
    entries = model["vocab"] | {
        each["content"]: each["id"] for each in said.get("added_tokens", ())
    }
    if model["type"] == "WordPiece":
        return kind(sorted(entries, key=entries.get), lowercase=normalizer["lowercase"])
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    return kind(entries, merges)


def _sentence_pieces(entries: list[tuple[str, float]], normalizer: dict[str, Any]) -> bytes:
    """The SentencePiece model of which the tokenizer of an XLM-RoBERTa was made."""
    from sentencepiece import sentencepiece_model_pb2

    names = [name for name, _ in entries]
    if names[:4] != ["<s>", "<pad>", "</s>", "<unk>"] or names[-1] != "<mask>":
        raise ValueError("its tokenizer.json is not in the order of XLM-RoBERTa")
    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    kinds = model.SentencePiece
    for name, kind in (("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)):
        model.pieces.add(piece=name, type=kind)
    for name, score in entries[4:-1]:
        model.pieces.add(piece=name, score=score)
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    for each in (normalizer, *normalizer.get("normalizers", ())):
        if each.get("type") == "Precompiled":
            charsmap = base64.b64decode(each["precompiled_charsmap"])
            model.normalizer_spec.precompiled_charsmap = charsmap
    return bytes(model.SerializeToString())
