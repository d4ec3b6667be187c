"""Versions beside each other in a folder: whole ones, or nothing."""

import hashlib
import shutil
import threading
import time

import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import of_one_version, read_manifest, read_version
from mite_tf.export.versions import published_when_whole
from tests.export.publishing import FORMS, names, publish, whole_version

LAYOUT = {"manifest.json", "onnx", "tokenizer.json", "verification", "tf_serving", "savedmodel"}


def stop_in_the_middle(out):
    with published_when_whole(out) as (folder, version):
        (folder / "savedmodel" / "text" / str(version)).mkdir(parents=True)
        assert not (out / "savedmodel" / "text" / str(version)).exists()
        raise RuntimeError("in the middle")


def test_a_renewed_folder_is_links_through_current(manifest, tmp_path):
    out = tmp_path / "out"
    assert publish(out, manifest) == 1
    assert names(out) == LAYOUT
    assert not any(path.is_symlink() for path in out.rglob("*"))
    first = read_version(out)
    assert publish(out, manifest) == 2
    assert names(out) == LAYOUT | {"versions", "current"}
    assert str((out / "current").readlink()) == "versions/2"
    assert str((out / "onnx/text_encoder.onnx").readlink()) == "../current/onnx/text_encoder.onnx"
    for name in ("savedmodel", "tf_serving"):  # as containers mount them alone
        assert not any(path.is_symlink() for path in (out / name).rglob("*"))
    assert (out / "tf_serving/models.config").read_text() == "2"
    assert whole_version(out) == 2
    # Who began to read version 1 still finds all of it, and who is taken back to it.
    kept = first._replace(root=out / "versions/1")
    kept.check()
    assert kept.read("tokenizer.json") == b"1"
    (out / "current").unlink()
    (out / "current").symlink_to("versions/1")
    assert whole_version(out) == 1
    assert publish(out, manifest) == 3  # 2 may have been loaded
    assert names(out / "versions") == {"1", "3"}
    assert names(out / "savedmodel/text") == {"1", "3"}


def test_forms_that_are_not_exported_again_go(manifest, tmp_path):
    out = tmp_path / "out"
    forms = ["onnx/text_encoder.onnx", "verification/images/a.png", "verification/a.json"]
    publish(out, manifest, files=["tokenizer.json", "tf_serving/a.config", *forms])
    publish(out, manifest, files=["tokenizer.json"])
    assert names(out) == {"manifest.json", "tokenizer.json", "versions", "current"}
    publish(out, manifest, files=["tokenizer.json", *forms])
    assert (out / "verification/a.json").read_text() == "3"
    assert names(out / "versions") == {"2", "3"}
    assert publish(out, manifest, files=["onnx/b"]) == 4  # counted without SavedModels
    assert names(out / "onnx") == {"b"}
    assert whole_version(out) == 4


@pytest.mark.parametrize("there", [False, True])
def test_nothing_shows_before_the_end_and_nothing_of_a_failure(there, manifest, tmp_path):
    out = tmp_path / "exports" / "out"
    if there:  # such as a disk of its own
        (out / "lost+found").mkdir(parents=True)
    with pytest.raises(RuntimeError):
        stop_in_the_middle(out)
    assert (names(out) == {"lost+found"}) if there else not names(tmp_path)
    publish(out, manifest)
    with pytest.raises(RuntimeError):
        stop_in_the_middle(out)
    assert names(out) - {"lost+found"} == LAYOUT
    assert names(out / "savedmodel" / "text") == {"1"}
    assert names(out.parent) == {"out"}
    assert whole_version(out) == 1


def test_what_cannot_be_moved_in_is_taken_back(manifest, tmp_path, monkeypatch):
    out = tmp_path / "out"
    publish(out, manifest)
    rename = type(out).rename

    def full(path, target):
        if path.name == "text" or "versions/2" in str(target):
            raise OSError(28, "No space left on device", str(path))
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(out), "rename", full)
        with pytest.raises(OSError, match="No space"):
            publish(out, manifest)
    assert whole_version(out) == 1
    assert names(out / "savedmodel" / "text") == {"1"}
    assert publish(out, manifest) == 2


def test_who_reads_sees_one_version_and_never_misses_a_file(manifest, tmp_path):
    out = tmp_path / "out"
    publish(out, manifest)
    seen, done = set(), threading.Event()

    def poll():
        while not done.is_set():
            version = of_one_version(out, lambda each: {each.read(name) for name in FORMS})
            seen.add(*version)
            seen.add((out / "onnx/text_encoder.onnx").read_bytes())

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        for _ in range(10):
            publish(out, manifest)
            time.sleep(0.01)
    finally:
        done.set()
        poller.join()
    assert seen >= {b"2", b"11"}


def test_a_copy_that_has_followed_the_links_is_exported_into(manifest, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        publish(out, manifest)
    copy = shutil.copytree(out, tmp_path / "copy")
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    assert whole_version(copy) == 2
    assert publish(copy, manifest) == 3
    assert whole_version(copy) == 3
    assert names(copy / "versions") == {"2", "3"}
    assert (
        hashlib.sha256((copy / "current/tokenizer.json").read_bytes()).hexdigest()
        == (read_manifest(copy).files["tokenizer.json"]["sha256"])
    )


def test_a_disk_without_links(manifest, tmp_path, monkeypatch):
    out = tmp_path / "out"
    publish(out, manifest)

    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr("os.link", refused)
        assert publish(out, manifest) == 2  # copies
    monkeypatch.setattr("os.symlink", refused)
    with pytest.raises(MiteError, match=r"has no symbolic links.*into a new folder"):
        publish(out, manifest)
    assert whole_version(out) == 2


def test_a_folder_of_something_else_is_refused(manifest, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(MiteError, match="is not empty and holds no export"):
        publish(tmp_path / "letters", manifest)
    with pytest.raises(MiteError, match="is a file"):
        publish(tmp_path / "letters" / "love.txt", manifest)
    (tmp_path / "out" / "savedmodel" / "text").mkdir(parents=True)
    publish(tmp_path / "last", manifest)
    (tmp_path / "last/savedmodel/text" / str(2**63 - 1)).mkdir()
    with pytest.raises(MiteError, match="no version comes after 9223372036854775807"):
        publish(tmp_path / "last", manifest)
    assert names(tmp_path / "letters") == {"love.txt"}


def test_a_place_that_cannot_be_written_is_told(manifest, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=str(tmp_path / "file" / "out")):
        publish(tmp_path / "file" / "out", manifest)
