"""The page itself: what stands on it, and what answers when someone types, drops or clicks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mite_tf.errors import MiteError, printable
from mite_tf.page.cards import results_html
from mite_tf.page.map import map_html
from mite_tf.page.searches import Searches

_HERE = Path(__file__).parent
CSS = (_HERE / "page.css").read_text("utf-8")
_ONWARD = (_HERE / "onward.js").read_text("utf-8")
_HOVER = (_HERE / "hover.js").read_text("utf-8")
# Points of the map; each picture takes some 4 KB of the page.
_POINTS = 600
# Seconds that a picture which was dropped is kept, and that may pass until it is gone.
_KEPT = 3600
_HINT = "Type a sentence, drop a picture, or both. Every result leads onward."
_SHOW = [("Pictures and texts", "both"), ("Pictures", "image"), ("Texts", "text")]


def build_page(searches: Searches, about: str) -> gr.Blocks:
    """Builds the page of an index; `about` is Markdown for its last tab."""
    count = len(searches.index)
    with gr.Blocks(
        title=f"Search {count:,} pictures and texts",
        analytics_enabled=False,
        delete_cache=(_KEPT, _KEPT),
    ) as page:
        chosen = gr.State("")  # the row that is searched onward with
        with gr.Tabs(selected="search") as tabs:
            with gr.Tab("Search", id="search"):
                with gr.Row():
                    with gr.Column(scale=3, min_width=280):
                        text = gr.Textbox(
                            label="Sentence",
                            placeholder="a dog leaps into the water",
                            autofocus=True,
                            submit_btn="Search",
                            elem_id="mite-sentence",
                        )
                        modality = gr.Radio(_SHOW, value="both", label="Show")
                        with gr.Accordion("More", open=False):
                            weight = gr.Slider(
                                0,
                                1,
                                0.5,
                                step=0.05,
                                label="Weight of the sentence beside a picture",
                            )
                            k = gr.Slider(6, 120, 24, step=6, label="Results")
                            hubs = gr.Checkbox(
                                True, label="Take off what is near to everything (hub correction)"
                            )
                    with gr.Column(scale=2, min_width=240):
                        picture = gr.Image(
                            label="Picture",
                            sources=["upload", "clipboard"],
                            type="filepath",
                            height=190,
                            buttons=[],
                            elem_id="mite-picture",
                        )
                        # As it was dropped: what decodes it has its own bounds. (Of a subclass
                        # Gradio would write a stub file beside this one.)
                        picture.preprocess = lambda dropped: dropped and dropped.path
                results = _html(results_html([], str, note=_HINT), _ONWARD, "mite-results")
            with gr.Tab("Map", id="map") as map_tab:
                points = _html("", _ONWARD + _HOVER, "mite-points")
            with gr.Tab("About", id="about"):
                gr.Markdown(about, elem_id="mite-about")

        how = [weight, modality, k, hubs]

        def search(text: str, image: str | None, *how: Any) -> tuple[str, str]:
            return _fresh(searches, text, image, *how), ""

        def refine(chosen: str, text: str, image: str | None, *how: Any) -> str:
            return _like(searches, chosen, *how) if chosen else _fresh(searches, text, image, *how)

        def onward(event: gr.EventData, *how: Any) -> tuple[str, str, Any]:
            found = _like(searches, str(event.id), *how)
            return found, str(event.id), gr.Tabs(selected="search")

        gr.on(
            [text.submit, picture.upload, picture.clear],
            _told(search),
            [text, picture, *how],
            [results, chosen],
            api_visibility="private",
        )
        gr.on(
            [weight.release, modality.change, k.release, hubs.change],
            _told(refine),
            [chosen, text, picture, *how],
            results,
            api_visibility="private",
        )
        gr.on(
            [results.select, points.select],
            _told(onward),
            how,
            [results, chosen, tabs],
            api_visibility="private",
        )
        map_tab.select(
            _told(lambda: map_html(*searches.sample(_POINTS), searches.thumbnail)),
            None,
            points,
            api_visibility="private",
        )
    page.queue(max_size=64)
    return page


def _html(value: str, script: str, name: str) -> gr.HTML:
    return gr.HTML(value, js_on_load=script, apply_default_css=False, elem_id=name)


def _fresh(
    searches: Searches, text: str, image: str | None,
    weight: float, modality: Any, k: int, hubs: bool,
) -> str:  # fmt: skip
    found, told = searches.ask(
        text, image, text_weight=weight, k=int(k), modality=modality, hub_correction=hubs
    )
    return results_html(found, searches.thumbnail, note=told if found else _HINT)


def _like(searches: Searches, chosen: str, weight: float, modality: Any, k: int, hubs: bool) -> str:
    found = searches.like(chosen, k=int(k), modality=modality, hub_correction=hubs)
    [row] = searches.index.get([chosen])
    about = row.text or row.path or row.id
    return results_html(found, searches.thumbnail, note=f"Like {about}")


def _told(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Shows what cannot be used as one sentence on the page."""

    @wraps(answer)
    def answered(*given: Any) -> Any:
        try:
            return answer(*given)
        except MiteError as error:
            told = escape(printable(str(error)))
            raise gr.Error(told, title="", print_exception=False) from error

    return answered
