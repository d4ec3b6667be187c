import json

import numpy as np
import pytest

from mite_tf.data import CaptionedImages, read
from mite_tf.errors import MiteError
from mite_tf.evaluation import Confusion, evaluate_embeddings, near_miss_confusion
from mite_tf.reports import plot_near_misses, write_report
from mite_tf.reports.table import evaluation_rows
from mite_tf.scenes import RuledOut, ruled_out, write_scenes

# A family of a base, a scene of another colour and one of another shape; and a base without any.
SCENES = [
    {"image": "a.png", "family": 0, "kind": "base", "rules_out": [["colour", "shape"], []]},
    {"image": "b.png", "family": 0, "kind": "colour", "rules_out": [["base", "shape"]]},
    {"image": "c.png", "family": 0, "kind": "shape", "rules_out": [["colour"], ["base"]]},
    {"image": "d.png", "family": 1, "kind": "base", "rules_out": [[]]},
]


@pytest.fixture
def table(tmp_path):
    (tmp_path / "scenes.jsonl").write_text("\n".join(map(json.dumps, SCENES)))
    captions = [[f"caption {i}" for i in range(len(scene["rules_out"]))] for scene in SCENES]
    images = [scene["image"] for scene in SCENES]
    return CaptionedImages.from_lists(images, captions, ["test"] * 4, root=tmp_path)


def test_captions_are_paired_with_scenes_that_differ_in_one_thing(table):
    assert ruled_out(table) == [
        RuledOut(0, 1, "colour"),
        RuledOut(0, 2, "shape"),
        RuledOut(2, 0, "colour"),  # not with c.png, which differs in colour and shape
        RuledOut(4, 0, "shape"),
    ]


def test_a_part_of_a_family_is_paired_as_far_as_it_is_there(table):
    assert ruled_out(table[1:]) == []
    assert ruled_out(table[:2]) == [RuledOut(0, 1, "colour"), RuledOut(2, 0, "colour")]


def test_scenes_that_do_not_fit_the_table_are_named(table, tmp_path):
    (tmp_path / "scenes.jsonl").write_text(json.dumps(SCENES[0]))
    with pytest.raises(MiteError, match=r"scenes\.jsonl: does not describe the scenes"):
        ruled_out(table)


def test_rendered_scenes_rule_out_near_misses_of_every_kind(tmp_path):
    scenes = write_scenes(tmp_path / "scenes", train=0, dev=60, test=0, size=32, progress=False)
    table = read(scenes)
    pairs = ruled_out(table)
    assert {pair.kind for pair in pairs} == {
        "colour",
        "count",
        "pattern",
        "relation",
        "shape",
        "size",
    }
    rows = table.caption_image
    assert all(rows[pair.caption] // 4 == pair.image // 4 for pair in pairs)  # one family
    assert all(rows[pair.caption] != pair.image for pair in pairs)


def test_confusion_counts_by_hand_and_ties_are_wrong():
    images = [[1, 0], [0, 1], [1, 0]]  # the third looks like the first
    captions, caption_image = [[2, 1], [1, 2]], [0, 1]
    pairs = [(0, 1, "colour"), (1, 0, "colour"), (0, 2, "count")]
    found = near_miss_confusion(images, captions, caption_image, pairs)
    assert found == {"colour": Confusion(0, 2), "count": Confusion(1, 1)}
    assert found["count"].percent == 100
    assert near_miss_confusion(images, captions, caption_image, []) == {}


def test_random_embeddings_are_at_chance():
    random = np.random.default_rng(0)
    images, captions = random.normal(size=(2, 4000, 8))
    pairs = [(row, (row + 1) % 4000, "size") for row in range(4000)]
    found = near_miss_confusion(images, captions, np.arange(4000), pairs)["size"]
    assert found.percent == pytest.approx(50, abs=3 * 50 / np.sqrt(4000))


def test_table_plot_and_page_show_the_percentages(tmp_path):
    eye = np.eye(5)
    evaluations = {"mite": evaluate_embeddings(eye, eye, np.arange(5), probe=False)}
    near_misses = {"mite": {"colour": Confusion(1, 4), "count": Confusion(3, 4)}}
    rows = evaluation_rows(evaluations, near_misses)
    assert rows[-2:] == [
        ["near misses", "colour, %", "25.0", "50.0"],
        ["", "count, %", "75.0", "50.0"],
    ]
    figure = plot_near_misses({"mite": {"colour": 25.0, "count": 75.0}})
    assert [bar.get_height() for bar in figure.axes[0].patches] == [25.0, 75.0]
    assert "in count are the hardest" in figure.get_suptitle()
    page = tmp_path / "page.html"
    write_report(page, title="Scenes", evaluations=evaluations, near_misses=near_misses)
    assert "<h2>Near misses</h2>" in page.read_text()
