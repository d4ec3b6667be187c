import json

import pytest
from PIL import Image

from mite_tf.cli import main
from mite_tf.recognition import recognize


@pytest.fixture
def places(tmp_path, monkeypatch):
    """One of each thing that a path may name."""
    monkeypatch.chdir(tmp_path)
    files = {
        "run": {"run.json": "{}", "config.toml": "", "best/0001-align/encoders.json": "{}"},
        "export": {"manifest.json": json.dumps({"mite_tf_export": 1})},
        "study": {
            "study.json": "{}",
            "config.toml": "",
            "runs/mite/seed-0/run.json": "{}",
            "runs/mite/seed-0/config.toml": "",
        },
        "data": {"captions.csv": "image,caption\na.jpg,a dog\n"},
        "nested": {"train/a.txt": "a dog"},
        "other": {"a.bin": ""},
        "runs": {"first/run.json": "{}", "first/config.toml": ""},
        "embeddings": {"embeddings.json": json.dumps({"mite_tf_embeddings": 1})},
        "index": {"index.json": json.dumps({"mite_tf_index": 1})},
        "milvus.db": {"collections/mite/schema.json": "{}"},
        "": {"notes.csv": "a", "net.keras": "", "own.toml": "", "plain": ""},
    }
    for folder, contents in files.items():
        for name, text in contents.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")


KINDS = {
    "run": "run", "run/best/0001-align": "part", "run/config.toml": "part", "export": "export",
    "export/manifest.json": "part", "study": "study",
    "study/runs": "part", "study/runs/mite": "shelf", "data": "data", "nested": "data",
    "other": "folder", "runs": "shelf", "empty": "empty", "nowhere": "nothing", "a.png": "image",
    "embeddings": "embeddings", "index": "index", "milvus.db": "index", "index/index.json": "part",
    "notes.csv": "captions", "net.keras": "model", "own.toml": "configuration", "plain": "file",
    "x" * 5000: "nothing", "a\0b": "nothing",
}  # fmt: skip


def test_each_kind_is_known(places):
    assert {path: recognize(path).kind for path in KINDS} == KINDS


IN_PLACE_OF = {
    "embeddings": ["index PATH --out new"],
    "index": ["search PATH dog", "filter PATH dog -k 1", "duplicates PATH"],
    "run": ["evaluate PATH --data data", "search PATH --data data dog", "export PATH --out new"],
    "export": ["verify PATH", "serve PATH --port 0 --http-port -1"],
    "data": ["train PATH --run new", "study PATH --out new", "data check PATH"],
    "out": ["train data --run PATH", "train data --run PATH --resume", "study data --out PATH"],
}


@pytest.mark.parametrize("kind", IN_PLACE_OF)
def test_every_verb_says_what_it_was_given_instead(places, kind, capsys):
    wrong = [path for path, what in KINDS.items() if len(path) < 50 and "\0" not in path]
    fits = {
        "run": ("run", "part"), "export": ("export",), "embeddings": ("embeddings", "nothing"),
        "index": ("index", "nothing"),
        "data": tuple({*KINDS.values()} - {"run", "export", "study", "image", "model", "nothing"}),
        "out": ("nothing", "empty", "run", "study"),
    }[kind]  # fmt: skip
    for path in wrong:
        if KINDS[path] in fits:
            continue
        for line in IN_PLACE_OF[kind]:
            assert main([path if word == "PATH" else word for word in line.split()]) == 2, line
            error = capsys.readouterr().err
            assert error.startswith(f"mite: {path}"), (line, path, error)
            assert "Traceback" not in error
            assert error.count("\n") == 1, error
            found = recognize(path)
            if found.kind != "nothing":
                assert found.what in error, (line, error)


def test_an_image_in_place_of_a_text_is_named(places, capsys):
    assert main(["search", "run", "--data", "data", "a.png"]) == 2
    assert "(--image ...)" in capsys.readouterr().err
