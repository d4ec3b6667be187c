"""The client loads nothing heavy, and says what to install for what is missing."""

import subprocess
import sys

import numpy as np
import pytest

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} must not be loaded", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Block())
"""
HEAVY = "tensorflow,tensorflow_text,keras,tensorflow_serving,onnx,onnxruntime,tokenizers,sklearn"


def run(script, *arguments, blocked):
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + script, blocked, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_remote_client_needs_numpy_grpc_and_protobuf(fake):
    script = """
from mite_tf.serving import EmbeddingClient
with EmbeddingClient(sys.argv[2]) as client:
    print(client.embed_text(["a"] * 40).sum() == 40 * client.embed_images([b"a"]).sum())
"""
    light = f"{HEAVY},pydantic,rich,PIL,starlette,uvicorn,matplotlib,jinja2"
    assert run(script, fake.target, blocked=light) == "True"


def test_a_local_client_needs_no_tensorflow_and_no_grpc(export):
    script = """
import numpy as np
from mite_tf.serving import EmbeddingClient
with EmbeddingClient.local(sys.argv[2]) as client:
    print(client.embed_text(["a dog"])[0].tolist())
"""
    blocked = "tensorflow,tensorflow_text,keras,tensorflow_serving,grpc"
    [found] = [eval(run(script, export.path, blocked=blocked))]
    np.testing.assert_allclose(found, export.keras.text(["a dog"])[0], atol=1e-6)


def test_what_is_missing_is_named(export_folder):
    script = """
from mite_tf.serving import EmbeddingClient
for make in (lambda: EmbeddingClient("localhost:1"), lambda: EmbeddingClient.local(sys.argv[2])):
    try:
        make()
    except ValueError as error:
        print(error)
"""
    told = run(script, export_folder, blocked="grpc")
    assert "[client]'" in told
    assert "onnx" not in told
    script = script.replace(
        "from mite_tf.serving import", "import importlib.util as util\n"
        "util.find_spec = lambda name: None\nfrom mite_tf.serving import"
    )  # fmt: skip
    assert "[onnx]'" in run(script, export_folder, blocked="grpc")


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("mite_tf.serving.client", "client"),
        ("mite_tf.serving.server", "serving"),
        ("mite_tf.serving.loadtest", "serving"),  # though it begins with a client
        ("mite_tf.serving:load_test", "serving"),
    ],
)
def test_each_part_of_serving_names_its_own_extra(name, extra):
    script = """
import importlib
module, _, name = sys.argv[2].partition(":")
try:
    getattr(importlib.import_module(module), name or "__doc__")
except ImportError as error:
    print(error)
"""
    told = run(script, name, blocked="grpc,google")
    assert told.startswith(f"{name.replace(':', '.')} needs grpc, google.protobuf"[:30])
    assert f"[{extra}]'" in told


def test_importing_serving_is_cheap():
    script = """
import mite_tf.serving
loaded = ("grpc", "numpy", "PIL", "google.protobuf")
print([name for name in sys.modules if name.startswith(loaded)])
"""
    assert run(script, blocked=HEAVY) == "[]"
