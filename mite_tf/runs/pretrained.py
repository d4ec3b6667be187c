"""The pretrained networks of a run: loaded by KerasHub, and kept in the run for later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from mite_tf.encoders import TOKENIZERS
from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.models import TextBackbone, load_text_backbone
from mite_tf.models.backbone_files import open_model
from mite_tf.presets import is_preset
from mite_tf.reading import read_object, reading
from mite_tf.registration import register_layers_in
from mite_tf.runs.build import configured_backbone
from mite_tf.runs.config import Config, TokenizerConfig
from mite_tf.text import TextTokenizer, load_text_tokenizer

_FOLDER, _MODEL, _TOKENIZER = "text_backbone", "backbone.keras", "tokenizer.json"
_IMAGE = "image_backbone.keras"
_BRING_BACK = "Bring it back from a copy, or train anew in another folder."


class PretrainedText(NamedTuple):
    """A text backbone and the tokenizer that it was trained with."""

    backbone: TextBackbone
    tokenizer: TextTokenizer

    def save(self, run: str | Path) -> None:
        """Writes both into the folder of a run, which needs the preset no more."""
        folder = Path(run) / _FOLDER
        folder.mkdir()
        self.backbone.save(folder / _MODEL)
        settings = {"kind": self.tokenizer.kind, **self.tokenizer.get_config()}
        write_text(folder / _TOKENIZER, json.dumps(settings))

    def arguments(self, captions: Sequence[str], settings: TokenizerConfig) -> dict[str, Any]:
        """Returns what `build_model` takes: the backbone, and the words that captions have.

        These are token ids, the most frequent first, each as often as `settings.minimum_count`
        says and no more of them than `settings.vocabulary_size`.
        """
        ids, nothing = (self.tokenizer.table(each).ids.ravel() for each in (captions, [""]))
        counts = np.bincount(ids, minlength=len(self.tokenizer.vocabulary))
        counts[[0, *nothing]] = 0  # padding and both ends
        frequent = np.argsort(-counts, kind="stable")[: settings.vocabulary_size]
        words = frequent[counts[frequent] >= settings.minimum_count]
        return {"text_backbone": self.backbone, "words": words.tolist()}


class Pretrained(NamedTuple):
    """What a run is built on of KerasHub; None for what is of elsewhere."""

    image: keras.Model | None
    text: PretrainedText | None

    def save(self, run: str | Path) -> None:
        """Writes all of it into the folder of a run, which needs no preset any more."""
        if self.image is not None:
            self.image.save(Path(run) / _IMAGE)
        if self.text is not None:
            self.text.save(run)

    def arguments(self, captions: Sequence[str], settings: TokenizerConfig) -> dict[str, Any]:
        """Returns what `build_model` takes of it."""
        of_text = self.text.arguments(captions, settings) if self.text else {}
        return {"image_backbone": self.image, **of_text}


def pretrained(config: Config, *runs: Path) -> Pretrained:
    """Returns what a configuration names of KerasHub, for images and for texts.

    Args:
        config: The configuration.
        *runs: Folders of runs that may hold it already: the first that does is taken.

    Raises:
        MiteError: If it cannot be loaded, or the configuration does not fit it.
    """
    image = None
    for file in (run / _IMAGE for run in runs):
        if file.is_file():
            image = open_model(file)
            break
    else:
        if config.backbone.name != "features" and is_preset(config.backbone.name):
            image = configured_backbone(config)
    return Pretrained(image, pretrained_text(config, *runs))


def check_text_backbone(config: Config) -> None:
    """Refuses a configuration that names no text backbone where one is needed, or one for nothing.

    Example:
        >>> check_text_backbone(Config(text_encoder={"name": "hub"}, stages=()))
        Traceback (most recent call last):
        mite_tf.errors.MiteError: text_encoder.name is 'hub', so name the network in ...
    """
    preset, kind = config.text_backbone.name, config.text_encoder.get("name")
    if kind == "hub" and not preset:
        raise MiteError(
            "text_encoder.name is 'hub', so name the network in text_backbone.name: a preset of "
            "KerasHub, a handle such as hf://sentence-transformers/all-MiniLM-L6-v2, or a folder."
        )
    if preset and kind != "hub":
        raise MiteError(
            f"text_backbone.name is {preset!r}, but text_encoder.name is {kind!r}, which has no "
            "backbone. Set text_encoder.name to hub."
        )
    learns = next((each.name for each in config.stages if each.text_backbone_share), None)
    if learns and not preset:
        raise MiteError(
            f"stages.{learns}.text_backbone_share is above 0, but there is no text backbone. Name "
            "one in text_backbone.name and set text_encoder.name to hub."
        )
    if preset and config.text_backbone.pooling == "generalized" and not config.learns_texts:
        raise MiteError(
            "text_backbone.pooling is 'generalized', which is learned, but no stage trains it. Set "
            "text_backbone_share above 0 in a stage, or leave text_backbone.pooling empty."
        )


def pretrained_text(config: Config, *runs: Path) -> PretrainedText | None:
    """Returns what the text encoder `hub` is built on; None for the others.

    Args:
        config: The configuration.
        *runs: Folders of runs that may hold it already: the first that does is taken.

    Raises:
        MiteError: If it cannot be loaded, or the configuration does not fit it.
    """
    preset = config.text_backbone.name
    if not preset:
        return None
    for folder in (run / _FOLDER for run in runs):
        if folder.is_dir():
            return _load(folder)
    backbone = load_text_backbone(preset, config.text_backbone.pooling or None)
    length, most = config.tokenizer.max_length, backbone.max_length
    if most is not None and length > most:
        raise MiteError(
            f"tokenizer.max_length is {length}, and {preset} takes {most} tokens. Lower it."
        )
    tokenizer = load_text_tokenizer(preset, length, size=backbone.vocabulary_size)
    if len(tokenizer.vocabulary) != backbone.vocabulary_size:
        beside = backbone.padding is not None  # padding
        raise MiteError(
            f"{preset}: its tokenizer has {len(tokenizer.vocabulary) - beside} entries, and the "
            f"network knows {backbone.vocabulary_size - beside}. Name a folder where both are of "
            "one network."
        )
    return PretrainedText(backbone, tokenizer)


def _load(folder: Path) -> PretrainedText:
    register_layers_in(folder / _MODEL)
    settings = read_object(folder / _TOKENIZER, "the tokenizer of a run", _BRING_BACK)
    with reading(folder / _MODEL, "the text backbone of a run", _BRING_BACK):
        backbone = keras.saving.load_model(folder / _MODEL, compile=False)
        if not isinstance(backbone, TextBackbone):
            raise ValueError(f"{_MODEL} holds a {type(backbone).__name__}")
        # Runs of before there were others do not name it.
        kind = TOKENIZERS[settings.pop("kind", "bert")]
        return PretrainedText(backbone, kind.from_config(settings))
