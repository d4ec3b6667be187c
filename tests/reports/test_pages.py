import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mite_tf.errors import MiteError
from mite_tf.evaluation import Confusion, Embeddings, evaluate_embeddings
from mite_tf.reports import (
    SearchExample,
    SideBySide,
    print_table,
    write_contact_sheet,
    write_report,
)
from mite_tf.reports.pages import thumbnail_uri
from mite_tf.retrieval import Hit

_VOID = {"meta", "img", "link", "br"}


class _Page(HTMLParser):
    """Checks that tags nest, and keeps what a reader sees."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.content = path.read_text(encoding="utf-8")
        self.feed(self.content)
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
    assert "http" not in page.content  # it needs no other file
    assert page.all("link") == page.all("script") == []
    assert {attrs["name"] for attrs in page.all("meta") if "name" in attrs} >= {"viewport"}


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


def test_a_hit_that_cannot_be_shown_is_named(tmp_path, image_paths):
    path = tmp_path / "sheet.html"
    with pytest.raises(MiteError, match="'green' has neither an image file nor a caption"):
        write_contact_sheet(path, "grass", [Hit("green", 0.1)], image_paths)
    with pytest.raises(MiteError, match=r"absent\.png"):
        write_contact_sheet(path, "grass", [Hit("x", 0.1)], {"x": Path("absent.png")})
    assert not path.exists()


@pytest.fixture(scope="module")
def embeddings():
    images, captions = np.random.default_rng(0).normal(size=(2, 12, 4))
    return Embeddings(images, captions, np.arange(12))


@pytest.fixture(scope="module")
def evaluations(embeddings):
    return {"a <model> & co": evaluate_embeddings(*embeddings, probe=False)}


def test_a_whole_report_is_one_file(tmp_path, embeddings, evaluations):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    write_report(
        tmp_path / "new" / "report.html",
        title="Scenes <1> & more",
        evaluations=evaluations,
        history=[{"stage": "align", "rsum": 100.0}, {"stage": "adversarial", "rsum": 120.0}],
        embeddings={"a <model> & co": embeddings},
        examples=[
            SearchExample("red <things>", [Hit("r", 0.5), Hit("c", 0.25)], {"r"}),
            SearchExample(tmp_path / "red.png", [Hit("c", 0.75)]),
        ],
        image_paths={"r": tmp_path / "red.png"},
        captions={"c": "شيء أحمر"},
        details={"data": "12 <scenes>"},
    )
    content = _Page(tmp_path / "new" / "report.html").content
    for text in ("Scenes &lt;1&gt; &amp; more", "a &lt;model&gt; &amp; co", "red &lt;things&gt;"):
        assert text in content
    for text in ("12 &lt;scenes&gt;", "شيء أحمر", "score 0.750", "12 images with 12 captions"):
        assert text in content
    assert content.count("✓ match") == 1
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', content)
    assert len(pictures) == 4  # recall, modalities, similarities, training
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert re.findall(r'(?:src|href)="(?!data:)', content) == []
    assert "http" not in content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_models_stand_side_by_side_with_the_modality_of_each_result(
    tmp_path, image_paths, evaluations
):
    found = {
        "baseline": SearchExample("a <red> thing", [Hit("t", 0.5), Hit("red", 0.25)], ["red"]),
        "MITE": SearchExample("a <red> thing", [Hit("red", 0.75), Hit("blue", 0.5)], ["red"]),
    }
    write_report(
        tmp_path / "page.html",
        title="Both",
        evaluations=evaluations,
        image_paths=image_paths,
        captions={"t": "كلب"},
        side_by_side=SideBySide("One gallery", [found], ["half are <pictures>"]),
    )
    page = _Page(tmp_path / "page.html")
    assert [each["class"] for each in page.all("li")] == [
        "caption",
        "picture match",
        "picture match",
        "picture",
    ]
    assert page.text.count("a <red> thing") == 1
    assert page.text.count("✓ match") == 2
    kinds = [text for text in page.text if text in ("baseline", "MITE", "picture", "caption")]
    assert kinds == ["baseline", "caption", "picture", "MITE", "picture", "picture"]
    assert "One gallery" in page.text
    assert "half are <pictures>" in page.text
    assert "كلب" in page.text


def test_what_is_not_given_is_left_out_and_a_failure_leaves_the_old_report(tmp_path, evaluations):
    path = tmp_path / "report.html"
    write_report(path, title="Short", evaluations=evaluations)
    content = _Page(path).content
    assert re.findall("<h2>(.*?)</h2>", content) == ["Scores", "Recall"]
    r1 = f"{evaluations['a <model> & co'].image_to_text.r1:.1f}"
    assert f"<td>{r1}</td>" in content
    examples = [SearchExample("red", [Hit("r", 0.5)])]
    with pytest.raises(MiteError, match="'r' has neither"):
        write_report(path, title="New", evaluations=evaluations, examples=examples)
    assert _Page(path).content == content


def _printed(evaluations, width=80, **more):
    output = io.StringIO()
    print_table(evaluations, console=Console(file=output, width=width), **more)
    return [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]


def test_the_table_shows_models_and_chance_side_by_side(embeddings):
    evaluation = evaluate_embeddings(*embeddings)
    quick = evaluate_embeddings(*embeddings, probe=False)
    header, _, *lines = _printed({"first [v1]": evaluation, "second": quick})
    assert header.split() == ["first", "[v1]", "second", "chance"]
    cells = {tuple(line.split()[:-3]): line.split()[-3:] for line in lines}
    r1 = f"{evaluation.image_to_text.r1:.1f}"
    assert cells["image", "→", "text", "R@1,", "%"] == [r1, r1, "8.3"]
    probe = f"{evaluation.invariance['probe_accuracy']:.3f}"
    [line] = [line for line in lines if "probe accuracy" in line]
    assert line.split() == ["probe", "accuracy", probe, "0.500"]
    # Models judged on different candidates have their own chance.
    fewer = evaluate_embeddings(*(array[:6] for array in embeddings), probe=False)
    header, *_ = _printed({"all": quick, "fewer": fewer}, width=120)
    assert "chance, full, 12 images" in header
    assert "chance, full, 6 images" in header


def test_near_misses_are_in_the_table_and_on_the_page(tmp_path, evaluations):
    near_misses = {
        name: {"colour": Confusion(1, 4), "count": Confusion(3, 4)} for name in evaluations
    }
    *_, colour, count, chance = _printed(evaluations, near_misses=near_misses)
    assert "does not beat chance" in chance
    assert colour.split() == ["near", "misses", "colour,", "%", "25.0", "50.0"]
    assert count.split() == ["count,", "%", "75.0", "50.0"]
    write_report(
        tmp_path / "page.html", title="Scenes", evaluations=evaluations, near_misses=near_misses
    )
    assert "<h2>Near misses</h2>" in _Page(tmp_path / "page.html").content


def _open(uri):
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (320, 240)), ((480, 960), (160, 320)), ((40, 30), (40, 30))]
)
def test_the_longest_side_is_at_most_320(tmp_path, size, expected):
    Image.new("RGB", size, "red").save(tmp_path / "image.jpg")
    assert _open(thumbnail_uri(tmp_path / "image.jpg")).size == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb_and_transparency_white(tmp_path, mode):
    Image.new(mode, (16, 16)).save(tmp_path / "image.tif")
    image = _open(thumbnail_uri(tmp_path / "image.tif"))
    assert image.mode == "RGB"
    if mode in ("LA", "RGBA"):
        assert min(image.getpixel((8, 8))) > 250


def test_rotation_by_the_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (100, 50)).save(tmp_path / "image.jpg", exif=exif)
    assert _open(thumbnail_uri(tmp_path / "image.jpg")).size == (50, 100)


def test_files_that_are_not_images_are_named(tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(MiteError, match=r"notes\.jpg cannot be read as an image"):
        thumbnail_uri(tmp_path / "notes.jpg")
    with pytest.raises(MiteError, match=r"absent\.jpg cannot be read as an image"):
        thumbnail_uri(tmp_path / "absent.jpg")
    path = tmp_path / "half.jpg"
    Image.effect_noise((200, 200), 60).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MiteError, match=r"half\.jpg cannot be read as an image"):
        thumbnail_uri(path)


def test_markup_and_control_characters_are_shown_as_they_stand(tmp_path, capsys):
    hostile = "a \x1b[31mred\x00 [bold]dog[/bold] [/] :smile: <b>&"
    shown = r"a \x1b[31mred\x00 [bold]dog[/bold] [/] :smile: <b>&"
    sheet = tmp_path / "sheet.html"
    write_contact_sheet(sheet, hostile, [Hit("1", 0.5)], captions={"1": f"{hostile}\nover"})
    assert [text for text in _Page(sheet).text if "dog" in text] == [shown, f"{shown}\nover"]
    eye = np.eye(5)
    evaluation = evaluate_embeddings(eye, eye, np.arange(5), probe=False)
    print_table({hostile: evaluation}, console=Console(width=200))
    assert shown in capsys.readouterr().out
