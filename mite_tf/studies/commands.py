"""The commands that reproduce what a study found."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mite_tf.runs import Config, load_config

Option = str | Path | bool | None


@dataclass(frozen=True)
class Commands:
    """Command lines for the parts of a study.

    `source` is what `--config` names, `base` the configuration that the variants change. `reading`
    and `studying` are options by name, for the data and for `mite study` besides; None and False
    leave one out.
    """

    data: str
    source: str
    base: Config
    reading: Mapping[str, Option]
    studying: Mapping[str, Option]

    def train(self, config: Config, run: str) -> str:
        """Returns the command that trains one run by itself."""
        return self._line("train", config, {"run": run})

    def study(self, variants: Sequence[str], seeds: Collection[int], **more: Option) -> str:
        """Returns the command that trains and measures some of the variants."""
        first = min(seeds)
        chosen: dict[str, Option] = {
            "variants": ",".join(variants),
            "seeds": str(max(seeds) - first + 1),
            "first_seed": str(first) if first else None,
        }
        return self._line("study", self.base, {**chosen, **self.studying, **more})

    def _line(self, verb: str, config: Config, options: Mapping[str, Option]) -> str:
        source = ["--config", self.source, *_settings(load_config(self.source), config)]
        words = ["mite", verb, self.data, *_words(self.reading), *source, *_words(options)]
        return shlex.join(words)


def _settings(base: Config, config: Config) -> list[str]:
    """Returns the words `--set KEY=VALUE …` that turn one configuration into another.

    Both must have the same stages, by name.
    """
    old, new = _flat(base), _flat(config)
    changed = [f"{key}={_toml(value)}" for key, value in new.items() if old.get(key) != value]
    return [word for assignment in changed for word in ("--set", assignment)]


def _words(options: Mapping[str, Option]) -> list[str]:
    words = []
    for name, value in options.items():
        if value is not None and value is not False:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    return words


def _flat(config: Config) -> dict[str, Any]:
    """Values by dotted key; a loss is one value, since its arguments go with its name."""
    values = asdict(config)
    stages: Sequence[dict[str, Any]] = values.pop("stages")
    losses = {name: values.pop(name) for name in ("loss", "adversarial_loss")}
    sections = values | {f"stages.{stage['name']}": stage for stage in stages}
    return losses | {
        f"{name}.{key}": value for name, keys in sections.items() for key, value in keys.items()
    }


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
