"""`/search` of a server with an index, asked with the standard library."""

import base64
import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.retrieval.embedding_files import EmbeddingFolder, write_shard
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.serving.server import ServerOptions, start_server
from tests.page.conftest import collection  # noqa: F401
from tests.serving.server.under_test import metrics


@pytest.fixture(scope="module")
def searching(collection):  # noqa: F811
    with start_server(collection.export, index=collection.index) as running:
        yield running


def ask(port, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/search", data, 30) as response:
            return response.status, json.load(response)["results"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def b64(path):
    return base64.b64encode(Path(path).read_bytes()).decode()


def test_texts_pictures_and_both_find_what_their_vectors_do(searching, collection):  # noqa: F811
    rows = collection.rows
    picture = b64(rows.paths[5])
    weighed = 0.25 * rows.vectors[12] + 0.75 * rows.vectors[5]
    asked = [
        ({"text": "a red circle"}, rows.vectors[12]),
        ({"image": picture}, rows.vectors[5]),
        ({"image": f"data:image/png;base64,{picture}"}, rows.vectors[5]),
        ({"text": "a red circle", "image": picture, "text_weight": 0.25}, weighed),
    ]
    for body, query in asked:
        status, found = ask(searching.http_port, body | {"k": 17})
        assert status == 200
        cosines = rows.vectors @ (query / np.linalg.norm(query))
        assert [each["id"] for each in found] == [rows.ids[at] for at in np.argsort(-cosines)]
        np.testing.assert_allclose(
            [each["cosine"] for each in found], -np.sort(-cosines), atol=1e-5
        )
        for each in found:
            at = rows.ids.index(each["id"])
            assert each["modality"] == rows.modalities[at]
            assert (each["path"], each["text"]) == (rows.paths[at], rows.texts[at])
            assert each["score"] == each["cosine"]  # there is no bank of hubs


def test_one_modality_and_few_results(searching):
    _, found = ask(searching.http_port, {"text": "a dog", "k": 3, "modality": "image"})
    assert [each["modality"] for each in found] == ["image"] * 3


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "Say what to search for"),
        ({"text": ""}, "Say what to search for"),
        ({"text": " \t"}, "Say what to search for"),
        ({"text": 3}, "text is 3; it must be a string"),
        ({"image": ["a"]}, 'image is ["a"]; it must be a string'),
        ({"text": "a", "k": 1001}, "from 1 to 1000"),
        ({"text": "a", "k": True}, "k is true"),
        ({"text": "a", "modality": "sound"}, "image, text or both"),
        ({"text": "a", "modality": ["image"]}, "image, text or both"),
        ({"text": "a", "text_weight": 1.5}, "text_weight is 1.5"),
        ({"text": "a", "hub_correction": "no"}, "true or false"),
        ({"text": "a", "top": 3}, 'The key "top" is unknown; there are text, image, k,'),
        ({"image": "!"}, "image: base64 that cannot be read"),
        ({"image": "bm8gcGljdHVyZQ=="}, "image: The bytes cannot be decoded as an image"),
        ({"image": "file:///etc/passwd"}, "the server fetches no address"),
        (b'{"text": "\\ud800"}', "is not valid Unicode"),
        (b"[1]", "Is not object"),
    ],
)
def test_what_cannot_be_searched_is_told(searching, body, told):
    status, error = ask(searching.http_port, body)
    assert (status, told in error) == (400, True), error


def test_too_many_searches_are_refused_and_counted(searching, monkeypatch):
    before = metrics(searching)
    monkeypatch.setattr("mite_tf.serving.server.search_api._MOST_WAITING", 0)
    assert ask(searching.http_port, {"text": "a"})[0] == 429
    name = ':tensorflow:serving:request_count{model_name="search",status="RESOURCE_EXHAUSTED"}'
    assert metrics(searching)[name] - before.get(name, 0) == 1


def test_without_an_index_and_with_that_of_another_model(
    server,
    collection,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    status, error = ask(server.http_port, {"text": "a"})
    assert (status, "--index INDEX" in error) == (404, True)
    folder = EmbeddingFolder.read(collection.embeddings)
    other = replace(folder, space="another", path=tmp_path)
    write_shard(tmp_path / "part-00000.parquet", collection.rows, space="another")
    other.write()
    FaissIndex.create(tmp_path / "index", other, kind="flat", quiet=True)
    with pytest.raises(MiteError, match="of another model"):
        start_server(collection.export, index=tmp_path / "index")
    with monkeypatch.context() as patch:  # before models are loaded, which takes longer
        patch.delattr("mite_tf.serving.server.server.Models.start")
        with pytest.raises(MiteError, match=r"holds no index\.json"):
            start_server(collection.export, index=tmp_path)
    with pytest.raises(MiteError, match="--http-port"):
        ServerOptions(export=collection.export, http_port=None, index=collection.index)
