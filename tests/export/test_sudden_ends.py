"""Exports that are killed, that meet in one folder, and whose process ids are alike."""

import contextlib
import dataclasses
import fcntl
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
from mite_tf.export.manifest import describe_files, of_one_version, read_manifest
from mite_tf.export.versions import published_when_whole
from tests.export.publishing import FORMS, SAVEDMODELS, names, publish, whole_version

# The forked processes only write files, and end; threads of TensorFlow are not asked for anything.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
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
