"""Export: encoders that run without the training code, and that verify themselves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mite_tf.extras import from_extra

if TYPE_CHECKING:
    from mite_tf.export.manifest import ExportedFrom, Manifest, read_manifest
    from mite_tf.export.to_folder import export
    from mite_tf.export.verification.verify import verify

_HOMES = {
    "ExportedFrom": "mite_tf.export.manifest",
    "Manifest": "mite_tf.export.manifest",
    "export": "mite_tf.export.to_folder",
    "read_manifest": "mite_tf.export.manifest",
    "verify": "mite_tf.export.verification.verify",
}

__all__ = ["ExportedFrom", "Manifest", "export", "read_manifest", "verify"]


if not TYPE_CHECKING:  # a name that is not listed is an error for a type checker

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            with from_extra("tensorflow", f"mite_tf.export.{name}"):
                return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'mite_tf.export' has no attribute {name!r}")
