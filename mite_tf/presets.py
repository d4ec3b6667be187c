"""Presets of KerasHub: what is one, what its files say, and what is loaded of them."""

from __future__ import annotations

import base64
import io
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.extras import from_extra

# Families of Hugging Face that KerasHub builds in one way, whatever these settings say.
_BUILT_ALIKE = (
    *("albert", "bart", "bert", "deit", "dinov2", "dinov2_with_registers", "distilbert", "gpt2"),
    *("roberta", "swin", "vit", "xlm-roberta"),
)
# Architectures of timm that come out as other networks.
_WRONG_OF_TIMM = ("efficientnet_e", "efficientnetv2_rw")
_ACTIVATIONS = ("hidden_act", "activation", "activation_function")
_VOCABULARIES = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
_POOLINGS = {
    **dict.fromkeys(("mean", "mean_tokens", "mean_sqrt_len_tokens"), "mean"),  # of one direction
    **dict.fromkeys(("cls", "cls_token"), "cls"),
}
_FRONT_MATTER = re.compile(r"\A---\n(.*?)^---$", re.DOTALL | re.MULTILINE)


def is_preset(name: str) -> bool:
    """Returns whether a name is one for KerasHub: a handle, a folder of a network, or a preset.

    Example:
        >>> is_preset("hf://google/vit-base-patch16-224"), is_preset("MobileNetV2")
        (True, False)
    """
    if "://" in name or (Path(name) / "config.json").is_file():
        return True
    if not re.fullmatch(r"[a-z]\w+", name) or find_spec("keras_hub") is None:
        return False
    import keras_hub

    return name in keras_hub.models.Backbone.presets


@contextmanager
def loading_preset(preset: str, kind: str = "a text network") -> Iterator[Any]:
    """Gives KerasHub to load a pretrained network with, and says why it cannot be loaded.

    Args:
        preset: What is loaded: a preset, a handle or a folder.
        kind: What it is to be, with its article.

    Raises:
        MissingPackage: If KerasHub is not installed.
        MiteError: If the block raises anything; one of its own stays as it is.

    Example:
        >>> with loading_preset("minilm"):
        ...     raise ValueError("Unknown preset")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: minilm: KerasHub cannot load this as a text network: ...
    """
    with from_extra("hub", f"The pretrained network {preset!r}"):
        import keras_hub
        import safetensors  # noqa: F401  (KerasHub reads folders of Hugging Face by it)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            # KerasHub leaves it to Python to close vocabularies, and prints the layers of some.
            warnings.simplefilter("ignore", ResourceWarning)
            yield keras_hub
    except MiteError:
        raise
    except Exception as error:  # of KerasHub, hubs, networks of computers: no class in common
        told = next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
        raise MiteError(
            f"{preset}: KerasHub cannot load this as {kind}: {told[:200].rstrip('.:')}. A "
            "preset of KerasHub or a handle such as hf://OWNER/NAME is fetched, which needs the "
            "internet; a folder needs config.json, weights and, for texts, vocabulary."
        ) from error


def file_of_preset(preset: str, name: str) -> Path | None:
    """Returns a file of a preset, fetched where the preset is no folder; None if it has none.

    Example:
        >>> file_of_preset(".", "nothing.json")
    """
    if Path(preset).is_dir():
        file = Path(preset) / name
        return file if file.is_file() else None
    from keras_hub.src.utils import preset_utils  # there is no public way to a single file

    if not preset_utils.check_file_exists(preset, name):
        return None
    return Path(preset_utils.get_file(preset, name))


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
            names = set(known.keys())
            key = str(super().get_prefixed_key(name, known))
            _, _, of_no_family = name.partition(".")
            if key not in names and of_no_family in names:
                return of_no_family
            if key not in names and ".".join(name.split(".")[-3:-1]) == "pooler.dense":
                # Of the same shape, for KerasHub wants one.
                name = name.replace("pooler", "encoder.layer.0.attention.output")
                return str(super().get_prefixed_key(name, known))
            return key

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
        lower_case = settings_of(preset, "tokenizer_config.json").get("do_lower_case", False)
        lower_case = normalizer.get("lowercase", lower_case)
        return kind(sorted(entries, key=entries.get), lowercase=lower_case)
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


def settings_of(preset: str, name: str) -> dict[str, Any]:
    """Returns what a JSON file of a folder or a handle of Hugging Face says; nothing without it.

    Example:
        >>> settings_of(".", "tokenizer_config.json")
        {}
    """
    if not (Path(preset).is_dir() or preset.startswith("hf://")):
        return {}
    file = file_of_preset(preset, name)
    return dict(json.loads(file.read_text("utf-8"))) if file else {}


def pooling_of(preset: str) -> str:
    """Returns how a sentence encoder pools its tokens, by `1_Pooling/config.json`; empty without.

    Raises:
        MiteError: If it pools in a way that is neither `mean` nor `cls`.

    Example:
        >>> pooling_of(".")
        ''
    """
    said = settings_of(preset, "1_Pooling/config.json")
    modes = said.get("pooling_mode")  # older files have a switch for each
    if modes is None:
        switched = [name for name, on in said.items() if on is True]
        modes = [each[13:] for each in switched if each.startswith("pooling_mode_")]
    names = [modes] if isinstance(modes, str) else [str(each) for each in modes]
    if not names:
        return ""
    if len(names) > 1 or names[0] not in _POOLINGS:
        raise MiteError(
            f"{preset}: its 1_Pooling/config.json says {' and '.join(names)}, which is neither the "
            "mean of the tokens nor the first. Set text_backbone.pooling to mean, cls or "
            "generalized."
        )
    return _POOLINGS[names[0]]


def licence_of(preset: str) -> str:
    r"""Returns the licence that the front matter of a preset's `README.md` names; empty if none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "README.md").write_text("---\nlicense: mit\n---\nA network.")
        ...     licence_of(folder)
        'mit'
    """
    page = file_of_preset(preset, "README.md")
    front = page and _FRONT_MATTER.search(page.read_text("utf-8", errors="replace"))
    said = dict(re.findall(r"^(license(?:_name)?):\s*(\S.*?)\s*$", front[1], re.M)) if front else {}
    return str(said.get("license_name") or said.get("license", "")).strip("'\"")[:100]
