"""Runs with files that are missing, damaged, or of something else: a sentence, and nothing lost."""

import json
import os
import shutil
import signal
from contextlib import contextmanager

import numpy as np
import pytest

from mite_tf.cli import main
from mite_tf.data import CaptionedImages
from mite_tf.errors import MiteError
from mite_tf.retrieval import HubCorrection
from mite_tf.runs import Run, search, train
from mite_tf.runs.alone import Alone
from mite_tf.runs.history import HistoryFile
from mite_tf.training import read_values
from tests.runs.damages import KINDS, MOST_TELLING, OWN_KINDS, with_values

FILES = [
    "config.toml", "run.json", "vocabulary.txt", "history.csv", "checkpoint/state.npz",
    "best/0002-align/image_encoder.keras", "best/0002-align/text_encoder.keras",
    "best/0002-align/vocabulary.txt", "best/0002-align/encoders.json", "best/0002-align/hubs.npz",
]  # fmt: skip


# What a shell, a pattern, an address or a format would take for something else.
ODD = os.fsdecode(b"-a run [1] *?%s #$x\n\xff")


@pytest.fixture(scope="module")
def config(make_config):
    """Two epochs of one stage, the last of which is kept."""
    rest = {f"stages.{name}.epochs": 0 for name in ("classify", "adversarial", "finetune")}
    return make_config(**rest, **{"stages.align.epochs": 2, "training.select_by": "last"})


@pytest.fixture(scope="module")
def small(table, tmp_path_factory):
    """Few of the pictures, which train quickly."""
    rows = (*table.split("train").rows[:8], *table.split("dev").rows[:4])
    root = tmp_path_factory.mktemp("pictures") / ODD
    root.mkdir()
    for row in rows:
        shutil.copy(table.root / row.image, root)
    return CaptionedImages(rows, root=root)


