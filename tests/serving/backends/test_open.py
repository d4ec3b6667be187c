"""Backends opened as a program does that asks for embeddings in its own process."""

import copy
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST
from mite_tf.serving.backends import choose_kind, open_backend
from tests.serving.stubs import close, images

CAPTIONS = ["a dog", "red circle."]


def texts(captions):
    return np.array([each.encode() for each in captions], object)


@pytest.mark.parametrize("kind", ["onnx", "savedmodel"])
def test_embeddings_are_those_of_keras(export, kind):
    text = open_backend(export.path, "text", kind)
    assert (text.name, text.version, text.embedding_size) == ("text", 1, 16)
    found = text.run(text.prepare("serving_default", texts(CAPTIONS)))
    close(found, export.keras.text(CAPTIONS))
    image = open_backend(export.path, "image", kind)
    files = [images()["photo.jpg"], images()["grey.jpg"]]
    found = image.run(image.prepare("serving_default", np.array(files, object)))
    close(found, export.keras.images(files), 2e-5)
    assert found.dtype == np.float32


def test_what_is_loaded_does_not_change_with_the_folder(export, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(export.path, folder)
    backend = open_backend(folder, "text")
    shutil.rmtree(folder)
    found = backend.run(backend.prepare("serving_default", texts(CAPTIONS)))
    close(found, export.keras.text(CAPTIONS))


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("dog", "onnx", "Unknown model 'dog'; there are image, text"),
        ("text", "dog", "Unknown backend 'dog'"),
        ("text", "onnx-int8", r"holds no onnx/text_encoder\.int8\.onnx"),
    ],
)
def test_what_is_not_there(export_folder, model, kind, message):
    with pytest.raises(MiteError, match=message):
        open_backend(export_folder, model, kind)


def test_no_export(tmp_path):
    with pytest.raises(MiteError, match=f"holds no {MANIFEST}"):
        open_backend(tmp_path, "text")
    with pytest.raises(MiteError, match="no such folder"):
        choose_kind(tmp_path / "none")


def lied(folder, path, value, tokenizer=None):
    """Sets a value of the manifest, and another of `tokenizer.json` with a hash that fits."""
    file = folder / MANIFEST
    values = inner = json.loads(file.read_text())
    if tokenizer:
        words = json.loads((folder / "tokenizer.json").read_text())
        tokenizer(words)
        data = json.dumps(words).encode()
        (folder / "tokenizer.json").write_bytes(data)
        digest = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        values["files"]["tokenizer.json"] = digest
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(values))


@pytest.fixture
def folder(export_folder, tmp_path):
    return shutil.copytree(export_folder, tmp_path / "export")


@pytest.mark.parametrize(
    ("path", "value", "kinds", "model", "message"),
    [
        (["tokenizer", "max_length"], 4, ["onnx", "savedmodel"], "text", "cuts at 12 ids"),
        (["tokenizer", "vocabulary_size"], 60, ["onnx", "savedmodel"], "text", "ids 0 to 59"),
        (["preprocessing", "height"], 33, ["onnx", "savedmodel"], "image", "33|other pixels"),
        (["preprocessing", "orientation"], "ignored", ["savedmodel"], "image", "other pixels"),
        (["space"], "0" * 64, ["onnx", "savedmodel"], "image", "another space"),
        (["text", "signatures", "token_ids", "shape"], [None, 12], ["onnx"], "text", "no encoder"),
        (["image", "signatures", "pixels", "input"], "pixel", ["onnx"], "image", "no encoder"),
        (["embedding_size"], 17, ["onnx", "savedmodel"], "image", r"instead of finite.*\[1, 17\]"),
    ],
)
def test_what_the_manifest_claims_is_asked_of_the_graphs(
    path, value, kinds, model, message, folder
):
    lied(folder, path, value)
    for kind in kinds:
        with pytest.raises(MiteError, match=rf"{folder}.*{model}.*({message})"):
            open_backend(folder, model, kind)


def cut_at_four(words):
    words["truncation"]["max_length"] = 4


def word_more(words):
    words["model"]["vocab"]["zebra"] = len(words["model"]["vocab"])


@pytest.mark.parametrize("kind", ["onnx", "savedmodel"])
@pytest.mark.parametrize(
    ("key", "value", "tokenizer", "message"),
    [
        ("max_length", 4, cut_at_four, "more token ids count than the 4"),
        ("vocabulary_size", None, word_more, "refuses token id"),
    ],
)
def test_a_manifest_and_a_tokenizer_that_lie_alike(kind, key, value, tokenizer, message, folder):
    size = json.loads((folder / MANIFEST).read_text())["tokenizer"]["vocabulary_size"]
    lied(folder, ["tokenizer", key], value or size + 1, tokenizer)
    with pytest.raises(MiteError, match=message):
        open_backend(folder, "text", kind)


def test_files_that_are_too_large_or_none_are_not_read(folder):
    with (folder / "onnx/image_encoder.onnx").open("r+b") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(MiteError, match="not the file that was exported"):
        open_backend(folder, "image")
    lied(folder, ["files", "onnx/image_encoder.onnx", "bytes"], 1 << 40)
    with pytest.raises(MiteError, match="more than the 2048 MiB"):
        open_backend(folder, "image")
    for name in ("tokenizer.json", MANIFEST):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(MiteError, match=r"is no file|holds no manifest"):
            open_backend(folder, "text")


def places(values, path=()):
    """Paths of all values in a manifest, but the hashes of files."""
    yield path
    if isinstance(values, dict | list) and path[:1] != ("files",):
        each = values.items() if isinstance(values, dict) else enumerate(values)
        for key, value in each:
            yield from places(value, (*path, key))


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just("9" * 30),
    st.sampled_from([0, -1, 1, 2, 3, 5, 13, 2**31, 2**63, 10**30, [], {}, [None], [[]]]),
)  # fmt: skip


@pytest.fixture(scope="module")
def opened_with(export, tmp_path_factory):
    """Opens the export with another manifest: it is refused, or it answers as Keras does."""
    folder = shutil.copytree(export.path, tmp_path_factory.mktemp("odd") / "export")
    text = (folder / MANIFEST).read_text()
    files = [images()["photo.jpg"], images()["tiny.png"]]
    asked = {"text": texts(CAPTIONS), "image": np.array(files, object)}
    expected = {"text": export.keras.text(CAPTIONS), "image": export.keras.images(files)}

    def answers(model, place, value):
        values = inner = copy.deepcopy(json.loads(text))
        for key in place[:-1]:
            inner = inner[key]
        if place:
            inner[place[-1]] = value
        (folder / MANIFEST).write_text(json.dumps(values if place else value))
        try:
            backend = open_backend(folder, model)
        except MiteError:
            return
        found = backend.run(backend.prepare("serving_default", asked[model]))
        close(found, expected[model], 2e-5)

    answers.places = list(places(json.loads(text)))
    return answers


def fuzz(opened_with, model, examples):
    @settings(
        max_examples=examples, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(opened_with.places), ODD)
    @example(("version",), 10**30)
    @example(("image", "signatures", "pixels", "shape"), [10**9] * 9)
    def run(place, value):
        opened_with(model, place, value)

    run()


def test_an_odd_manifest_is_refused_or_right(opened_with):
    fuzz(opened_with, "text", 20)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["image", "text"])
def test_a_thousand_odd_manifests_are_refused_or_right(model, opened_with):
    fuzz(opened_with, model, 1000)
