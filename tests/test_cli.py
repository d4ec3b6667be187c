import json

import pytest
from PIL import Image

from mite_tf.cli import main


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for split in ("train", "dev"):
        (folder / split).mkdir(parents=True)
        for number in range(3):
            colour = (80 * number, 0, 9 * len(split))  # no picture in both splits
            Image.new("RGB", (20, 20), colour).save(folder / split / f"{number}.jpg")
            (folder / split / f"{number}.txt").write_text(
                f"picture {number} of {split}, not of train or dev\n"
            )
    return folder


def test_help_and_import_load_no_tensorflow(run_python):
    script = (
        "import sys, mite_tf, mite_tf.cli\n"
        "try: mite_tf.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'sklearn', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert "mite train photos" in done.stdout


VERBS = [
    "backbone",
    "train",
    "evaluate",
    "index",
    "search",
    "filter",
    "duplicates",
    "study",
    "export",
    "verify",
    "serve",
    "loadtest",
    "ui",
    "embed",
    "demo",
]


@pytest.mark.parametrize("verb", ["data check", "data scenes", *VERBS])
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*verb.split(), "--help"])
    assert stopped.value.code == 0
    assert f"example:\n  mite {verb}" in capsys.readouterr().out


def test_data_check_counts_and_reports(photos, tmp_path, capsys):
    assert main(["data", "check", str(photos)]) == 0
    assert "6 images" in capsys.readouterr().out
    (photos / "train" / "0.jpg").write_bytes(b"")
    report = tmp_path / "report.json"
    assert main(["data", "check", str(photos), "--json", str(report)]) == 2
    assert "0.jpg is empty" in capsys.readouterr().out
    problems = json.loads(report.read_text())["problems"]
    assert [each["kind"] for each in problems if each["severity"] == "error"] == ["empty-file"]


def test_data_scenes_writes_what_the_readers_read(tmp_path, capsys):
    scenes = tmp_path / "scenes"
    sizes = ["--train", "8", "--dev", "4", "--test", "4", "--size", "32"]
    assert main(["data", "scenes", str(scenes), *sizes]) == 0
    assert main(["data", "check", str(scenes)]) == 0
    assert "16 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "check", "nowhere"], "nowhere"),
        (["train", "nowhere", "--run", "run"], "nowhere"),
        (["train", "nowhere", "--run", "run", "--config", "flickr9k"], "flickr9k"),
        (["train", "nowhere", "--run", "run", "--set", "epochs"], "KEY=VALUE"),
        (["evaluate", "nowhere", "--data", "."], "nowhere"),
        (["search", "nowhere", "--data", ".", "a dog"], "nowhere"),
        (["search", "nowhere", "--data", "."], "either a text or an image"),
        (["search", "nowhere", "a dog"], "nowhere: no such folder. Make an index"),
        (["search", "nowhere", "a dog", "--split", "test"], "with a run, with --data PATH"),
        (["search", "nowhere", "a dog", "--data", ".", "--json"], "with an index, without --data"),
        (["index", "nowhere", "--out", "run"], "nowhere: no such folder. Make embeddings"),
        (["index", "nowhere"], "--out INDEX"),
        (["index", "nowhere", "--out", "run", "--to", "milvus"], "--uri URI"),
        (["index", "nowhere", "--out", "run.db"], "with --to milvus, name a folder that ends in"),
        (["filter", "nowhere", "a dog", "-k", "3"], "nowhere: no such folder. Make an index"),
        (["duplicates", "nowhere"], "nowhere: no such folder. Make an index"),
        (["study", "nowhere", "--out", "run"], "nowhere"),
        (["study", "nowhere", "--out", "run", "--variants", "mite,mitee"], "mitee"),
        (["export", "nowhere", "--out", "run"], "nowhere"),
        (["export", "nowhere", "--out", "run", "--format", "h5"], "Unknown format 'h5'"),
        (["verify", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_unusable_input_is_one_clear_message_and_status_2(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("mite: ")
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_a_backbone_file_is_written_and_one_without_preprocessing_is_refused(
    photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["backbone", "--list"]) == 0
    assert "MobileNetV2" in capsys.readouterr().out.splitlines()
    small = ["--size", "32", "--weights", "none"]
    assert main(["backbone", "MobileNet", *small, "--out", "new/mobile.keras"]) == 0
    told = capsys.readouterr().out
    assert "32 x 32 pixels in 0-255 to features 1 x 1 x 1024, 3,228,864 parameters" in told
    assert main(["backbone", "--from", "new/mobile.keras", "--out", "again.keras"]) == 0
    for arguments, message in (
        (["mobilenet"], "Did you mean MobileNet "),
        ([], "Name a model of keras.applications, a preset or a file"),
        (["--from", "nowhere.keras"], "nowhere.keras: no such"),
    ):
        assert main(["backbone", *arguments, "--out", "no.keras"]) == 2
        assert message in capsys.readouterr().err
    assert main(["backbone", "MobileNet"]) == 2
    assert main(["backbone", "MobileNet", *small, "--out", "no.h5"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.keras", "new", "photos"]

    import keras

    keras.applications.MobileNet((32, 32, 3), include_top=False, weights=None).save("raw.keras")
    settings = ["--set", "backbone.name=raw.keras", "--set", "backbone.image_size=32"]
    settings += ["--set", "tokenizer.minimum_count=1"]
    capsys.readouterr()
    assert main(["train", str(photos), "--run", "run", *settings]) == 2
    assert "`mite backbone --from raw.keras --out NEW.keras`" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_whole_way_by_command_line(tmp_path, capsys):
    scenes, run = str(tmp_path / "scenes"), str(tmp_path / "run")
    assert main(["data", "scenes", scenes, "--train", "160", "--dev", "20", "--size", "32"]) == 0
    small = [f"stages.{name}.epochs=1" for name in ("align", "classify", "adversarial", "finetune")]
    small += ["backbone.image_size=32", "backbone.width=8"]
    settings = [word for value in small for word in ("--set", value)]
    assert main(["train", scenes, "--config", "scenes", "--run", run, *settings]) == 0
    result, page = tmp_path / "result.json", tmp_path / "page.html"
    arguments = ["--data", scenes, "--split", "dev", "--json", str(result), "--html", str(page)]
    assert main(["evaluate", run, *arguments]) == 0
    assert json.loads(result.read_text())["images"] == 20
    found = tmp_path / "found.html"
    capsys.readouterr()
    assert main(["search", run, "--data", scenes, "a red star", "--html", str(found)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert all(" (cosine " in line for line in lines)
    plain = ["--no-hub-correction", "--top", "3"]
    assert main(["search", run, "--data", scenes, "a red star", *plain]) == 0
    assert "cosine" not in capsys.readouterr().out
    assert main(["search", run, "--data", scenes, "犬"]) == 0
    assert capsys.readouterr().err.startswith("mite: No word of '犬' is known")
    assert page.stat().st_size > 10_000
    assert found.stat().st_size > 5_000
