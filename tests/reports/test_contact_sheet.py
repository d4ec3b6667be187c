from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.reports import write_contact_sheet
from mite_tf.retrieval import Hit

_VOID = {"meta", "img", "link", "br"}


class _Page(HTMLParser):
    """Checks that tags nest, and keeps what a reader sees."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"] and data.strip():
            self.text.append(data.strip())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def image_paths(tmp_path):
    paths = {name: tmp_path / f"{name}.png" for name in ("red", "blue")}
    for name, path in paths.items():
        Image.new("RGB", (400, 300), name).save(path)
    return paths


def test_a_text_finds_images(tmp_path, image_paths):
    hits = [Hit("blue", 0.81234), Hit("red", -0.5)]
    write_contact_sheet(
        tmp_path / "new" / "sheet.html", 'a <b>"sea"</b> & sky', hits, image_paths, correct=["red"]
    )
    page = _Page(tmp_path / "new" / "sheet.html")
    assert 'a <b>"sea"</b> & sky' in page.text
    assert page.text.index("score 0.812") < page.text.index("score -0.500")
    assert [attrs["alt"] for attrs in page.all("img")] == ["blue", "red"]
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in page.all("img"))
    assert [attrs.get("class") for attrs in page.all("li")] == [None, "match"]
    assert page.text.count("✓ match") == 1


def test_an_image_finds_captions(tmp_path, image_paths):
    captions = {"1": "كلب يركض", "2": "a <script>alert(1)</script> dog"}
    hits = [Hit("1", 0.9), Hit("2", 0.8)]
    write_contact_sheet(tmp_path / "sheet.html", image_paths["red"], hits, captions=captions)
    page = _Page(tmp_path / "sheet.html")
    assert "كلب يركض" in page.text
    assert "a <script>alert(1)</script> dog" in page.text
    assert page.all("script") == []
    assert [attrs["alt"] for attrs in page.all("img")] == ["Query image red.png"]
    assert len([a for a in page.all("p") if a.get("dir") == "auto"]) == 3  # query, two results


def test_the_page_needs_no_other_file(tmp_path, image_paths):
    write_contact_sheet(tmp_path / "sheet.html", "sea", [Hit("blue", 0.8)], image_paths)
    content = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    page = _Page(tmp_path / "sheet.html")
    assert "http" not in content
    assert page.all("link") == page.all("script") == []
    assert {attrs["name"] for attrs in page.all("meta") if "name" in attrs} >= {"viewport"}


def test_a_hit_that_cannot_be_shown_is_named(tmp_path, image_paths):
    path = tmp_path / "sheet.html"
    with pytest.raises(MiteError, match="'green' has neither an image file nor a caption"):
        write_contact_sheet(path, "grass", [Hit("green", 0.1)], image_paths)
    with pytest.raises(MiteError, match=r"absent\.png"):
        write_contact_sheet(path, "grass", [Hit("x", 0.1)], {"x": Path("absent.png")})
    assert not path.exists()