@pytest.fixture(scope="module")
def finished(small, config, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / ODD
    return train(small, path, config=config, quiet=True)


@pytest.fixture
def run(finished, tmp_path):
    return Run(shutil.copytree(finished.path, tmp_path / ODD))


def cases(*, fast):
    return list(_cases(fast))


def _cases(fast):
    for file in FILES:
        kinds = KINDS | OWN_KINDS.get(file, {})
        for kind in kinds:
            if (kind in MOST_TELLING) == fast:
                yield pytest.param(file, kinds[kind], id=f"{file}: {kind}")


def files_of(run):
    return sorted(path.relative_to(run.path) for path in run.path.rglob("*"))


@contextmanager
def told():
    """What is wrong is one sentence that a person can act on, and does not take for ever."""
    signal.alarm(120)
    try:
        yield
    except MiteError:
        pass
    finally:
        signal.alarm(0)


def read_all(run, table):
    """Everything that reads a run, each in its own block."""
    for read in (
        lambda: run.config,
        lambda: run.info,
        lambda: run.finished,
        run.history,
        run.best,
        run.warnings,
        run.check_resumable,
        lambda: run.encoders().embed_text(["a red square"]),
        run.hubs,
    ):
        with told():
            read()


@pytest.mark.parametrize(("file", "damage"), cases(fast=True))
def test_a_damaged_file_is_told_and_nothing_is_lost(run, small, file, damage):
    path = run.path / file
    path.write_bytes(damage(path.read_bytes()))
    before = files_of(run)
    read_all(run, small)
    if not file.startswith("best"):
        with told():
            train(small, run, resume=True, quiet=True)
    assert files_of(run) == before


@pytest.mark.slow
@pytest.mark.parametrize(("file", "damage"), cases(fast=False))
def test_more_damage_is_told_by_every_command(
    run, small, tmp_path, file, damage, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    captions = tmp_path / "captions.jsonl"
    lines = [
        json.dumps({"image": row.image, "captions": list(row.captions), "split": row.split})
        for row in small
    ]
    captions.write_text("\n".join(lines))
    path = run.path / file
    path.write_bytes(damage(path.read_bytes()))
    before = files_of(run)
    read_all(run, small)
    data = ["--data", str(captions), "--root", str(small.root)]
    for words in (
        ["evaluate", *data, "--html", "page.html", "--", str(run.path)],
        ["train", *data[1:], f"--run={run.path}", "--resume"],
    ):
        status = main(words)
        printed = capsys.readouterr()
        assert status in (0, 2), printed.err
        assert status == 0 or printed.err.splitlines()[-1].strip(), printed.err
    assert not (tmp_path / "unpickled").exists()
    assert files_of(run) == before


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", ["folder", "pipe", "loop"])
def test_what_is_no_file_is_told(run, file, place):
    path = run.path / file
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[
        place
    ]()
    with_it = {"config.toml": "config", "run.json": "info"}
    read = {
        "vocabulary.txt": lambda: run.identity,
        "history.csv": run.history,
        "checkpoint/state.npz": run.saved,
        "best/0002-align/hubs.npz": run.hubs,
    }.get(file, lambda: getattr(run, with_it[file]) if file in with_it else run.encoders())
    with told():
        read()
        assert place == "loop"  # as if it were not there
    assert os.path.lexists(path)


def test_a_run_is_not_begun_anew_over_its_encoders(run, small, tmp_path):
    kept = files_of(run)
    run.state.rename(tmp_path / "state.npz")
    with pytest.raises(MiteError, match=r"state\.npz: is missing, though epochs of this run have"):
        train(small, run, resume=True, quiet=True)
    (tmp_path / "state.npz").rename(run.state)
    assert files_of(run) == kept
    (run.path / "best").rename(tmp_path / "best")
    with pytest.raises(MiteError, match=r"best: the encoders of the stage 'align' are missing"):
        train(small, run, resume=True, quiet=True)
    with pytest.raises(MiteError, match=r"best: the encoders are missing, though epochs have"):
        run.best()


def test_the_state_of_another_training_is_refused(run, small, tmp_path):
    words = run.vocabulary.read_text().splitlines()
    words[-1], words[-2] = words[-2:]
    run.vocabulary.write_text("".join(f"{word}\n" for word in words))
    with pytest.raises(MiteError, match=r"state\.npz: is the state of another training"):
        train(small, run, resume=True, quiet=True)


def test_history_is_written_anew_from_the_state(run, small):
    whole = run.history_file.read_text()
    run.history_file.write_text(whole[:-40])
    with pytest.raises(MiteError, match=r"history\.csv: not a history: its end is missing"):
        run.history()
    train(small, run, resume=True, quiet=True)
    assert run.history_file.read_text() == whole


class Stopping(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "first epoch"])
def test_a_training_that_died_before_its_first_state_goes_on(
    finished, small, config, tmp_path, monkeypatch, moment
):
    """Dead before a step, and dead between the best encoders of the first epoch and its state."""
    run = Run(tmp_path / "run")
    if moment == "start":
        words = finished.vocabulary.read_text().splitlines()
        run.start(config, words, finished.info)
        (run.path / "checkpoint" / ".state.npz.tmp").write_bytes(b"half")
    else:
        with monkeypatch.context() as patch:

            def die(*given):
                raise Stopping

            patch.setattr(HistoryFile, "on_epoch_end", die)
            with pytest.raises(Stopping):
                train(small, run, config=config, quiet=True)
        assert run.best().name == "0001-align"
        assert read_values(run.state)["epoch"] == 0
    done = train(small, run, resume=True, quiet=True)
    with np.load(done.state) as ours, np.load(finished.state) as theirs:
        names = [name for name in theirs.files if name != "values"]
        assert all(np.array_equal(ours[name], theirs[name]) for name in names)
    assert [path.name for path in (run.path / "checkpoint").iterdir()] == ["state.npz"]
    assert list(run.best_folders()) == ["align"]


@pytest.mark.slow
def test_an_older_state_trains_again_and_loses_nothing_before(run, small, config, tmp_path, capsys):
    """The best encoders of later epochs stay until there are others."""
    state = run.state.read_bytes()
    row = json.loads(str(np.load(run.state)["values"]))["history"][0]
    run.state.write_bytes(with_values(state, epoch=1, history=[row]))
    train(small, run, resume=True)
    assert "epochs from 2 on are trained again" in capsys.readouterr().err
    assert run.best().name == "0002-align"
    assert len(run.history()) == 2


def test_two_trainings_do_not_write_into_one_folder(run, small, config, tmp_path):
    for place, more in ((run.path, {"resume": True}), (tmp_path / "new", {"config": config})):
        with (
            Alone(place, "training"),
            pytest.raises(MiteError, match="another training writes there"),
        ):
            train(small, place, quiet=True, **more)
    link = tmp_path / "link"
    link.symlink_to(run.path)
    with Alone(run.path, "training"), pytest.raises(MiteError, match="another training"):
        train(small, link, resume=True, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ODD, "link"]
    run.encoders()  # which reads, and waits for nobody


def test_what_a_killed_start_has_left_is_replaced(finished, tmp_path):
    left = tmp_path / ".run.draft" / "checkpoint"
    left.mkdir(parents=True)
    (left / "beginning.npz").write_bytes(b"half")
    (tmp_path / ".run.lock").touch()
    run = Run(tmp_path / "run")
    with Alone(run.path, "training"):
        run.start(finished.config, [], finished.info)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not run.beginning.exists()


def test_a_bank_of_hubs_is_made_on_demand_or_by_resuming_and_never_taken_for_another(
    run, small, table, capsys
):
    path = run.best() / "hubs.npz"
    first, content = run.evaluate(small, quiet=True), path.read_bytes()
    assert first.corrected is not None
    path.unlink()
    assert run.hubs() is None
    assert run.evaluate(small, quiet=True).corrected == first.corrected  # from its own data
    shutil.rmtree(run.path / "index")
    assert run.evaluate(small.split("dev")).corrected is None
    assert "carries no bank of hub correction" in capsys.readouterr().err
    for damage in (None, b"no bank"):
        if damage:
            path.write_bytes(damage)
        train(small, run, resume=True, quiet=True)
        assert path.read_bytes() == content
    encoder = run.best() / "text_encoder.keras"
    whole = encoder.read_bytes()
    encoder.write_bytes(whole[:-20])
    with pytest.raises(MiteError, match=r"text_encoder\.keras.*Bring it back from a copy"):
        train(small, run, resume=True, quiet=True)
    encoder.write_bytes(whole)
    assert path.read_bytes() == content  # and the bank is still there
    HubCorrection.load(path)  # of these encoders alone
    with np.load(path) as file:
        np.savez(path, **dict(file) | {"space": np.array("of others")})
    with pytest.raises(MiteError, match=r"hubs\.npz: belongs to other encoders than those in"):
        run.evaluate(small, quiet=True)


def test_an_index_that_is_damaged_is_made_again(run, small, capsys):
    first = search(run, small, "red", quiet=True)
    for path in (run.path / "index").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    assert search(run, small, "red") == first
    assert "index: the index is damaged or cut off; it is made again." in capsys.readouterr().err
    assert search(run, small, "red", quiet=True) == first


@pytest.mark.slow
def test_a_good_state_that_is_gone_is_replaced_by_the_one_of_now(
    small, make_config, tmp_path, capsys
):
    rest = {f"stages.{name}.epochs": 0 for name in ("classify", "adversarial", "finetune")}
    config = make_config(**rest, **{"stages.align.epochs": 2, "training.guard": "act"})
    count = 0

    def stop(self, *given, original=HistoryFile.on_epoch_begin, **named):
        nonlocal count
        count += 1
        if count == 2:
            raise Stopping
        original(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HistoryFile, "on_epoch_begin", stop)
        with pytest.raises(Stopping):
            train(small, tmp_path / "run", config=config, quiet=True)
    run = Run(tmp_path / "run")
    run.good_state.write_bytes(b"")
    train(small, run, resume=True, quiet=True)
    assert "good.npz is no state; the one of now takes its place." in capsys.readouterr().err
    assert read_values(run.good_state) == {}
