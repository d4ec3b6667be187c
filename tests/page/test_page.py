"""What the page finds, draws and hands out, without a browser."""

import re
import shutil
import socket
import urllib.error
import urllib.request
from html.parser import HTMLParser

import numpy as np
import pytest

from mite_tf.cli import main
from mite_tf.collection.query import QueryEncoder
from mite_tf.errors import MiteError
from mite_tf.page.cards import results_html
from mite_tf.page.map import flattened, map_html
from mite_tf.page.searches import Searches
from mite_tf.retrieval.collection_index import open_index
from mite_tf.retrieval.faiss_index import FaissIndex
from tests.page.conftest import TEXTS, shown


@pytest.fixture(scope="module")
def searches(collection):
    index = open_index(collection.index)
    with QueryEncoder.of(index) as encoder:
        yield Searches(index, encoder)


class Tags(HTMLParser):
    """Every element of some HTML, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def ranked(rows, query, keep):
    """Ids by similarity, the best first."""
    order = np.argsort(-(rows.vectors @ query), kind="stable")
    return [rows.ids[place] for place in order if keep(rows.modalities[place])]


@pytest.mark.parametrize("modality", ["image", "text", "both"])
def test_a_sentence_and_a_picture_are_weighed_into_one_ranking(searches, collection, modality):
    rows, keep = collection.rows, lambda each: modality in ("both", each)
    of_text, of_image = rows.vectors[12], rows.vectors[5]
    found, told = searches.ask("a red circle", None, k=17, modality=modality)
    assert [each.id for each in found] == ranked(rows, of_text, keep)
    assert told == ""
    found, _ = searches.ask(None, rows.paths[5], k=17, modality=modality)
    assert [each.id for each in found] == ranked(rows, of_image, keep)
    found, _ = searches.ask("a red circle", rows.paths[5], text_weight=0.2, modality=modality)
    assert [each.id for each in found] == ranked(rows, 0.2 * of_text + 0.8 * of_image, keep)


def test_a_result_leads_onward_without_itself(searches, collection):
    rows = collection.rows
    for place in (5, 13):
        found = searches.like(rows.ids[place], k=4)
        assert [each.id for each in found] == ranked(rows, rows.vectors[place], bool)[1:5]
    with pytest.raises(MiteError, match="no row of the id"):
        searches.like("nowhere")


def test_nothing_is_found_for_nothing_and_unknown_words_are_told(searches):
    assert searches.ask("  ", None) == ([], "")
    found, told = searches.ask("§§§", None)
    assert len(found) == 17
    assert "no word that the model knows" in told
    assert len(searches.ask("dogs " * 10_000, None)[0]) == 17


def test_cards_show_pictures_and_texts_as_they_are(searches, collection):
    found, _ = searches.ask("a red circle", None, k=17)
    page = Tags(results_html(found, searches.thumbnail))
    assert [each["data-id"] for each in page.all("button")] == [each.id for each in found]
    assert TEXTS[3] in page.text  # as text, not as the element that it writes
    sources = [each["src"] for each in page.all("img")]
    assert len(sources) == 12
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert any(name.startswith("red & ") for name in page.text)


def test_a_picture_that_is_gone_leaves_its_name(searches, collection):
    [found] = [each for each in searches.ask("a", None)[0] if each.id == "blue & 1.png"]
    lost = results_html([found._replace(path="/nowhere/blue.png")], searches.thumbnail)
    assert "blue.png cannot be read" in Tags(lost).text


def test_the_map_is_the_plane_of_the_greatest_variance(collection):
    vectors = collection.rows.vectors.astype(np.float64)
    points, shares = flattened(vectors)
    values, directions = np.linalg.eigh(np.cov(vectors.T, bias=True))
    expected = (vectors - vectors.mean(axis=0)) @ directions[:, :-3:-1]
    for axis in (0, 1):
        sign = np.sign(points[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(points[:, axis], sign * expected[:, axis], atol=1e-8)
    np.testing.assert_allclose(shares, values[:-3:-1] / values.sum())
    assert flattened([[1.0, 2.0]])[0].tolist() == [[0.0, 0.0]]


def test_the_map_shows_a_sample_of_both_modalities(searches):
    rows, vectors = searches.sample(9)
    assert [row.modality for row in rows] == ["image"] * 6 + ["text"] * 3
    page = Tags(map_html(rows, vectors, searches.thumbnail))
    circles, squares = page.all("circle"), page.all("rect")
    assert {each["data-id"] for each in circles + squares} == {row.id for row in rows}
    assert all(each["data-source"].startswith("data:") for each in circles)
    assert not any(each["data-source"] for each in squares)
    assert set(page.text) >= {row.text for row in rows if row.text}


def answer(page, path):
    try:
        with urllib.request.urlopen(f"{page}{path}", timeout=30) as response:
            return response.status, dict(response.headers), response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), ""


def test_the_page_forbids_the_browser_to_load_from_elsewhere(page):
    status, headers, text = answer(page, "")
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self' data: blob:;")
    assert "http" not in policy
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]+)", text)
    assert loaded == []
    assert '"analytics_enabled":false' in text.replace(" ", "")


def test_no_file_is_served_but_those_of_the_page(page, collection):
    for path in ("/etc/passwd", collection.rows.paths[0], collection.index / "index.json"):
        quoted = urllib.request.pathname2url(str(path))
        assert answer(page, f"gradio_api/file={quoted}")[0] in (403, 404)


def test_a_port_in_use_is_one_sentence(collection, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["ui", str(collection.index), "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"mite: Port {port} of 127.0.0.1 cannot be had: Address already in use.")


def test_what_cannot_be_shown_is_one_sentence(collection, tmp_path, capsys):
    assert main(["ui", str(collection.index), "--port", "70000"]) == 2
    assert capsys.readouterr().err == "mite: port (--port) is 70000; it must be 0 to 65535.\n"
    index = FaissIndex(shutil.copytree(collection.index, tmp_path / "index"))
    index.delete(collection.rows.ids)
    assert main(["ui", str(index.path), "--port", "0"]) == 2
    assert capsys.readouterr().err.startswith(f"mite: {index.path}: holds no row to show.")


@pytest.mark.slow
def test_embeddings_are_indexed_for_the_time_of_the_page(collection):
    with shown(collection.embeddings, "--export", collection.export) as url:
        assert answer(url, "")[0] == 200
