"""Presets of KerasHub: what is one, and what its files say."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

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
