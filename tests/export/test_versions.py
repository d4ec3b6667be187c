"""Versions that appear whole or not at all: killed, at once, on disks of their own, copied."""

import contextlib
import dataclasses
import fcntl
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time

import pytest

from mite_tf.errors import MiteError
from mite_tf.export import to_folder
from mite_tf.export.manifest import describe_files, of_one_version, read_manifest, read_version
from mite_tf.export.versions import published_when_whole

FORMS = ("onnx/text_encoder.onnx", "onnx/image_encoder.onnx", "tokenizer.json")
SAVEDMODELS = ("savedmodel/text/{}/saved_model.pb", "savedmodel/image/{}/saved_model.pb")
ALL = (*FORMS, "verification/images/a.png", "tf_serving/models.config", *SAVEDMODELS)
LAYOUT = {"manifest.json", "onnx", "tokenizer.json", "verification", "tf_serving", "savedmodel"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def publish(out, manifest, *, files=ALL, say=lambda _: None, pause=0.0):
    """An export of made-up files, each of which holds the version; returns that."""
    with published_when_whole(out, say=say) as (folder, version):
        for name in files:
            path = folder / name.format(version)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(version))
            time.sleep(pause)
        dataclasses.replace(manifest, version=version, files=describe_files(folder)).write(folder)
    return version


def whole_version(out):
    """The version that all readers see: by the manifest, and through the plain names."""

    def read(version):
        version.check()
        return version.manifest.version

    number = of_one_version(out, read)
    assert {(out / name).read_text() for name in FORMS if (out / name).exists()} <= {str(number)}
    for name in SAVEDMODELS:  # of any version
        for path in out.glob(name.format("*")):
            assert path.read_text() == path.parent.name
    return number


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


SOME = (*FORMS, "verification/a.json", "tf_serving/models.config", *SAVEDMODELS)
RENAMES = ("rename", "replace", "symlink")
CHANGES = (*RENAMES, "link", "mkdir", "unlink", "rmdir")


def killed_at(call, changes, out, manifest):
    """Exports in a process that kills itself just before the given change of the file system."""
    count = 0

    def deadly(function):
        def counted(*arguments, **options):
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return counted

    for name in changes:
        setattr(os, name, deadly(getattr(os, name)))
    publish(out, manifest, files=(*SOME, "onnx/new_{}.onnx"))


def in_process(function, *arguments):
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


@pytest.mark.parametrize("changes", [RENAMES, pytest.param(CHANGES, marks=pytest.mark.slow)])
@pytest.mark.parametrize("before", [None, "folder", 1, 2])
def test_killed_at_any_step_an_export_leaves_a_whole_version(before, changes, manifest, tmp_path):
    first = tmp_path / "first"
    if before == "folder":
        first.mkdir()
    for _ in range(before if isinstance(before, int) else 0):
        publish(first, manifest, files=SOME)
    call, ended, seen = 0, None, set()
    while ended != 0:
        call += 1
        place = tmp_path / str(call)
        place.mkdir()
        out = place / "out"
        if before:
            shutil.copytree(first, out, symlinks=True)
        process = in_process(killed_at, call, changes, out, manifest)
        process.join()
        ended = process.exitcode
        assert ended in (0, -signal.SIGKILL)
        is_there = (out / "manifest.json").exists()
        assert is_there or before in (None, "folder")
        if is_there:
            seen.add(whole_version(out))
        number = publish(out, manifest, files=SOME)
        assert whole_version(out) == number
        assert names(place) == {"out"}
        assert {name for name in names(out) if name.startswith(".")} == set()
        versions = {path.name for path in out.glob("savedmodel/*/*")}
        assert len(versions) <= (before if isinstance(before, int) else 0) + 2
        if is_there:  # the version before it, and no other
            assert len(names(out / "versions")) == 2
    assert seen == ({before, before + 1} if isinstance(before, int) else {1})


def test_two_at_once_make_two_versions_and_the_second_says_that_it_waits(manifest, tmp_path):
    for out in (tmp_path / "new" / "out", tmp_path / "new" / "out", tmp_path / "there"):
        said, made = [], []
        if out.name == "there":
            out.mkdir()
        before = read_manifest(out).version if (out / "manifest.json").exists() else 0

        def work(out=out, said=said, made=made):
            made.append(publish(out, manifest, say=said.append, pause=0.01))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(made) == [before + 1, before + 2]
        assert whole_version(out) == before + 2
        assert len(said) == 1
        assert "Another export is written into" in said[0]
        assert names(out.parent) <= {"out", "new", "there"}


def test_containers_may_have_equal_process_ids(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)
    out = tmp_path / "out"
    with published_when_whole(out) as (folder, _):
        (folder / "mine").write_text("mine")
        assert names(tmp_path) >= {folder.name}
        other = tmp_path / "other"
        publish(other, manifest)
        assert (folder / "mine").read_text() == "mine"
        dataclasses.replace(manifest, files=describe_files(folder)).write(folder)
    assert names(out) == {"mine", "manifest.json"}


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


@pytest.mark.slow
def test_twenty_kills_at_random_under_two_exports_and_readers(manifest, tmp_path):
    out = tmp_path / "out"
    publish(out, manifest)
    draw, done, wrong, seen = random.Random(0), threading.Event(), [], set()

    def look():
        while not done.is_set():
            try:
                seen.add(of_one_version(out, lambda each: each.check() or each.manifest.version))
            except MiteError as error:
                wrong.append(error)

    def export_on():
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                publish(out, manifest, pause=0.001)

    reader = threading.Thread(target=look)
    exporters = [in_process(export_on) for _ in range(2)]
    reader.start()
    try:
        for _ in range(20):
            time.sleep(draw.uniform(0.05, 0.4))
            victim = draw.randrange(2)
            exporters[victim].kill()
            exporters[victim].join()
            exporters[victim] = in_process(export_on)
    finally:
        for exporter in exporters:
            exporter.kill()
            exporter.join()
        done.set()
        reader.join()
    assert not wrong
    assert len(seen) > 20
    last = publish(out, manifest)
    assert whole_version(out) == last > len(seen)
    assert {name for name in names(out) if name.startswith(".")} == set()


def verify_for_long(place):
    to_folder._VERIFY = to_folder._VERIFY.replace(
        "from mite_tf.cli import main\n",
        "import fcntl, time\n"
        "held = open(sys.argv[2] + '/held', 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        "open(sys.argv[2] + '/ready', 'w').close()\n"
        "time.sleep(60)\n",
    )
    to_folder._verify(place)


def test_the_verification_ends_with_an_export_that_is_killed(tmp_path):
    process = in_process(verify_for_long, tmp_path)
    end = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    with (tmp_path / "held").open() as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        process.join()
        fcntl.flock(held, fcntl.LOCK_EX)  # waits for the end of the other
    assert time.monotonic() < end
