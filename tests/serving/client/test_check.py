"""What a server serves, compared field by field with what a manifest describes."""

import copy
import dataclasses

import pytest

from mite_tf.errors import MiteError
from mite_tf.export import read_manifest
from mite_tf.export.verification.golden import write_golden
from mite_tf.serving.client import EmbeddingClient, EmbeddingError, MismatchError
from tests.serving.client.fake_server import abort

TYPES = {"string": 7, "float32": 1, "uint8": 4, "int32": 3}


@pytest.fixture
def manifest(export_folder):
    return read_manifest(export_folder)


@pytest.fixture
def described(fake, manifest):
    """Metadata of the fake, just as the manifest describes them."""
    output = {"embedding": (1, [-1, manifest.embedding_size])}
    for kind in ("image", "text"):
        fake.described[kind] = {
            name: (
                {
                    each["input"]: (
                        TYPES[each["dtype"]],
                        [-1 if size is None else size for size in each["shape"]],
                    )
                },
                copy.deepcopy(output),
            )
            for name, each in getattr(manifest, kind)["signatures"].items()
        }
    return fake.described


def differences(fake, manifest):
    with EmbeddingClient(fake.target) as client, pytest.raises(MismatchError) as caught:
        client.check(manifest)
    assert all(each in str(caught.value) for each in caught.value.differences)
    return caught.value.differences


def test_what_fits_passes(fake, manifest, described):
    with EmbeddingClient(fake.target) as client:
        client.check(manifest)


def test_a_missing_signature(fake, manifest, described):
    del described["image"]["pixels"]
    assert differences(fake, manifest) == [
        "model 'image', signature 'pixels': not served; there are pixels_uint8, serving_default"
    ]


def test_names_types_and_shapes(fake, manifest, described):
    described["text"]["serving_default"] = (
        {"sentence": (7, [-1])}, {"embedding": (1, [-1, manifest.embedding_size])}
    )  # fmt: skip
    described["text"]["token_ids"][0]["token_ids"] = (9, [-1, 40])
    described["image"]["serving_default"][1]["embedding"] = (2, [-1, 7])
    assert differences(fake, manifest) == [
        "model 'image', signature 'serving_default', 'embedding': dtype is double; expected float",
        "model 'image', signature 'serving_default', 'embedding': shape is [-1, 7]; "
        f"expected [-1, {manifest.embedding_size}]",
        "model 'text', signature 'serving_default': input is named 'sentence'; expected 'text'",
        "model 'text', signature 'token_ids', 'token_ids': dtype is int64; expected int32",
        "model 'text', signature 'token_ids', 'token_ids': shape is [-1, 40]; expected [-1, -1]",
    ]


def test_another_version(fake, manifest, described):
    fake.version = lambda number: 3
    assert differences(fake, manifest) == [
        f"model {model!r}: version 3 is served; the manifest describes 1"
        for model in ("image", "text")
    ]


def test_a_model_that_is_not_served(fake, manifest, described):
    del described["text"]
    assert differences(fake, manifest) == ["model 'text': not served: Servable not found: text"]


def test_what_is_no_export_is_told(fake, tmp_path):
    with EmbeddingClient(fake.target) as client, pytest.raises(MiteError, match="no such folder"):
        client.check(tmp_path / "none")


def test_answers_of_other_weights_are_noticed(export, tmp_path, address):
    """The same signatures and version, but the answers of another training."""
    from tests.serving.exports import make_encoders

    manifest = read_manifest(export.path)
    for seed, fits in ((0, True), (1, False)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        encoders = export.keras.encoders if fits else make_encoders(seed=seed, word_size=16,
                                                                    hidden_size=16)  # fmt: skip
        write_golden(folder, encoders)
        dataclasses.replace(manifest).write(folder)
        with EmbeddingClient(address) as client:
            if fits:
                client.check(folder)
                assert client.versions == {"image": 1, "text": 1}
            else:
                with pytest.raises(MismatchError, match="These are other weights") as caught:
                    client.check(folder)
                assert len(caught.value.differences) == 2
                client.check(folder / "manifest.json")  # a manifest alone has no answers


def test_an_absent_server_is_no_mismatch(fake, manifest):
    fake.faults.append(abort("UNAVAILABLE"))
    fake.__exit__()
    with (
        EmbeddingClient(fake.target, wait_for_ready=False, retries=0) as client,
        pytest.raises(EmbeddingError, match="UNAVAILABLE"),
    ):
        client.check(manifest)
