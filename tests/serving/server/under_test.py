"""Clients that ask, a model that waits to be let go, and what a server counts."""

import contextlib
import threading
import time
import urllib.request

import grpc

from mite_tf.serving.server import Batching
from tests.serving.stubs import stubs_of

CAPTIONS = ["a dog", "red circle", "dogs run.", "green square left", ""]


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def metrics(running):
    with urllib.request.urlopen(
        f"http://127.0.0.1:{running.http_port}/monitoring/prometheus/metrics"
    ) as page:
        lines = [line for line in page.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextlib.contextmanager
def asking(port, clients=8):
    """Clients that ask one caption after the other; gives what they got."""
    answers, errors, stop = [], [], threading.Event()

    def ask(number):
        with stubs_of(port) as stubs:
            while not stop.is_set():
                caption = CAPTIONS[number % len(CAPTIONS)]
                number += 1
                try:
                    answers.append((caption, stubs.predict("text", text=[caption])))
                except grpc.RpcError as error:
                    errors.append((error.code().name, error.details()))
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers, errors
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class SlowModel:
    """Holds a server's model until it is let go."""

    def __init__(self, monkeypatch, seconds=0.0):
        from mite_tf.serving.backends.onnx import OnnxBackend

        self.go = threading.Event()
        self.calls = []
        run = OnnxBackend.run

        def slow(backend, rows):
            if backend.name == "text" and self.on:
                self.calls.append(list(rows.values))
                self.go.wait(30)
                time.sleep(seconds)
            return run(backend, rows)

        self.on = False
        monkeypatch.setattr(OnnxBackend, "run", slow)
        # A model that is held must not hold the event loop with it.
        monkeypatch.setattr("mite_tf.serving.server.model_version._LIGHT_SECONDS", -1.0)


def asked_in_threads(port, captions, **more):
    """Asks in threads of their own; gives the answers or statuses in time."""
    done = {}

    def ask(caption):
        with stubs_of(port) as stubs:
            try:
                done[caption] = stubs.embed("text", text=[caption], **more)
            except grpc.RpcError as error:
                done[caption] = error.code().name

    threads = [threading.Thread(target=ask, args=(caption,)) for caption in captions]
    for thread in threads:
        thread.start()
    return done, threads


ONE = Batching(max_batch_size=4, num_batch_threads=1, max_enqueued_batches=1)
