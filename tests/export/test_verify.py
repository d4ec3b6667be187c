import json
import os
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

from mite_tf.cli import main
from mite_tf.errors import MiteError
from mite_tf.export import read_manifest, verify
from mite_tf.export.claims import space_of
from mite_tf.export.manifest import describe_files, read_version


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def test_runs_without_training_code(exported, run_python):
    done = run_python(
        "import sys\n"
        "from mite_tf.cli import main\n"
        "from mite_tf.quiet import load_tensorflow\n"
        "load_tensorflow()\n"
        "import tensorflow_text\n"
        "before = set(sys.modules)\n"
        "assert main(['verify', sys.argv[1]]) == 0\n"
        "rooms = 'training', 'models', 'losses', 'text.tokenizer'\n"
        "code = tuple(f'mite_tf.{room}' for room in rooms)\n"
        "loaded = {name for name in sys.modules if name.startswith(code)}\n"
        "assert not loaded, loaded\n"
        "keras = {name for name in set(sys.modules) - before if name.startswith('keras')}\n"
        "assert not keras, keras  # beyond what TensorFlow imports itself\n",
        exported,
    )
    assert done.returncode == 0, done.stderr
    assert "ONNX, text, one by one" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "onnx/text_encoder.onnx").unlink(), "Missing: onnx/text_encoder.onnx"),
        (
            lambda f: os.truncate(f / "onnx/text_encoder.onnx", 5000),
            "Not the file that was exported: onnx/text_encoder.onnx",
        ),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json"),
        (lambda f: (f / "manifest.json").unlink(), "holds no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("[]"), "not a manifest"),
        (lambda f: (f / "manifest.json").write_text('{"mite_tf_export": 9}'), "of format 9"),
        (lambda f: (f / "manifest.json").write_text('{"mite_tf_export": 1}'), "name: .*required"),
    ],
)
def test_a_folder_that_is_not_whole_is_told(spoil, message, copy, capsys):
    spoil(copy)
    with pytest.raises(MiteError, match=message):
        verify(copy)
    assert main(["verify", str(copy)]) == 2
    assert capsys.readouterr().err.startswith("mite: ")


def rehash(folder):
    replace(read_manifest(folder), files=describe_files(folder)).write(folder)


def edit(folder, path, value):
    """Sets one value of the manifest, or of another JSON file, and makes the hashes fit."""
    file = folder / path[0]
    values = inner = json.loads(file.read_text())
    for key in path[1:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(values))
    if file.name != "manifest.json":
        rehash(folder)


def swap(folder, space=False):
    """Swaps two words of `tokenizer.json` that stand in no case."""
    path = folder / "tokenizer.json"
    vocabulary = json.loads(path.read_text())["model"]["vocab"]
    one, other = [word for word in ("purple", "pink", "yellow", "black") if word in vocabulary][:2]
    swapped = vocabulary | {one: vocabulary[other], other: vocabulary[one]}
    edit(folder, ["tokenizer.json", "model", "vocab"], swapped)
    if space:
        manifest = read_manifest(folder)
        words = sorted(swapped, key=swapped.get)
        made = space_of(
            image=manifest.image["encoder"], text=manifest.text["encoder"],
            preprocessing=manifest.preprocessing, tokenizer=manifest.tokenizer, vocabulary=words,
        )  # fmt: skip
        edit(folder, ["manifest.json", "space"], made)
        spoil_hubs(folder, space=np.array(made))
        for name in ("image", "text"):
            edit(folder, [f"savedmodel/{name}/1/assets.extra/mite_tf.json", "space"], made)


def lengthen(folder):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    longer = vocabulary | {"zebra": len(vocabulary)}
    edit(folder, ["tokenizer.json", "model", "vocab"], longer)
    edit(folder, ["manifest.json", "tokenizer", "vocabulary_size"], len(longer))
    edit(folder, ["manifest.json", "space"], "")


def spoil_hubs(folder, **changed):
    with np.load(folder / "hubs.npz") as file:
        arrays = dict(file)
    np.savez(folder / "hubs.npz", **arrays | changed)
    rehash(folder)


def put(folder, name):
    (folder / name).write_text("")


