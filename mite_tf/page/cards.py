"""Results as cards, pictures and texts in one ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import PurePath

from mite_tf.errors import printable
from mite_tf.retrieval.collection_index import Found

_LONGEST = 400  # characters of a text that a card shows


def shown(text: str, most: int = _LONGEST) -> str:
    """Returns a text as HTML shows it, cut where it is long.

    Example:
        >>> shown("a <b> dog", most=5)
        'a &lt;b&gt;…'
    """
    cut = text if len(text) <= most else f"{text[:most]}…"
    return escape(printable(cut, keep="\n\t"))


def name_of(path: str) -> str:
    """Returns the name of a picture's file, for people.

    Example:
        >>> name_of("/photos/shard-0.tar!dogs/7.jpg")
        '7.jpg'
    """
    return PurePath(path).name or path


def results_html(found: Sequence[Found], thumbnail: Callable[[str], str], *, note: str = "") -> str:
    """Builds the grid of results, each a button that a search goes on from.

    Args:
        found: Results, best first.
        thumbnail: Gives the address of a small picture of a path, or nothing.
        note: What stands above.

    Example:
        >>> cat = Found("7", "text", None, "a cat", 0.25, 0.5)
        >>> "a cat" in results_html([cat], thumbnail=str)
        True
    """
    cards = "".join(f"<li>{_card(*each, thumbnail)}</li>" for each in enumerate(found, 1))
    above = f'<p class="mite-note" role="status">{shown(note)}</p>' if note else ""
    return f'{above}<ol class="mite-grid">{cards}</ol>'


def _card(rank: int, hit: Found, thumbnail: Callable[[str], str]) -> str:
    cosine = "" if hit.cosine == hit.score else f" <small>cosine {hit.cosine:.3f}</small>"
    name = name_of(hit.path) if hit.path else ""
    parts = []
    if hit.path:
        source = thumbnail(hit.path)
        parts.append(
            f'<img src="{source}" alt="{shown(name)}">' if source
            else f'<span class="mite-lost">{shown(name)} cannot be read</span>'
        )  # fmt: skip
    if hit.text:
        parts.append(f'<span class="mite-text" dir="auto">{shown(hit.text)}</span>')
    parts.append(
        f'<span class="mite-score"><b>{rank}</b> {hit.score:.3f}{cosine}'
        f'<span class="mite-name">{shown(name)}</span></span>'
    )
    return (
        f'<button type="button" class="mite-card" data-id="{escape(hit.id)}" '
        f'title="Search onward with this">{"".join(parts)}</button>'
    )
