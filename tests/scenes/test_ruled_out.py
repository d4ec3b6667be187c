import json

import pytest

from mite_tf.data import CaptionedImages, read
from mite_tf.errors import MiteError
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
