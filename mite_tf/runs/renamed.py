"""Keys of a configuration that have another name now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# A section stands for all keys in it.
_RENAMED = {
    "text": "tokenizer",
    "model.embedding_size": "embedding.size",
    "model.standardize": "embedding.standardize",
    "model.backbone": "backbone.name",
    "model.features": "backbone.features",
    "model.weights": "backbone.weights",
    "model.image_size": "backbone.image_size",
    "model.cnn_width": "backbone.width",
    "model.image_pooling": "image_head.pooling",
    "model.image_power": "image_head.power",
    "model.image_hidden_size": "image_head.hidden_size",
    "model.image_dropout": "image_head.dropout",
    "model.text_encoder": "text_encoder.name",
    "model.word_size": "text_encoder.word_size",
    "model.text_pooling": "text_encoder.pooling",
    "model.text_hidden_size": "text_encoder.hidden_size",
    "model.text_dropout": "text_encoder.dropout",
    "model.word_dropout": "text_encoder.word_dropout",
    "discriminator.beta_1": "discriminator_optimizer.beta_1",
    "loss.matching": "loss",
    "loss.adversarial": "adversarial_loss",
    "training.weight_decay": "optimizer.weight_decay",
    "training.clip_norm": "optimizer.clip_norm",
}


def now_called(key: str) -> str | None:
    """Returns what a key of an earlier form is called now; None for any other key.

    Example:
        >>> now_called("text.max_length")
        'tokenizer.max_length'
    """
    if re.fullmatch(r"stages\..+\.(backbone_rate|final_rate)", key):
        return f"{key}_factor"
    for old, now in _RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return now + key.removeprefix(old)
    return None


def dotted_keys(values: dict[str, Any]) -> Iterator[str]:
    """Yields the keys of a configuration, those of a stage by its name.

    Example:
        >>> list(dotted_keys({"stages": [{"name": "align", "epochs": 2}]}))
        ['stages.align.name', 'stages.align.epochs']
    """
    for section, keys in values.items():
        tables = {section: keys}
        if isinstance(keys, list):
            stages = [item for item in keys if isinstance(item, dict)]
            tables = {f"{section}.{stage.get('name')}": stage for stage in stages}
        for name, table in tables.items():
            yield from (f"{name}.{key}" for key in table) if isinstance(table, dict) else ()
