"""The batching file, and batches of a model that is a function."""

import asyncio
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.backends import Rows, SignatureSpec
from mite_tf.serving.server import Batching, read_batching
from mite_tf.serving.server.batcher import Batcher
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.model_version import warm
from mite_tf.serving.server.outcomes import Refusal


def test_the_file_of_an_export(export_folder):
    expected = Batching(max_batch_size=32, num_batch_threads=2, max_enqueued_batches=100)
    assert read_batching(export_folder / "tf_serving" / "batching.config") == expected


def test_splitting(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 512 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 32 }"
    )
    batching = read_batching(path)
    assert (batching.max_batch_size, batching.rows_of_a_call) == (512, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_sizes { value: 3 }", "not a batching parameters file"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1"),
        ("pad_variable_length_inputs: true", "not supported"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "the last must be 8"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [9, 8]", "must increase"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [4, 8] "
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 }",
            "wants them equal: leave out",
        ),
    ],
)
def test_what_tensorflow_serving_refuses(tmp_path, text, message):
    (tmp_path / "file").write_text(text)
    with pytest.raises(MiteError, match=message):
        read_batching(tmp_path / "file")


def test_a_missing_file(tmp_path):
    with pytest.raises(MiteError, match="none"):
        read_batching(tmp_path / "none")


def run(ask, batching, model, light_rows=0):
    """Runs `ask(batcher)` on a loop; gives its result and the sizes of the calls."""
    calls = []

    def embed(rows):
        calls.append((rows.key, len(rows)))
        return model(rows)

    async def main():
        pool = ThreadPoolExecutor(batching.num_batch_threads)
        batcher = Batcher(
            model="text",
            run=embed,
            batching=batching,
            threads=pool,
            light_rows=light_rows,
            metrics=Metrics(),
        )
        try:
            return await ask(batcher)
        finally:
            pool.shutdown()

    return asyncio.run(main()), calls


def square(rows):
    return np.square(np.asarray(rows.values, np.float32))


def rows(*values, key="x"):
    return Rows(key, np.array(values, np.float32)[:, None])


def test_each_request_gets_its_own_rows():
    random = np.random.default_rng(0)
    parts = [rows(*random.normal(size=random.integers(1, 5)), key=n % 3) for n in range(200)]

    async def ask(batcher):
        return await asyncio.gather(*(batcher.put(part) for part in parts))

    batching = Batching(max_batch_size=8, num_batch_threads=2)
    answers, calls = run(ask, batching, square)
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(answer, np.square(part.values))
    assert max(size for _, size in calls) <= 8
    assert len(calls) < 100
    assert sum(size for _, size in calls) == sum(map(len, parts))


def test_without_gathering_each_runs_alone():
    async def ask(batcher):
        return await asyncio.gather(*(batcher.put(rows(n)) for n in range(20)))

    _, calls = run(ask, Batching(max_batch_size=8, gather=False), square)
    assert calls == [("x", 1)] * 20


def test_large_requests_are_split_for_the_model():
    async def ask(batcher):
        return await batcher.put(rows(*range(10)))

    batching = Batching(max_batch_size=100, max_execution_batch_size=4)
    answer, calls = run(ask, batching, square)
    assert [size for _, size in calls] == [4, 4, 2]
    assert answer.ravel().tolist() == [n * n for n in range(10)]


def test_light_calls_run_on_the_event_loop():
    on_loop = []

    def model(rows):
        on_loop.append(threading.current_thread() is threading.main_thread())
        return square(rows)

    async def ask(batcher):
        for count in (4, 5, 1):
            await batcher.put(rows(*range(count)))

    run(ask, Batching(max_batch_size=8), model, light_rows=4)
    assert on_loop == [True, False, True]


class Sleeper:
    """A backend whose calls take three milliseconds a row."""

    name, version, embedding_size = "text", 1, 1
    signatures: ClassVar = {"serving_default": SignatureSpec("text", "string", (None,))}

    def prepare(self, signature, array):
        return Rows("text", array)

    def run(self, rows):
        time.sleep(0.003 * len(rows))
        return np.zeros((len(rows), 1))


@pytest.mark.parametrize(("seconds", "light"), [(0.0, 0), (0.02, 6), (1.0, 12)])
def test_calls_are_light_up_to_as_many_rows_as_were_fast(monkeypatch, tmp_path, seconds, light):
    monkeypatch.setattr("mite_tf.serving.server.model_version._LIGHT_SECONDS", seconds)
    assert warm(Sleeper(), tmp_path, 12) == light


