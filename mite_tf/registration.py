"""Makes Keras find this package's classes in a file, though nothing of them is imported yet."""

from __future__ import annotations

import sys
import zipfile
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from mite_tf.extras import from_extra
from mite_tf.reading import must_be_file

_HOMES = {
    "mite_tf.losses": (
        "BidirectionalTriplet",
        "EntropyMaximization",
        "FlippedLabels",
        "GradientReversal",
        "InfoNCE",
        "MaximumMeanDiscrepancy",
        "PooledTriplet",
        "SigLIP",
        "Wasserstein",
    ),
    "mite_tf.models": (
        "MITE",
        "AveragePooling",
        "FusedAdamW",
        "GeneralizedPooling",
        "ImageEncoder",
        "KnownWords",
        "MaxPooling",
        "PackedGRU",
        "PictureInput",
        "PositionEmbedding",
        "PowerNormalization",
        "TextBackbone",
        "TextEncoder",
        "WordAverage",
    ),
    "mite_tf.text": (
        "BertTokenizer",
        "BytePairTokenizer",
        "SentencePieceTokenizer",
        "WordPieceTokenizer",
    ),
    "mite_tf.training": ("Stage",),
}


def register_when_keras_loads() -> None:
    """Registers a stand-in for each serialisable class, now or as soon as Keras is imported.

    A stand-in imports its class when Keras asks it for an instance, so that
    `keras.saving.load_model` opens a model of this package after `import mite_tf`, and
    `import mite_tf` still loads neither Keras nor TensorFlow. The class takes the place of its
    stand-in once it is imported.
    """
    if sys.modules.get("keras") is not None:
        _register_stand_ins()
    else:
        sys.meta_path.insert(0, _KerasFinder())


class _KerasFinder(MetaPathFinder):
    """Finds Keras as ever, once, and registers the stand-ins after it has been executed."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec: ModuleSpec | None = find_spec("keras")
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                _register_stand_ins()

            setattr(spec.loader, "exec_module", execute_and_register)  # noqa: B010
        return spec


def register_layers_in(path: str | Path) -> None:
    """Imports KerasHub where a `.keras` file holds layers of it, so that Keras finds them.

    Raises:
        MissingPackage: If it is needed and not installed.

    Example:
        >>> register_layers_in("nowhere.keras")
    """
    needed = False
    with suppress(Exception):  # whoever loads the file says what is wrong with it
        must_be_file(path)
        with zipfile.ZipFile(path) as archive:
            needed = b'"keras_hub' in archive.read("config.json")
    if needed:
        with from_extra("hub", f"The network in {path}"):
            import keras_hub  # noqa: F401


def _register_stand_ins() -> None:
    import keras

    for home, names in _HOMES.items():
        for name in names:
            if keras.saving.get_registered_object(f"mite_tf>{name}") is None:
                keras.saving.register_keras_serializable("mite_tf", name)(_stand_in(home, name))


def _stand_in(home: str, name: str) -> type:
    def from_config(_: type, config: dict[str, Any]) -> Any:
        return getattr(import_module(home), name).from_config(config)

    return type(name, (), {"get_config": dict, "from_config": classmethod(from_config)})
