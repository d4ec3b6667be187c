"""`MODEL_CARD.md`: an export, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mite_tf.export.manifest import Manifest
from mite_tf.files import write_text


def write_model_card(path: str | Path, manifest: Manifest) -> None:
    """Writes what a manifest says as a page of Markdown.

    Args:
        path: File to write.
        manifest: The manifest, verified.
    """
    environment = Environment(
        loader=PackageLoader("mite_tf.export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["recalls"] = _recalls
    template = environment.get_template("model_card.md.jinja")
    write_text(path, template.render(manifest=manifest))


def _recalls(scores: Mapping[str, Any]) -> str:
    """Both directions as `R@1 / 5 / 10`, in columns of a table."""
    return " | ".join(
        " / ".join(f"{scores[direction][k]:.1f}" for k in ("r1", "r5", "r10"))
        for direction in ("image_to_text", "text_to_image")
    )
