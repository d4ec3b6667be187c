"""The blocking client runs the asynchronous one on a thread of its own."""

import asyncio
import inspect
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.client import AsyncEmbeddingClient, EmbeddingClient
from tests.serving.client.fake_server import sleep


def loop_threads():
    return [each for each in threading.enumerate() if each.name == "embedding"]


def test_both_clients_take_the_same_arguments():
    for name in ("__init__", "local"):
        ours, other = (
            inspect.signature(getattr(each, name))
            for each in (EmbeddingClient, AsyncEmbeddingClient)
        )
        assert ours.parameters == other.parameters


def test_the_thread_ends_with_the_client(fake):
    with EmbeddingClient(fake.target) as client:
        assert not loop_threads()  # none before it is needed
        client.embed_text(["a"])
        assert len(loop_threads()) == 1
    assert not loop_threads()
    client = EmbeddingClient(fake.target)
    client.embed_text(["a"])
    del client
    assert not loop_threads()


def test_an_open_client_does_not_keep_the_interpreter(fake):
    script = (
        "import sys; from mite_tf.serving import EmbeddingClient; "
        "client = EmbeddingClient(sys.argv[1]); print(client.embed_text(['a']).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, fake.target],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(1, 3)", "")


def test_ctrl_c_is_not_delayed_and_cancels(fake):
    caller = threading.get_ident()

    def pressed(context):
        signal.pthread_kill(caller, signal.SIGINT)
        sleep(30)(context)

    fake.faults.append(pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    try:
        with EmbeddingClient(fake.target) as client:
            with pytest.raises(KeyboardInterrupt):
                client.embed_text(["a"])
            assert client.embed_text(["b"]).shape == (1, 3)
        assert time.monotonic() - started < 10
    finally:
        signal.signal(signal.SIGINT, before)


def test_close_ends_the_calls_of_other_threads(fake):
    fake.faults.append(sleep(30))
    client = EmbeddingClient(fake.target)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(client.embed_text, ["a"])
        while not fake.requests:
            time.sleep(0.01)
        client.close()
        with pytest.raises(MiteError, match=r"This client is closed\. Make a new one\."):
            result.result(10)


def test_it_works_inside_a_running_loop(fake):
    async def embed():
        with EmbeddingClient(fake.target) as client:
            return client.embed_text(["a"])

    assert asyncio.run(embed()).shape == (1, 3)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_it_works_after_a_fork(fake):
    script = """
import os, sys
from mite_tf.serving import EmbeddingClient
client = EmbeddingClient(sys.argv[1], timeout=10)
client.embed_text(["a"])
child = os.fork()
if child == 0:
    os._exit(client.embed_text(["a"] * 100).shape != (100, 3))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.embed_text(["a"]).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, fake.target],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "0 (1, 3)", done.stderr


def test_a_generator_may_use_the_client(fake):
    with EmbeddingClient(fake.target) as client:
        shapes = (str(client.embed_text([each]).shape) for each in "ab")
        assert client.embed_text(shapes).shape == (2, 3)


def test_progress_is_called_in_the_thread_of_the_caller(fake):
    threads, inner = set(), []

    def report(done, total):
        threads.add(threading.get_ident())
        inner.append(client.embed_text(["b"]).shape)  # it may use the client

    with EmbeddingClient(fake.target, rows_per_request=2) as client:
        assert client.embed_text(["a"] * 5, progress=report).shape == (5, 3)
        assert threads == {threading.get_ident()}
        assert inner == [(1, 3)] * 3

        def fails(done, total):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            client.embed_text(["a"] * 5, progress=fails)


def test_a_slow_token_stalls_nobody_else(fake):
    waiting, done = threading.Event(), threading.Event()

    def token():
        if threading.current_thread() is threading.main_thread():
            raise AssertionError
        if not waiting.is_set():
            waiting.set()
            assert done.wait(30)
        return "token"

    with EmbeddingClient(fake.target, token=token) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.embed_text, ["slow"])
        waiting.wait()
        assert client.embed_text(["a"], timeout=20).shape == (1, 3)
        done.set()
        assert slow.result(20).shape == (1, 3)
