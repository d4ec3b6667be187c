import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mite_tf.errors import MiteError
from mite_tf.evaluation import Confusion, Embeddings, evaluate_embeddings
from mite_tf.reports import SearchExample, print_table, write_report
from mite_tf.retrieval import Hit


@pytest.fixture(scope="module")
def embeddings():
    images, captions = np.random.default_rng(0).normal(size=(2, 12, 4))
    return Embeddings(images, captions, np.arange(12))


@pytest.fixture(scope="module")
def evaluations(embeddings):
    return {"a <model> & co": evaluate_embeddings(*embeddings, probe=False)}


class _Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _read(path):
    content = path.read_text(encoding="utf-8")
    parser = _Balanced()
    parser.feed(content)
    assert parser.open == []
    return content


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
    content = _read(tmp_path / "new" / "report.html")
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


def test_what_is_not_given_is_left_out(tmp_path, evaluations):
    write_report(tmp_path / "report.html", title="Short", evaluations=evaluations)
    content = _read(tmp_path / "report.html")
    assert re.findall("<h2>(.*?)</h2>", content) == ["Scores", "Recall"]
    r1 = f"{evaluations['a <model> & co'].image_to_text.r1:.1f}"
    assert f"<td>{r1}</td>" in content


def test_a_failure_leaves_the_old_report(tmp_path, evaluations):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(MiteError, match="'r' has neither"):
        write_report(
            path,
            title="New",
            evaluations=evaluations,
            examples=[SearchExample("red", [Hit("r", 0.5)])],
        )
    assert path.read_text() == "old"


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


def test_models_judged_on_different_candidates_have_their_own_chance(embeddings):
    fewer = [array[:6] for array in embeddings]
    found = {"all": embeddings, "fewer": fewer}
    evaluations = {name: evaluate_embeddings(*each, probe=False) for name, each in found.items()}
    header, *_ = _printed(evaluations, width=120)
    assert "chance, full, 12 images" in header
    assert "chance, full, 6 images" in header


def test_near_misses_are_in_the_table_and_on_the_page(tmp_path, evaluations):
    near_misses = {
        name: {"colour": Confusion(1, 4), "count": Confusion(3, 4)} for name in evaluations
    }
    *_, colour, count = _printed(evaluations, near_misses=near_misses)
    assert colour.split() == ["near", "misses", "colour,", "%", "25.0", "50.0"]
    assert count.split() == ["count,", "%", "75.0", "50.0"]
    write_report(
        tmp_path / "page.html", title="Scenes", evaluations=evaluations, near_misses=near_misses
    )
    assert "<h2>Near misses</h2>" in _read(tmp_path / "page.html")
