"""The client for asyncio: what the blocking one, which runs it, does not show."""

import asyncio
import threading

import numpy as np
import pytest

from mite_tf.export.verification.cases import images
from mite_tf.serving.client import AsyncEmbeddingClient, EmbeddingClient
from tests.serving.client.fake_server import embedding_of, sleep

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


def test_calls_wait_side_by_side(fake):
    all_six = threading.Barrier(6)
    fake.faults.extend([lambda context: all_six.wait(20)] * 6)

    async def run():
        async with AsyncEmbeddingClient(fake.target) as client:
            return await asyncio.gather(*(client.embed_text([text]) for text in TEXTS[:6]))

    np.testing.assert_array_equal(np.concatenate(asyncio.run(run())), EXPECTED[:6])


def test_a_cancelled_call_lets_go(fake):
    fake.faults.append(sleep(30))

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
    with EmbeddingClient(fake.target, token=token) as client:
        client.embed_text(["a"])
    assert fake.metadata[-1]["authorization"] == "Bearer later"
