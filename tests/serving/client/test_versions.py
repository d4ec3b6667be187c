"""Embeddings of two versions never meet."""

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.client import EmbeddingClient, EmbeddingError, MixedVersionsError
from mite_tf.serving.client.async_client import MixedVersionsWarning
from tests.serving.client.fake_server import abort, sleep

TEXTS = [f"caption {number}" for number in range(12)]


def client_of(fake, **options):
    return EmbeddingClient(fake.target, rows_per_request=2, **{"in_flight": 1, **options})


@pytest.mark.parametrize("in_flight", [1, 3])
def test_all_is_embedded_again_after_a_switch(fake, in_flight):
    if in_flight > 1:
        fake.faults.extend([None, None, sleep(0.1)] * 3)
    fake.version = lambda number: 1 if number < 3 else 2
    with client_of(fake, in_flight=in_flight) as client:
        assert client.embed_text(TEXTS).shape == (12, 3)
        assert client.versions == {"text": 2}
    if in_flight == 1:
        assert len(fake.requests) == 3 + 1 + 6


def test_a_second_switch_is_an_error(fake):
    fake.version = lambda number: number % 2
    with (
        client_of(fake) as client,
        pytest.raises(MixedVersionsError, match="version 0 and as version 1 within one call"),
    ):
        client.embed_text(TEXTS)
    assert len(fake.requests) == 4
    assert client.versions == {}


def test_images_and_texts_must_agree(fake):
    fake.version = lambda number: 1 if number < 1 else 2
    with client_of(fake) as client:
        client.embed_images([b"picture"])
        with pytest.raises(MixedVersionsError, match="'text' answered as version 2"):
            client.embed_text(["a"])
        with pytest.raises(MixedVersionsError):
            client.embed_text(["a"])  # the images are still of version 1
        client.embed_images([b"picture"])
        client.embed_text(["a"])
        assert client.versions == {"image": 2, "text": 2}


def test_a_warning_is_given_once_for_each_switch_unless_all_is_allowed(fake):
    fake.version = lambda number: 1 if number in (0, 3) else 2
    with client_of(fake, mixed_versions="warn") as client:
        client.embed_images([b"picture"])
        with pytest.warns(MixedVersionsWarning, match="must not be compared"):
            client.embed_text(["a"])
        client.embed_text(["a"])
    with client_of(fake, mixed_versions="allow") as client:
        client.embed_images([b"picture"])
        client.embed_text(["a"])


def test_a_version_is_asked_for(fake):
    fake.version = lambda number: 7
    with client_of(fake, version=7) as client:
        client.embed_text(["a"])
    assert fake.requests[0].model_spec.version.value == 7
    with client_of(fake, version=8) as client, pytest.raises(MixedVersionsError, match="version 8"):
        client.embed_text(["a"])


def test_a_label_is_asked_for(fake):
    with client_of(fake, version_label="canary") as client:
        client.embed_text(["a"])
        assert fake.requests[0].model_spec.version_label == "canary"
        fake.faults.append(abort("FAILED_PRECONDITION", "no such label"))
        with pytest.raises(EmbeddingError, match="the version labelled canary"):
            client.embed_text(["a"])
    with pytest.raises(MiteError, match="not both"):
        client_of(fake, version=1, version_label="canary")
