"""The page in headless Chromium: someone types, drops, clicks and looks."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.page.browser import CHROMIUM, ENTER, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
SENTENCE = "#mite-sentence textarea, #mite-sentence input"
DROP = "#mite-picture button.upload-container"
# The last that Gradio puts on the page.
READY = "document.querySelector('#mite-picture input[type=file]') !== null"
CARDS = "[...document.querySelectorAll('.mite-card')].map(each => each.dataset.id)"
NOTE = "document.querySelector('#mite-results .mite-note')?.textContent"


@pytest.fixture
def browser(tmp_path):
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture
def shots(tmp_path):
    """Where screenshots go; name a folder in MITE_SCREENSHOTS to look at them."""
    folder = Path(os.environ.get("MITE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def first_of(rows, query, count=1):
    order = (-(rows.vectors @ query)).argsort(kind="stable")
    return [rows.ids[place] for place in order[:count]]


def open_tab(browser, name, ready):
    """Clicks a tab until it is there; one that Gradio has just drawn may not listen yet."""
    tabs = "[...document.querySelectorAll('button[role=tab]')]"
    browser.evaluate(f"{tabs}.find(each => each.innerText === {name!r}).id = 'tab-{name}'")
    for _ in range(10):
        browser.click(f"#tab-{name}")
        if browser.comes_true(ready, 3):
            return
    raise AssertionError(f"the tab {name} did not open")


def test_someone_types_drops_and_clicks(browser, page, collection, shots):
    rows = collection.rows
    browser.show(1280, 900)
    browser.open(page, READY)
    browser.type("a red circle", SENTENCE)
    assert browser.wait(f"{CARDS}.length === 17 && {CARDS}")[0] == "texts:0"
    browser.screenshot(shots / "typed.png")

    # A picture with the sentence, then alone.
    browser.drop(DROP, rows.paths[5])
    both = first_of(rows, 0.5 * rows.vectors[12] + 0.5 * rows.vectors[5])
    browser.wait(f"{CARDS}[0] === {both[0]!r} && !!document.querySelector('#mite-picture img')")
    browser.type("", SENTENCE)
    alone = first_of(rows, rows.vectors[5])
    browser.wait(
        f"document.querySelector('{SENTENCE}').value === '' && {CARDS}[0] === {alone[0]!r}"
    )
    browser.screenshot(shots / "dropped.png")

    # Onward with a result, by the pointer and by the keyboard.
    browser.click('.mite-card[data-id="texts:2"]')
    browser.wait(f"{NOTE} === 'Like dogs run'")
    expected = first_of(rows, rows.vectors[14], 2)[1]
    assert browser.evaluate(CARDS)[0] == expected
    browser.evaluate("document.querySelector('.mite-card').focus()")
    browser.press(**ENTER)
    browser.wait(f"{NOTE} !== 'Like dogs run'")
    browser.wait("document.activeElement === document.querySelector('.mite-card')")
    browser.screenshot(shots / "onward.png")

    # The filter holds for what is searched onward with, too.
    browser.click("input[type=radio][value=text]")
    browser.wait(f"{CARDS}.every(each => each.startsWith('texts:'))")

    assert browser.errors == []
    outside = [
        each for each in browser.requests if not each.startswith((page, "data:", "blob:", "about:"))
    ]
    assert outside == []
    assert browser.evaluate("document.querySelectorAll('#mite-results img[src^=http]').length") == 0


def test_the_map_shows_what_a_point_is_and_leads_onward(browser, page, shots):
    browser.show(1280, 900)
    browser.open(page, READY)
    open_tab(browser, "Map", "document.querySelectorAll('.mite-map [data-id]').length === 17")
    browser.move(".mite-map rect")
    text = "document.querySelector('.mite-map rect title').textContent"
    browser.wait(f"document.querySelector('.mite-hover').textContent === {text}")
    browser.move(".mite-map circle")
    browser.wait("document.querySelector('.mite-hover img')?.complete")
    browser.screenshot(shots / "map.png")
    browser.click(".mite-map circle")
    browser.wait(f"{NOTE}?.startsWith('Like ') && {CARDS}.length === 16")
    open_tab(browser, "About", "document.body.innerText.includes('holds 17 pictures and texts')")
    browser.screenshot(shots / "about.png")
    assert browser.errors == []


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_it_fits_a_phone_and_the_dark(browser, page, shots, width, dark):
    browser.show(width, 844, dark=dark)
    browser.open(page, READY)
    browser.type("a red circle", SENTENCE)
    browser.wait(f"{CARDS}.length === 17")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    path = shots / f"{width}{'-dark' * dark}.png"
    browser.screenshot(path)
    with Image.open(path) as image:
        corner = sum(image.convert("RGB").getpixel((2, image.height // 2)))
    assert (corner < 3 * 64) is dark
    browser.move(".mite-card")
    browser.screenshot(shots / f"{width}{'-dark' * dark}-cards.png")


def test_what_cannot_be_searched_is_told_on_the_page(browser, page, tmp_path):
    bad = tmp_path / "no picture.jpg"
    bad.write_bytes(b"no picture")
    browser.show(1280, 900)
    browser.open(page, READY)
    browser.drop(DROP, bad)
    browser.wait("document.body.innerText.includes('not a JPEG, PNG, GIF, BMP or WebP file')")
