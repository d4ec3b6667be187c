"""Dotted keys of a configuration: replacing values by them, and what they were called before."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from mite_tf.errors import MiteError

# Keys of an earlier form. A section stands for all keys in it.
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


def parse_overrides(assignments: Sequence[str]) -> dict[str, str]:
    """Turns `["a.b=1", ...]`, as given on the command line, into `{"a.b": "1"}`.

    Raises:
        MiteError: If one of them holds no `=`.
    """
    pairs = [assignment.partition("=") for assignment in assignments]
    for (key, equals, _), assignment in zip(pairs, assignments, strict=True):
        if not equals or not key.strip():
            raise MiteError(
                f"--set {assignment}: expected KEY=VALUE, such as embedding.size=256 "
                "or stages.align.epochs=5."
            )
    return {key.strip(): value.strip() for key, _, value in pairs}


def override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Replaces one value of a configuration, read from TOML, by its dotted key.

    Args:
        values: The configuration; changed in place.
        dotted: The key. A stage is addressed by its name.
        value: The value; a string is read as a TOML value where it is one.

    Raises:
        MiteError: If the key is of an earlier form or leads nowhere.

    Example:
        >>> values = {"stages": [{"name": "align", "epochs": 8}]}
        >>> override(values, "stages.align.epochs", "5")
        >>> values
        {'stages': [{'name': 'align', 'epochs': 5}]}
    """
    if now := _renamed(dotted):
        raise MiteError(f"{dotted}: this key is now {now}.")
    *parents, last = dotted.split(".")
    table: Any = values
    for parent in parents:
        if isinstance(table, list):
            named = [item for item in table if item.get("name") == parent]
            if not named:
                names = ", ".join(str(item.get("name")) for item in table)
                raise MiteError(f"{dotted}: no stage is called {parent!r}; there are {names}.")
            table = named[0]
        elif isinstance(table, dict):
            table = table.setdefault(parent, {})
        if not isinstance(table, (dict, list)):
            raise MiteError(f"{dotted}: {parent!r} is a value and holds no further keys.")
    if isinstance(table, list):
        raise MiteError(f"{dotted}: name a key of the stage, such as {dotted}.epochs.")
    table[last] = _parsed(value) if isinstance(value, str) else value


def refuse_old_keys(source: object, values: dict[str, Any]) -> None:
    """Refuses a configuration of an earlier form, naming its keys of today.

    Raises:
        MiteError: If it holds a key that has another name now.
    """
    renamed = {key: now for key in _dotted(values) if (now := _renamed(key))}
    if renamed:
        lines = "".join(f"\n  {key} is now {now}" for key, now in renamed.items())
        raise MiteError(f"{source}: the configuration uses old keys; rename them:{lines}")


def _renamed(key: str) -> str | None:
    """What a key of an earlier form is called now; None for any other key."""
    if re.fullmatch(r"stages\..+\.(backbone_rate|final_rate)", key):
        return f"{key}_factor"
    for old, now in _RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return now + key.removeprefix(old)
    return None


def _dotted(values: dict[str, Any]) -> Iterator[str]:
    for section, keys in values.items():
        tables = {section: keys}
        if isinstance(keys, list):
            tables = {f"{section}.{stage.get('name')}": stage for stage in keys}
        for name, table in tables.items():
            yield from (f"{name}.{key}" for key in table) if isinstance(table, dict) else ()


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word or path: not quoted on the command line