MANIFEST = "manifest.json"
LIES = {
    "length": (lambda f: edit(f, [MANIFEST, "tokenizer", "max_length"], 4), "max_length 4"),
    "size": (lambda f: edit(f, [MANIFEST, "tokenizer", "vocabulary_size"], 50), "ids 0 to 49"),
    "case": (lambda f: edit(f, [MANIFEST, "tokenizer", "lower_case"], False), "another space"),
    "pixels": (lambda f: edit(f, [MANIFEST, "preprocessing", "height"], 48), "another space"),
    "forms": (lambda f: edit(f, [MANIFEST, "formats"], ["savedmodel"]), "manifest, formats: "),
    "version": (lambda f: edit(f, [MANIFEST, "version"], 7), "text/7: not a readable SavedModel"),
    "space": (lambda f: edit(f, [MANIFEST, "space"], ""), "record of the SavedModel of text"),
    "encoder": (
        lambda f: edit(f, ["savedmodel/image/1/assets.extra/mite_tf.json", "encoder"], "0" * 64),
        r"record of the SavedModel of image: \['encoder'\]",
    ),
    "bank of others": (
        lambda f: spoil_hubs(f, space=np.array("0" * 64)),
        "hubs.npz is of another model: of space",
    ),
    "bank with another weight": (
        lambda f: spoil_hubs(f, weight=np.float64(0.1)),
        "hubs.npz holds other numbers",
    ),
    "bank that is none": (
        lambda f: spoil_hubs(f, images=np.zeros(3)),
        "hubs.npz: not a readable bank",
    ),
    "bank that is gone": (lambda f: edit(f, [MANIFEST, "hubs"], None), "hubs.npz holds other"),
    "file": (lambda f: put(f, "onnx/weights.bin"), r"Not of this export: onnx/weights\.bin"),
    "swapped": (swap, "another space"),
    "a word more": (lengthen, "tokenizer.json, ids|refuses token id|record of the SavedModel"),
}


SUBTLE = {  # each found by running the forms
    "input": (lambda f: edit(f, [MANIFEST, "image", "onnx", "shape"], [None]), "files and input"),
    "swapped all over": (lambda f: swap(f, space=True), "each word through the SavedModel"),
}
ALL_LIES = [pytest.param(*lie, id=name) for name, lie in LIES.items()]
ALL_LIES += [pytest.param(*lie, id=name, marks=pytest.mark.slow) for name, lie in SUBTLE.items()]


@pytest.mark.parametrize(("lie", "message"), ALL_LIES)
def test_what_is_not_as_the_manifest_says_is_found(lie, message, copy):
    lie(copy)
    with pytest.raises(MiteError, match=message):
        verify(copy)


def test_what_operators_put_there_is_no_harm(copy):
    for name in (".DS_Store", "savedmodel/text/1/batching_params.pbtxt"):
        put(copy, name)
    shutil.copytree(copy / "savedmodel/text/1", copy / "savedmodel/text/3")
    read_version(copy).check()


def test_other_weights_are_found_even_with_right_hashes(copy):
    path = copy / "onnx" / "text_encoder.onnx"
    model = onnx.load(path)
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = onnx.numpy_helper.to_array(weights) + np.float32(0.01)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, path)
    rehash(copy)
    with pytest.raises(MiteError, match="does not compute what Keras computed:\n  ONNX, text"):
        verify(copy)


def test_another_vocabulary_is_found_even_with_right_hashes(copy):
    path = copy / "tokenizer.json"
    values = json.loads(path.read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary["dog"], vocabulary["a"] = vocabulary["a"], vocabulary.get("dog", 1)
    path.write_text(json.dumps(values))
    rehash(copy)
    with pytest.raises(MiteError, match=r"tokenizer\.json, ids"):
        verify(copy)


def test_a_graph_that_takes_what_is_no_id_is_found(copy):
    path = copy / "onnx" / "text_encoder.onnx"
    model = onnx.load(path)
    [guard] = [
        each for each in model.graph.node if each.op_type == "Reshape" and "refuses_" in each.name
    ]
    guard.input[1] = "fits"
    fits = np.array([2, 2], np.int64)
    model.graph.initializer.append(onnx.numpy_helper.from_array(fits, "fits"))
    onnx.save(model, path)
    rehash(copy)
    with pytest.raises(MiteError, match="ONNX, text, numbers taken that are no token ids: 1, at"):
        verify(copy)


def test_a_savedmodel_that_cannot_be_read_is_told(copy):
    (copy / "savedmodel/text/1/saved_model.pb").write_bytes(b"x" * 100)
    rehash(copy)
    with pytest.raises(MiteError, match="not a readable SavedModel"):
        verify(copy)
