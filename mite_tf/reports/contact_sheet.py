"""One search and its results on one HTML page that needs no other file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.reports.pages import thumbnail_uri, write_page
from mite_tf.retrieval import Hit


@dataclass(frozen=True)
class SearchExample:
    """One search to show: a text or the `Path` of an image, and hits, best first.

    Hits whose ids are among those of `correct`, which truly match the query, are marked.
    """

    query: str | Path
    hits: Sequence[Hit]
    correct: Collection[str] | None = None


@dataclass(frozen=True)
class SideBySide:
    """What several models find in one gallery of images and captions, to show side by side.

    Each of `searches` holds what the models found for one query, by model name. Hits are looked up
    in `image_paths`, as images, or in `captions`. `notes` are paragraphs that stand above.
    """

    heading: str
    searches: Sequence[Mapping[str, SearchExample]]
    notes: Sequence[str] = ()


def write_contact_sheet(
    path: str | Path,
    query: str | Path,
    hits: Sequence[Hit],
    image_paths: Mapping[str, str | Path] | None = None,
    *,
    captions: Mapping[str, str] | None = None,
    correct: Collection[str] | None = None,
    title: str = "Search results",
    thumbnail: Callable[[str | Path], str] = thumbnail_uri,
) -> None:
    """Writes a page with the query and its results, each with rank, score and cosine.

    Thumbnails lie inside the page, so it can be mailed or archived as one file. Texts are shown
    in their own direction, right to left where the script is.

    Args:
        path: HTML file to write; an existing one is replaced.
        query: A text, or the `Path` of an image.
        hits: Results, best first, as `VectorIndex.search` gives them.
        image_paths: Image file by id, for ids that are images.
        captions: Caption by id, for ids that are captions, or to show beside their image.
        correct: Ids that truly match the query, if known: those results are marked.
        title: Heading of the page.
        thumbnail: Gives the address of a small picture of a path, as `thumbnail_uri`; an empty one
            shows the path as text instead.

    Raises:
        MiteError: If a hit's id is neither in `image_paths` nor in `captions`, or an image
            cannot be read.

    Example:
        >>> import tempfile
        >>> page = Path(tempfile.mkdtemp()) / "sheet.html"
        >>> write_contact_sheet(page, "a red dog", [Hit("7", 0.5)], captions={"7": "dog <3"})
        >>> "dog &lt;3" in page.read_text(encoding="utf-8")
        True
    """
    example = SearchExample(query, hits, correct)
    search = describe_search(example, image_paths, captions, thumbnail)
    write_page(path, "contact_sheet.html", title=title, search=search)


def describe_search(
    search: SearchExample,
    image_paths: Mapping[str, str | Path] | None,
    captions: Mapping[str, str] | None,
    thumbnail: Callable[[str | Path], str] = thumbnail_uri,
) -> dict[str, Any]:
    """Gathers what `gallery.html` shows of a search, with images and captions by id."""
    query, correct = search.query, search.correct
    image_paths, captions = image_paths or {}, captions or {}
    results = []
    for rank, hit in enumerate(search.hits, start=1):
        if hit.id not in image_paths and hit.id not in captions:
            raise MiteError(f"Result {hit.id!r} has neither an image file nor a caption to show.")
        path = image_paths.get(hit.id)
        image = None if path is None else thumbnail(path)
        lost = None if path is None or image else str(path)
        results.append(
            {
                "rank": rank,
                "id": hit.id,
                "score": f"{hit.score:.3f}",
                "cosine": "" if hit.cosine in (None, hit.score) else f"{hit.cosine:.3f}",
                "image": image,
                "caption": "\n".join(filter(None, (lost, captions.get(hit.id)))) or None,
                "correct": correct is not None and hit.id in correct,
            }
        )
    return {
        "text": query.name if isinstance(query, Path) else query,
        "image": thumbnail_uri(query) if isinstance(query, Path) else None,
        "results": results,
        "judged": correct is not None,
    }
