"""What the garbage collector is kept from."""

import gc
import weakref

import pytest

from mite_tf.serving.server.server import _spare_what_is_loaded


class Node:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self):
        self.self = self


@pytest.fixture
def collector():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_what_is_loaded_is_left_out_and_freed_when_it_is_replaced():
    before = gc.get_threshold()[0]
    loaded, unused = Node(), weakref.ref(Node())
    _spare_what_is_loaded()
    assert unused() is None
    assert gc.get_threshold()[0] > before
    assert gc.get_freeze_count() > 1000
    assert not any(each is loaded for each in gc.get_objects())
    old, loaded = weakref.ref(loaded), Node()
    gc.collect()
    assert old() is not None  # no round looks at it any more
    _spare_what_is_loaded()
    assert old() is None
    assert not any(each is loaded for each in gc.get_objects())


def test_serving_begins_when_all_is_left_out(export_folder, run_python):
    script = (
        "import gc, logging, os, signal, sys\n"
        "from mite_tf.serving.server import serve\n"
        "def listen(record):\n"
        "    if record.msg == 'serving':\n"
        "        print(gc.get_freeze_count(), len(gc.get_objects()))\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return True\n"
        "logging.getLogger('mite_tf.serving').addFilter(listen)\n"
        "serve(sys.argv[1], port=0, http_port=0, backend='onnx')\n"
    )
    done = run_python(script, export_folder)
    assert done.returncode == 0, done.stderr
    left_out, looked_at = map(int, done.stdout.split())
    assert left_out > 10 * looked_at
