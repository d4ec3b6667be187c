"""What runs beside an application, or in a small container, loads no TensorFlow."""

import pytest

SERVER = """
import urllib.request
from mite_tf.serving.server import start_server
with start_server(sys.argv[1], backend="onnx") as running:
    url = f"http://127.0.0.1:{running.http_port}/v1/models/text:predict"
    urllib.request.urlopen(url, b'{"instances": ["a"]}').read()
"""
BACKENDS = """
from mite_tf.serving.backends import open_backend
open_backend(sys.argv[1], "text"), open_backend(sys.argv[1], "image")
"""


@pytest.mark.parametrize(
    "code",
    [
        SERVER,
        BACKENDS,
        "from mite_tf.serving.wire import messages, tensors",
        "from mite_tf.serving import verify_server",
    ],
    ids=["server", "backends", "wire", "verify"],
)
def test_no_tensorflow_is_loaded(export_folder, run_python, code):
    loaded = "[name for name in sys.modules if name.startswith(('tensorflow', 'keras'))]"
    done = run_python(f"import sys\n{code}\nprint({loaded})", export_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
