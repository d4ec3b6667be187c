import dataclasses
import threading
import time

import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import describe_files
from mite_tf.export.versions import next_version, published_when_whole


def names(folder):
    return {path.name for path in folder.iterdir()}


def publish(out, manifest, *, version=1, files=("savedmodel/text/{}/saved_model.pb",)):
    """An export of made-up files, each of which holds the version."""
    with published_when_whole(out) as folder:
        for name in files:
            path = folder / name.format(version)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(version))
        dataclasses.replace(manifest, version=version, files=describe_files(folder)).write(folder)


def stop_in_the_middle(out, *, version):
    with published_when_whole(out) as folder:
        (folder / "savedmodel" / "text" / version).mkdir(parents=True)
        assert not (out / "savedmodel" / "text" / version).exists()
        raise RuntimeError("in the middle")


def test_forms_that_are_not_exported_again_go(manifest, tmp_path):
    forms = ["onnx/text_encoder.onnx", "verification/images/a.png", "verification/a.json"]
    publish(tmp_path / "out", manifest, files=["tokenizer.json", *forms])
    publish(tmp_path / "out", manifest, version=2, files=["tokenizer.json"])
    assert names(tmp_path / "out") == {"manifest.json", "tokenizer.json"}
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "2"


def test_versions_count_on_without_savedmodels(manifest, tmp_path):
    publish(tmp_path / "out", manifest)
    publish(tmp_path / "out", manifest, version=next_version(tmp_path / "out"), files=["a.onnx"])
    assert next_version(tmp_path / "out") == 3


def test_nothing_shows_before_the_end_and_nothing_of_a_failure(manifest, tmp_path):
    out = tmp_path / "exports" / "out"
    with pytest.raises(RuntimeError):
        stop_in_the_middle(out, version="1")
    assert not names(tmp_path)
    publish(out, manifest)
    assert next_version(out) == 2
    with pytest.raises(RuntimeError):
        stop_in_the_middle(out, version="2")
    assert names(out) == {"manifest.json", "savedmodel"}
    assert names(out / "savedmodel" / "text") == {"1"}


def test_who_polls_sees_whole_versions_and_never_misses_a_file(manifest, tmp_path):
    out = tmp_path / "out"
    files = [f"savedmodel/text/{{}}/{number}" for number in range(50)] + ["onnx/text_encoder.onnx"]
    publish(out, manifest, files=files)
    seen, done = set(), threading.Event()

    def poll():
        last = False
        while not last:
            last = done.is_set()  # and look once more
            for version in names(out / "savedmodel" / "text"):
                seen.add((version, len(names(out / "savedmodel" / "text" / version))))
            seen.add(("onnx", (out / "onnx/text_encoder.onnx").exists()))

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        for version in range(2, 12):
            publish(out, manifest, version=version, files=files)
            time.sleep(0.01)
    finally:
        done.set()
        poller.join()
    assert {count for version, count in seen if version != "onnx"} == {50}
    assert ("onnx", False) not in seen
    assert {version for version, _ in seen} >= {"1", "11"}


def test_an_empty_folder_is_filled_once_by_two_exports(manifest, tmp_path):
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out", manifest)
    with pytest.raises(MiteError, match=r"text/1: another export wrote it meanwhile"):
        publish(tmp_path / "out", manifest)
    assert names(tmp_path / "out") == {"manifest.json", "savedmodel"}


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(MiteError, match="is not empty and holds no export"):
        next_version(tmp_path / "letters")
    with pytest.raises(MiteError, match="is a file"):
        next_version(tmp_path / "letters" / "love.txt")


def test_a_place_that_cannot_be_written_is_told(manifest, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=str(tmp_path / "file" / "out")):
        publish(tmp_path / "file" / "out", manifest)