async def ask_together(batcher, count):
    """Asks so many times, each a few turns of the loop after the other."""
    answers = []
    for number in range(count):
        answers.append(batcher.put(rows(number)))
        for _ in range(5):
            await asyncio.sleep(0)
    await asyncio.gather(*answers)


@pytest.mark.parametrize("count", [1, 4])
def test_as_many_as_before_are_waited_for_and_no_longer(monkeypatch, count):
    async def ask(batcher):
        monkeypatch.setattr("mite_tf.serving.server.batcher._QUIET", 0.3)
        await ask_together(batcher, count)  # the server does not know yet how many come
        monkeypatch.setattr("mite_tf.serving.server.batcher._QUIET", 30)
        async with asyncio.timeout(20):
            for _ in range(5):
                await ask_together(batcher, count)

    _, calls = run(ask, Batching(max_batch_size=8), square)
    assert calls == [("x", count)] * 6


def test_a_timeout_waits_for_more():
    async def ask(batcher):
        loop = asyncio.get_running_loop()
        start = loop.time()
        first = batcher.put(rows(1))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, batcher.put(rows(2)))
        return loop.time() - start

    batching = Batching(max_batch_size=4, batch_timeout_micros=1_000_000)
    waited, calls = run(ask, batching, square)
    assert calls == [("x", 2)]
    assert waited >= 1


def test_a_timeout_waits_for_no_more_than_a_full_batch():
    async def ask(batcher):
        async with asyncio.timeout(20):
            first = batcher.put(rows(0))
            await asyncio.sleep(0.05)
            await asyncio.gather(first, *(batcher.put(rows(n)) for n in range(3)))
            first = batcher.put(rows(0))
            await asyncio.sleep(0.05)
            await asyncio.gather(first, batcher.put(rows(1, 2, 3)))  # fewer requests, as many rows

    batching = Batching(max_batch_size=4, batch_timeout_micros=30_000_000)
    _, calls = run(ask, batching, square)
    assert calls == [("x", 4), ("x", 4)]


def test_a_failure_is_of_its_batch_alone():
    def model(rows):
        if rows.key == "bad":
            raise RuntimeError("broken")
        return square(rows)

    async def ask(batcher):
        parts = [rows(n, key="bad" if n % 2 else "good") for n in range(10)]
        return await asyncio.gather(*map(batcher.put, parts), return_exceptions=True)

    answers, _ = run(ask, Batching(max_batch_size=4), model)
    for number, answer in enumerate(answers):
        if number % 2:
            assert isinstance(answer, Refusal)
            assert answer.code.name == "INTERNAL"
        else:
            assert answer == number**2


@pytest.mark.parametrize("light_rows", [0, 8])
def test_a_bad_request_fails_alone(light_rows):
    def model(rows):
        if np.isnan(rows.values).any():
            raise RuntimeError("broken")
        return square(rows)

    async def ask(batcher):
        values = [0, 1, float("nan"), 3, 4, float("nan")]
        answers = [batcher.put(rows(value)) for value in values]
        return await asyncio.gather(*answers, return_exceptions=True)

    batching = Batching(max_batch_size=8, num_batch_threads=1)
    answers, calls = run(ask, batching, model, light_rows)
    for number, answer in enumerate(answers):
        if number in (2, 5):
            assert (answer.code.name, str(answer)) == ("INTERNAL", "The model failed: broken")
        else:
            assert answer == number**2
    assert [size for _, size in calls] == [6] + [1] * 6


def test_a_caller_who_has_gone_is_left_out():
    go = threading.Event()

    def model(rows):
        go.wait(10)
        return square(rows)

    async def ask(batcher):
        first = batcher.put(rows(1))
        await asyncio.sleep(0.1)
        asked = rows(2)
        left = weakref.ref(asked.values)
        gone, stays = batcher.put(asked), batcher.put(rows(3))
        del asked
        gone.cancel()
        batcher.leave_out()
        assert left() is None  # while the model is busy with others
        go.set()
        return await asyncio.gather(first, stays)

    answers, calls = run(ask, Batching(max_batch_size=4, num_batch_threads=1), model)
    assert [answer.item() for answer in answers] == [1, 9]
    assert calls == [("x", 1), ("x", 1)]
