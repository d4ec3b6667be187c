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
from mite_tf.export.manifest import describe_files


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
