"""The asyncio twin gives the same results and errors."""

import asyncio
import time

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.export.verification.cases import images
from mite_tf.serving.client import (
    AsyncEmbeddingClient,
    EmbeddingClient,
    EmbeddingError,
    MixedVersionsError,
)
from tests.serving.client.fake_server import abort, embedding_of, sleep

TEXTS = [f"caption {number}" for number in range(50)]
EXPECTED = np.array([embedding_of(text.encode()) for text in TEXTS], np.float32)


def call(target, method, *arguments, **options):
    async def run():
        async with AsyncEmbeddingClient(target, **options) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(run())


def test_results_of_a_real_server_are_the_same(address, export_folder):
    files = list(images().values())
    with EmbeddingClient(address) as client:
        for method, inputs in (("embed_text", TEXTS), ("embed_images", files), ("embed_text", [])):
            expected = getattr(client, method)(inputs)
            found = call(address, method, inputs, rows_per_request=3)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        assert call(address, "metadata") == client.metadata()
        assert call(address, "status") == client.status()

    async def local():
        async with AsyncEmbeddingClient.local(export_folder) as client:
            return await client.embed_text(TEXTS)

    with EmbeddingClient(address) as client:
        np.testing.assert_allclose(asyncio.run(local()), client.embed_text(TEXTS), atol=1e-6)


def test_order_and_bound(fake):
    fake.faults.extend([sleep(0.05), None, sleep(0.02)] * 5)
    found = call(fake.target, "embed_text", TEXTS, rows_per_request=3, in_flight=3)
    np.testing.assert_array_equal(found, EXPECTED)
    assert 1 < fake.most_at_once <= 3


def test_calls_wait_side_by_side(fake):
    fake.faults.extend([sleep(0.3)] * 6)

    async def run():
        async with AsyncEmbeddingClient(fake.target) as client:
            return await asyncio.gather(*(client.embed_text([text]) for text in TEXTS[:6]))

    started = time.monotonic()
    np.testing.assert_array_equal(np.concatenate(asyncio.run(run())), EXPECTED[:6])
    assert time.monotonic() - started < 1.2


@pytest.mark.parametrize(
    ("faults", "options", "requests", "code"),
    [
        ([abort("UNAVAILABLE")] * 2, {}, 3, None),
        ([abort("RESOURCE_EXHAUSTED")] * 9, {"retries": 2}, 3, "RESOURCE_EXHAUSTED"),
        ([abort("INTERNAL")], {}, 1, "INTERNAL"),
        ([sleep(2)], {"attempt_timeout": 0.2}, 2, None),
        ([sleep(2)], {"timeout": 0.3}, 1, "DEADLINE_EXCEEDED"),
    ],
)
def test_the_same_is_tried_again(fake, faults, options, requests, code):
    for run in (
        lambda: EmbeddingClient(fake.target, **options).embed_text(["a"]),
        lambda: call(fake.target, "embed_text", ["a"], **options),
    ):
        fake.requests.clear()
        fake.faults.clear()
        fake.faults.extend(faults)
        if code:
            with pytest.raises(EmbeddingError) as caught:
                run()
            assert caught.value.code == code
        else:
            run()
        assert len(fake.requests) == requests


def test_versions_and_errors(fake):
    fake.version = lambda number: number % 2
    with pytest.raises(MixedVersionsError):
        call(fake.target, "embed_text", TEXTS, rows_per_request=2, in_flight=1)
    fake.version = lambda number: 1
    with pytest.raises(EmbeddingError, match=r"texts\[2\]: .*bad"):
        call(fake.target, "embed_text", ["a", "b", "BAD", "c"])
    with pytest.raises(MiteError, match="single str"):
        call(fake.target, "embed_text", "a dog")
    with pytest.raises(MiteError, match=r"images\[0\] \(none.jpg\)"):
        call(fake.target, "embed_images", ["none.jpg"])


def test_an_error_ends_what_is_under_way(fake):
    fake.faults.extend([sleep(0.1), abort("INTERNAL"), *[sleep(5)] * 9])
    started = time.monotonic()
    with pytest.raises(EmbeddingError, match="INTERNAL"):
        call(fake.target, "embed_text", TEXTS, rows_per_request=1, in_flight=4)
    assert time.monotonic() - started < 3


def test_a_cancelled_call_lets_go(fake):
    fake.faults.append(sleep(1))

    async def run():
        async with AsyncEmbeddingClient(fake.target) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.embed_text(["a"])
            return await client.embed_text(["a"])

    assert asyncio.run(run()).shape == (1, 3)


def test_a_token_may_be_awaited(fake):
    async def token():
        await asyncio.sleep(0)
        return "later"

    call(fake.target, "embed_text", ["a"], token=token)
    call(fake.target, "embed_text", ["a"], token=lambda: "now")
    assert [each["authorization"] for each in fake.metadata] == ["Bearer later", "Bearer now"]
    with EmbeddingClient(fake.target, token=token) as client, pytest.raises(MiteError):
        client.embed_text(["a"])
