"""The ONNX files where neither TensorFlow nor this package's export code is."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mite_tf.export import read_manifest
from mite_tf.export.pixels import pixels_of

WITHOUT_TENSORFLOW = """
import json, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflow_text", "keras"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import numpy as np
import onnxruntime
from tokenizers import Tokenizer
from mite_tf.export.pixels import pixels_of

folder = Path(sys.argv[1])
read = lambda name: json.loads((folder / name).read_text(encoding="utf-8"))

captions = read("verification/captions.json")
encodings = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(
    [case["text"] for case in captions])
ids = np.array([encoding.ids for encoding in encodings], np.int32)
text = onnxruntime.InferenceSession(folder / "onnx/text_encoder.onnx")
found = text.run(["embedding"], {"token_ids": ids})[0]
print("text", np.abs(found - [case["embedding"] for case in captions]).max())

how = read("manifest.json")["preprocessing"]
images = read("verification/images.json")
pixels = np.stack(
    [pixels_of((folder / "verification" / case["file"]).read_bytes(), how) for case in images])
image = onnxruntime.InferenceSession(folder / "onnx/image_encoder.onnx")
found = image.run(["embedding"], {"pixels": pixels})[0]
print("image", np.abs(found - [case["embedding"] for case in images]).max())
"""


def test_python_without_tensorflow(exported, run_python):
    done = run_python(WITHOUT_TENSORFLOW, exported)
    assert done.returncode == 0, done.stderr
    differences = dict(line.split() for line in done.stdout.splitlines())
    assert float(differences["text"]) < 1e-4
    assert float(differences["image"]) < 1e-3  # its own resize: 1e-4 in cosine


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory):
    """A folder with the packages of npm; skips where they cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true}')
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
         "onnxruntime-web", "@huggingface/tokenizers"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot install: {done.stderr.strip()[-200:]}")
    shutil.copy(Path(__file__).with_name("embed.mjs"), folder)
    return folder


@pytest.mark.slow
def test_node(exported, node_folder):
    images = json.loads((exported / "verification/images.json").read_text())
    how = read_manifest(exported).preprocessing
    for number, case in enumerate(images):
        pixels = pixels_of((exported / "verification" / case["file"]).read_bytes(), how)
        pixels.tofile(node_folder / f"{number}.bin")
    done = subprocess.run(
        ["node", "embed.mjs", exported], cwd=node_folder, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    captions = json.loads((exported / "verification/captions.json").read_text())
    longest = read_manifest(exported).tokenizer["max_length"]
    for found, case in zip(result["captions"], captions, strict=True):
        assert found["ids"][:longest] == case["token_ids"], case["name"]
        np.testing.assert_allclose(found["embedding"], case["embedding"], atol=1e-4)
    for found, case in zip(result["images"], images, strict=True):
        np.testing.assert_allclose(found, case["embedding"], atol=1e-4)
