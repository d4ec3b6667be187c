"""What a study compares: a configuration with some of its values replaced, by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.reading import reading
from mite_tf.runs import Config
from mite_tf.training import Stage

_OWN = ("adversary", "weight_factor")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Variant:
    """A name and what it changes in a configuration, and a folder of runs of that name.

    Args:
        name: Name of the variant.
        overrides: Keys and values that replace those of the configuration, as for `load_config`.
        adversary: Whether to leave the adversary in; False for the triplet baseline.
        weight_factor: Factor of all adversarial weights, for a loss of another scale.

    Example:
        >>> from mite_tf.runs import load_config
        >>> variant = Variant("short", {"stages.align.epochs": 1}, adversary=False)
        >>> variant.of(load_config("scenes"), seed=3).training.seed
        3
    """

    name: str
    overrides: dict[str, Any]
    adversary: bool = True
    weight_factor: float = 1.0

    def of(self, config: Config, seed: int) -> Config:
        """Returns the configuration to train for a seed."""
        config = config if self.adversary else config.without_adversary()
        stages = tuple(_weighted(stage, self.weight_factor) for stage in config.stages)
        config = replace(config, stages=stages)
        try:
            config = config.with_overrides(self.overrides)
        except MiteError as error:
            raise MiteError(f"variant {self.name!r}: {error}") from None
        return replace(config, training=replace(config.training, seed=seed))


def load_variants(names: Sequence[str], file: str | Path | None = None) -> list[Variant]:
    """Finds variants by name, in their order, among those of the package and of a file.

    Args:
        names: The names, each once.
        file: TOML file with one table for each variant; these come before those of the package.

    Raises:
        MiteError: If a name is unknown or given twice, or the file cannot be used.

    Example:
        >>> [variant.adversary for variant in load_variants(["baseline", "mite"])]
        [False, True]
    """
    packaged = resources.files("mite_tf.studies").joinpath("variants.toml")
    known = _read("variants.toml", packaged.read_text("utf-8"))
    if file is not None:
        with reading(file, "a readable file of variants"):
            known |= _read(str(file), Path(file).read_text(encoding="utf-8"))
    for name in names:
        if name not in known:
            raise MiteError(
                f"No variant {name!r}; there are {', '.join(known)}. Describe others in a file "
                "for variants_file= (--variants-file)."
            )
    if not names or len(set(names)) < len(names):
        raise MiteError(f"Name each variant once, and one at least. Received: {', '.join(names)}")
    return [known[name] for name in names]


def _weighted(stage: Stage, factor: float) -> Stage:
    weight = stage.adversarial_weight
    if isinstance(weight, list):
        return replace(stage, adversarial_weight=[(epoch, factor * w) for epoch, w in weight])
    return replace(stage, adversarial_weight=factor * weight)


def _read(source: str, text: str) -> dict[str, Variant]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MiteError(f"{source}: not valid TOML: {error}") from error
    for name, table in tables.items():
        if not _NAME.fullmatch(name) or not isinstance(table, dict):
            raise MiteError(
                f"{source}: {name!r}: expected a table for each variant, such as [{name}], with "
                "letters, digits, '.', '_' and '-' in its name."
            )
        own = table.get("adversary", True), table.get("weight_factor", 1.0)
        if not isinstance(own[0], bool) or not isinstance(own[1], (int, float)):
            raise MiteError(
                f"{source}: variant {name!r}: adversary is true or false, weight_factor a number."
            )
        for key in table:
            if "." not in key and key not in (*_OWN, "loss", "adversarial_loss"):
                raise MiteError(
                    f"{source}: variant {name!r}: {key!r} is no key of the configuration. Write "
                    'keys as for overrides= (--set) and in quotes: "training.averaging" = 0.'
                )
    return {
        name: Variant(
            name,
            {key: value for key, value in table.items() if key not in _OWN},
            **{key: table[key] for key in _OWN if key in table},
        )
        for name, table in tables.items()
    }
