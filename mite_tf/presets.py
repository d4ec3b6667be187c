"""Presets of KerasHub: what is one, and what its files say."""

from __future__ import annotations

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
        switch = "pooling_mode_"
        modes = [
            name.removeprefix(switch)
            for name, on in said.items()
            if on is True and name.startswith(switch)
        ]
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
