"""Configurations as they are written, some of them as how they differ from another."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.reading import reading
from mite_tf.recognition import recognize
from mite_tf.runs.renamed import dotted_keys, now_called

_BASES = 4  # one on another, at most
_WHOLE = ("loss", "adversarial_loss")  # another loss has other arguments


def config_names() -> list[str]:
    """Returns the names of the configurations that come with the package.

    Example:
        >>> "flickr8k" in config_names()
        True
    """
    files = resources.files("mite_tf.configs").iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".toml"))


def config_values(name_or_file: str | Path) -> dict[str, Any]:
    """Reads what a configuration says, section by section, not yet checked.

    One with `base = "flickr8k"`, or another name or file, says how it differs from that: each key
    replaces that of the base, in stages by their names, and `loss` and `adversarial_loss` are
    replaced whole.

    Args:
        name_or_file: Name of a packaged configuration, or the path of a TOML file.

    Raises:
        MiteError: If there is no such configuration, it is no TOML, or has a key of an old name.

    Example:
        >>> config_values("pretrained")["text_encoder"]["name"]
        'hub'
    """
    own = _written(name_or_file)
    chain = [own]
    while (base := chain[-1].pop("base", None)) is not None:
        if not isinstance(base, str) or len(chain) > _BASES:
            raise MiteError(
                f"{name_or_file}: base names another configuration, at most {_BASES} one on "
                f"another (given: {base!r})."
            )
        chain.append(_written(base))
    values = chain.pop()
    while chain:
        values = _merged(values, chain.pop(), name_or_file)
    return values


def _merged(base: dict[str, Any], own: dict[str, Any], source: str | Path) -> dict[str, Any]:
    values = base | own
    for section, keys in own.items():
        before = base.get(section)
        if isinstance(keys, dict) and isinstance(before, dict) and section not in _WHOLE:
            values[section] = before | keys
    stages = base.get("stages")
    if isinstance(own.get("stages"), list) and isinstance(stages, list):
        changed = {each.get("name"): each for each in own["stages"] if isinstance(each, dict)}
        names = [each.get("name") for each in stages]
        if unknown := [name for name in changed if name not in names]:
            raise MiteError(
                f"{source}: its base has no stage {unknown[0]!r}; there are "
                f"{', '.join(map(str, names))}."
            )
        values["stages"] = [each | changed.get(each.get("name"), {}) for each in stages]
    return values


def _written(name_or_file: str | Path) -> dict[str, Any]:
    path = Path(name_or_file)
    try:
        if path.suffix == ".toml" and os.path.exists(path):  # noqa: PTH110 (it may be too long)
            with reading(path, "a readable configuration"):
                text = path.read_text(encoding="utf-8")
        else:
            text = resources.files("mite_tf.configs").joinpath(f"{path}.toml").read_text("utf-8")
    except MiteError:
        raise
    except (OSError, ValueError) as error:
        own, told = path / "config.toml", ""
        if os.path.exists(own):  # noqa: PTH110
            told = f" That of {recognize(path).what} is {own}."
        raise MiteError(
            f"No configuration {str(name_or_file)!r}: neither one of "
            f"{', '.join(config_names())} nor a readable file ending in .toml.{told}"
        ) from error
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MiteError(f"{name_or_file}: not valid TOML: {error}") from error
    if renamed := {key: now for key in dotted_keys(values) if (now := now_called(key))}:
        lines = "".join(f"\n  {key} is now {now}" for key, now in renamed.items())
        raise MiteError(f"{name_or_file}: the configuration uses old keys; rename them:{lines}")
    return values
