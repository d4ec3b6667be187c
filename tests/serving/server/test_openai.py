"""`/v1/embeddings` and `/v1/models`, as the official client of OpenAI reads them."""

import base64
import json
import urllib.error
import urllib.request

import numpy as np
import openai
import pytest
from tokenizers import Tokenizer

from mite_tf.serving.server import start_server
from tests.serving.stubs import images

CAPTIONS = ["a dog", "é red circle.", "dogs run " * 40]


@pytest.fixture
def client(server):
    address = f"http://127.0.0.1:{server.http_port}/v1"
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as opened:
        yield opened


def data_url(name):
    return f"data:image/{name[-3:]};base64,{base64.b64encode(images()[name]).decode()}"


def vectors(response):
    assert [each.index for each in response.data] == list(range(len(response.data)))
    return np.array([each.embedding for each in response.data], np.float32)


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_texts_are_embedded_as_predict_does_to_the_bit(client, stubs, export_folder, form):
    asked = {} if form is None else {"encoding_format": form}
    response = client.embeddings.create(model="any", input=CAPTIONS, **asked)
    if form == "base64":
        found = [np.frombuffer(base64.b64decode(e.embedding), "<f4") for e in response.data]
    else:
        found = vectors(response)
    assert np.array_equal(found, stubs.embed("text", text=CAPTIONS))
    tokenizer = Tokenizer.from_file(str(export_folder / "tokenizer.json"))
    tokens = sum(sum(each.attention_mask) for each in tokenizer.encode_batch(CAPTIONS))
    assert (response.usage.prompt_tokens, response.usage.total_tokens) == (tokens, tokens)
    assert response.model == "random"


def test_pictures_and_texts_share_a_request(client, stubs):
    files = ["photo.jpg", "photo.png"]
    mixed = [
        data_url(files[0]),
        "a dog",
        {"type": "image_url", "image_url": {"url": data_url(files[1])}},
        {"type": "text", "text": "red circle"},
        {"image": base64.b64encode(images()[files[0]]).decode()},
    ]
    found = vectors(client.embeddings.create(model="random", input=mixed))
    pictures = stubs.embed("image", image_bytes=[images()[name] for name in files])
    texts = stubs.embed("text", text=["a dog", "red circle"])
    expected = [pictures[0], texts[0], pictures[1], texts[1], pictures[0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_request_may_have_more_rows_than_a_batch(client, stubs):
    many = [f"{number} dogs" for number in range(70)]  # a batch has 32 rows
    found = vectors(client.embeddings.create(model="random", input=many))
    expected = [stubs.embed("text", text=many[first : first + 32]) for first in (0, 32, 64)]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)


def test_models_are_listed_beside_those_of_tensorflow_serving(client, server):
    [model] = client.models.list()
    assert (model.id, model.object, model.owned_by) == ("random", "model", "mite_tf")
    assert model.created > 1.6e9
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/v1/models/text") as page:
        assert json.load(page)["model_version_status"][0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(
    ("asked", "param", "told"),
    [
        ({"input": [[1, 2], [3]]}, "input", "token numbers"),
        ({"input": [1, 2]}, "input", "token numbers"),
        ({"input": []}, "input", "an empty list"),
        ({"input": ["a"] * 2049}, "input", "2049 texts and pictures; send 2048"),
        ({"input": None}, "input", "input[0] is null"),
        ({"input": "a", "dimensions": 8}, "dimensions", "trained for 4, 16"),
        ({"input": "a", "dimensions": "x"}, "dimensions", "must be an integer"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float or base64"),
        ({"input": ["a", "data:image/png;base64,Zm9v"]}, "input", "input[1]: The bytes cannot"),
        ({"input": "data:image/png,Zm9v"}, "input", "without base64"),
        ({"input": "data:image/png;base64,!"}, "input", "cannot be read"),
        ({"input": {"image": "https://a.example/dog.jpg"}}, "input", "fetches no address"),
        ({"input": {"video": "a"}}, "input", 'input[0] is {"video": "a"}'),
    ],
)
def test_errors_have_the_form_that_openai_s_clients_read(client, asked, param, told):
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="random", **{"encoding_format": "float"} | asked)
    assert error.value.type == "invalid_request_error"
    assert error.value.param == param
    assert told in error.value.body["message"]


def test_sizes_that_the_embeddings_have_are_taken(client):
    whole = vectors(client.embeddings.create(model="a", input="a", dimensions=16))
    assert whole.shape == (1, 16)
    part = vectors(client.embeddings.create(model="a", input="a", dimensions=4))
    np.testing.assert_allclose(part, whole[:, :4] / np.linalg.norm(whole[:, :4]), rtol=1e-6)


def test_a_large_body_is_refused_in_that_form_too(export_folder):
    with start_server(export_folder, max_message_bytes=2000) as small:
        request = f"http://127.0.0.1:{small.http_port}/v1/embeddings"
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, b'{"input": "%s"}' % (b"a" * 3000))
        with error.value as refused:
            assert refused.code == 413
            assert json.load(refused)["error"]["type"] == "invalid_request_error"


def test_the_savedmodel_backend_answers_alike(savedmodel_server, stubs):
    address = f"http://127.0.0.1:{savedmodel_server.http_port}/v1"
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
        response = client.embeddings.create(model="random", input=["a dog"])
    np.testing.assert_allclose(vectors(response), stubs.embed("text", text=["a dog"]), atol=1e-5)
    assert response.usage.prompt_tokens == 2
