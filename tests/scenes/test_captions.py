"""Captions are read back by a parser of their own and held against the scenes."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.scenes import Scene, SceneObject, describe, sample_scenes
from mite_tf.scenes.captions import GRAMMAR
from mite_tf.scenes.families import near_misses
from tests.scenes.caption_reader import PLACES, RELATIONS, WORDS, is_true, joined, read


@pytest.fixture(scope="module")
def captioned():
    """Scenes with their family mates and captions."""
    rng = np.random.default_rng(3)
    found = []
    for _, members in itertools.groupby(sample_scenes(600, seed=11), lambda s: s.family):
        family = list(members)
        for scene in family:
            mates = [mate for mate in family if mate is not scene]
            found.append((scene, mates, describe(scene, rng, unlike=mates)))
    return found


def test_parser_understands_and_judges():
    star = SceneObject("star", "red", "large", "plain", x=0.25, y=0.5)
    disc = SceneObject("circle", "blue", "small", "striped", x=0.75, y=0.5)
    scene = Scene((star, disc), "meadow")
    truths = {
        "a big crimson star to the left of a tiny disc with white stripes": True,
        "a blue star left of a circle": False,
        "a circle with a star on its right": False,
        "a circle with a star on its left, and there is a red star": True,
        "two red stars": False,
        "exactly one of the two shapes is striped: a small blue circle": True,
        "both shapes are large: a star and a circle": False,
        "the star is red while the disc is blue, in a meadow": True,
        "the star is red and the disc is blue, on a beach": False,
        "the star is smaller than the circle": False,
    }
    for text, truth in truths.items():
        assert is_true(read(text), scene) is truth, text
    with pytest.raises(AssertionError, match="does not understand"):
        read("a star beneath a circle")


def test_captions_are_true_and_false_of_another_background_that_they_mention(captioned):
    for scene, _, captions in captioned:
        elsewhere = replace(scene, background="beach" if scene.background != "beach" else "white")
        for caption in captions:
            assert is_true(read(caption.text), scene), (caption.text, scene)
            assert caption.holds(scene), (caption.text, scene)
            named = read(caption.text).background is not None
            assert caption.holds(elsewhere) != named, caption.text


def test_captions_ruled_out_are_false_and_tell_each_scene_from_each_family_mate(captioned):
    ruled_out = 0
    for scene, mates, captions in captioned:
        for mate in mates:
            false = [caption.text for caption in captions if not caption.holds(mate)]
            assert false, (scene, mate)
            ruled_out += len(false)
            for text in false:
                assert not is_true(read(text), mate, lenient=True), (text, mate)
    assert ruled_out > 0.6 * len(captioned) * 3 * 5


def test_every_word_and_relation_occurs(captioned):
    texts = [caption.text for _, _, captions in captioned for caption in captions]
    said = joined(" ".join(texts))
    for word in WORDS:
        assert re.search(rf"\b{word}", said), word
    readings = [read(text) for text in texts]
    assert {name for reading in readings for _, name, _ in reading.relations} == set(RELATIONS)
    assert {reading.background for reading in readings} == {None, *PLACES}
    assert {m.number for reading in readings for m in reading.mentions} == {1, 2, 3, 4}
    assert np.mean([bool(reading.relations) for reading in readings]) > 0.3


def test_five_different_captions_of_a_readable_length(captioned):
    for _, _, captions in captioned:
        texts = [caption.text for caption in captions]
        assert len(set(texts)) == 5
        for text in texts:
            assert text == text.lower().strip()
            assert 2 <= len(text.split()) <= 40, text


def test_every_kind_of_sentence_is_true():
    rng = np.random.default_rng(0)
    made = dict.fromkeys(GRAMMAR, 0)
    for scene in sample_scenes(120, seed=5):
        for sentence in GRAMMAR:
            if caption := sentence(scene, rng):
                made[sentence] += 1
                assert is_true(read(caption.text), scene), (caption.text, scene)
    assert min(made.values()) > 30, made


@pytest.mark.parametrize("kind", ["colour", "shape", "size", "relation", "count", "pattern"])
def test_near_misses_of_each_kind_can_be_told_from_their_base(kind):
    rng = np.random.default_rng(0)
    bases = [scene for scene in sample_scenes(80, seed=6) if scene.kind == "base"]
    for base in bases:
        for near in near_misses(base, kind)[:2]:
            for scene, other in ((near, base), (base, near)):
                captions = describe(scene, rng, unlike=[other])
                readings = [read(caption.text) for caption in captions]
                assert any(not is_true(r, other, lenient=True) for r in readings)


def test_describe_a_single_object():
    scene = Scene((SceneObject("ring", "orange", "small", "plain", x=0.3, y=0.3),), "white")
    texts = [caption.text for caption in describe(scene, np.random.default_rng(0))]
    assert len(set(texts)) == 5
    for text in texts:
        assert is_true(read(text), scene), text


def test_scenes_that_words_cannot_tell_apart():
    ring = SceneObject("ring", "orange", "small", "plain", x=0.3, y=0.3)
    scene, tilted = Scene((ring,), "white"), Scene((replace(ring, tilt=9),), "white")
    with pytest.raises(MiteError, match="No caption tells"):
        describe(scene, np.random.default_rng(0), unlike=[tilted])
