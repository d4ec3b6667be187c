"""The folder that one training leaves."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.files import write_text, writing
from mite_tf.recognition import wrong_kind
from mite_tf.runs.config import Config, load_config
from mite_tf.text import write_vocabulary
from mite_tf.training import read_values

# What a run did before there was a key for it.
_EARLIER = {"backbone": {"orientation": "ignored"}}


class RunFolder:
    """A run folder: configuration, best encoders, resumable state, history.

    | file | what it holds |
    | --- | --- |
    | `config.toml` | the configuration, complete |
    | `vocabulary.txt` | the vocabulary, one entry a line |
    | `run.json` | data, where it was, its fingerprint and counts, versions of the packages |
    | `best/EPOCH-STAGE/` | the encoders that are kept of each stage, with vocabulary: those of its
      best or its last epoch, by `training.select_by` |
    | `checkpoint/state.npz` | all that `--resume` needs |
    | `checkpoint/beginning.npz` | before that: the state of the run that this one begins from |
    | `checkpoint/good.npz` | with `training.guard = "act"`: the state that it goes back to |
    | `history.csv` | one row an epoch |
    | `logs/` | the same for TensorBoard |
    | `warnings.txt` | what the guard found, if anything |

    Args:
        path: The folder; another `RunFolder` stands for its own.

    Example:
        >>> RunFolder("runs/none").best()
        Traceback (most recent call last):
        mite_tf.errors.MiteError: runs/none: no such run folder. Train one with `mite train`.
    """

    def __init__(self, path: str | Path | RunFolder) -> None:
        self.path = Path(path)
        self.vocabulary = self.path / "vocabulary.txt"
        self.history_file = self.path / "history.csv"
        self.warnings_file = self.path / "warnings.txt"
        self.state = self.path / "checkpoint" / "state.npz"
        self.good_state = self.state.with_name("good.npz")
        self.beginning = self.state.with_name("beginning.npz")

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.read_config()

    def read_config(self, overrides: Mapping[str, Any] | None = None) -> Config:
        """Reads the configuration, and replaces values of it."""
        self._must_exist()
        return load_config(self.path / "config.toml", overrides, missing=_EARLIER)

    @property
    def info(self) -> dict[str, Any]:
        """What `run.json` holds: data, counts and versions."""
        self._must_exist()
        try:
            return json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MiteError(
                f"{self.path / 'run.json'} is damaged: {error}. Bring it back from a copy, or "
                "train anew in another folder."
            ) from error

    @property
    def finished(self) -> bool:
        """Whether the training is over: through all of its stages, or ended by a callback."""
        if not self.state.exists():
            return False
        saved = read_values(self.state)
        return saved["ended"] or saved["epoch"] == self._epochs

    @property
    def ended_early(self) -> bool:
        """Whether a callback has ended the training before its last epoch."""
        return self.finished and read_values(self.state)["epoch"] < self._epochs

    @property
    def _epochs(self) -> int:
        return sum(stage.epochs for stage in self.config.stages)

    def stage_before_adversary(self, stage: str | None = None) -> str:
        """Returns the last stage before the adversary that leads up to a stage, or to the end.

        The name is empty if no adversary has taken part by then.
        """
        stages = [each for each in self.config.stages if each.name in self.best_folders()]
        for number, each in enumerate(stages):
            if each.is_adversarial:
                earlier = [before.name for before in stages[:number] if before.trains_encoders]
                return earlier[-1] if earlier else ""
            if each.name == stage:
                break
        return ""

    def start(
        self,
        config: Config,
        vocabulary: Sequence[str],
        info: dict[str, Any],
        beginning: RunFolder | None = None,
    ) -> None:
        """Makes the folder with what a run begins with; it appears complete or not at all.

        `beginning` is a finished run whose end is where this one begins, see `train`.
        """
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with writing(self.path, draft=beside):
            try:
                self._fill(beside, config, vocabulary, info, beginning)
                beside.replace(self.path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise

    def _fill(
        self,
        folder: Path,
        config: Config,
        vocabulary: Sequence[str],
        info: dict[str, Any],
        beginning: RunFolder | None,
    ) -> None:
        (folder / "checkpoint").mkdir(parents=True)
        write_text(folder / "config.toml", config.to_toml())
        write_vocabulary(folder / self.vocabulary.name, vocabulary)
        text = json.dumps(info, indent=2, ensure_ascii=False)
        write_text(folder / "run.json", f"{text}\n")
        if beginning is not None:
            for name in ("best", "logs"):
                shutil.copytree(beginning.path / name, folder / name)
            shutil.copy2(beginning.history_file, folder)
            shutil.copy2(beginning.state, folder / "checkpoint" / self.beginning.name)

    def history(self) -> list[dict[str, Any]]:
        """Returns the rows of `history.csv`, numbers as floats, empty cells left out."""
        self._must_exist()
        if not self.history_file.exists():
            return []
        with self.history_file.open(newline="", encoding="utf-8") as file:
            return [
                {key: _number(value) for key, value in row.items() if value not in ("", None)}
                for row in csv.DictReader(file)
            ]

    def best_folders(self) -> dict[str, Path]:
        """Returns the folder of the best encoders of each stage, in order of training."""
        best = self.path / "best"  # `glob` would take one that may not be read for an empty one
        folders = sorted(best.iterdir()) if best.exists() else []
        folders = [folder for folder in folders if fnmatch(folder.name, "[0-9]*-*")]
        return {folder.name.partition("-")[2]: folder for folder in folders if folder.is_dir()}

    def best(self, stage: str | None = None) -> Path:
        """Returns the folder of the best encoders of a stage; of the last one by default.

        Raises:
            MiteError: If there is no such run or stage, or no epoch of it has ended yet.
        """
        self._must_exist()
        folders = self.best_folders()
        if not folders:
            raise MiteError(
                f"{self.path}: no epoch has ended yet, so there are no encoders. Go on with "
                "`train(…, resume=True)` (`mite train … --resume`)."
            )
        if stage is None:
            return list(folders.values())[-1]
        if stage not in folders:
            raise MiteError(
                f"{self.path}: no best encoders of a stage {stage!r}; there are those of "
                f"{', '.join(folders)}."
            )
        return folders[stage]

    def keep_best(self, epoch: int, stage: str, save: Callable[[Path], object]) -> None:
        """Replaces the best encoders of a stage; a kill before the end leaves the old ones.

        `epoch` counts from 0, and `save` is called with a folder to write the encoders into.
        """
        target = self.path / "best" / f"{epoch + 1:04d}-{stage}"
        unfinished = target.with_name(f"unfinished-{target.name}")
        self.must_be_whole()
        with writing(target, draft=unfinished):
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                save(unfinished)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)  # a full disk can use the room
                raise
            old = self.best_folders().get(stage)
            if target.exists():
                shutil.rmtree(target)
            unfinished.rename(target)
            if old is not None and old != target:
                shutil.rmtree(old)

    def write_warnings(self, sentences: Sequence[str]) -> None:
        """Replaces the warnings; with none to write, there is no file."""
        if sentences:
            write_text(self.warnings_file, "".join(f"{sentence}\n" for sentence in sentences))
        else:
            self.warnings_file.unlink(missing_ok=True)

    def forget_from(self, epoch: int) -> None:
        """Removes best encoders of epochs that a resumed training will run again."""
        for folder in self.best_folders().values():
            if int(folder.name.partition("-")[0]) > epoch:
                shutil.rmtree(folder)
        for folder in (self.path / "best").glob("unfinished-*"):
            shutil.rmtree(folder)

    def encoders(self, stage: str | None = None) -> Encoders:
        """Returns the best encoders of a stage; of the last one by default."""
        return Encoders.load(self.best(stage))

    def must_be_whole(self) -> None:
        """Raises a `MiteError` if what the run began with is gone: what follows would be no run."""
        if not (self.path / "run.json").exists():
            raise MiteError(
                f"{self.path}: its files are gone. Was the folder moved, deleted or unmounted "
                "meanwhile? Bring it back and resume, or train anew in another folder."
            )

    def _must_exist(self) -> None:
        train = "Train one with `mite train`."
        if not self.path.exists():
            raise MiteError(f"{self.path}: no such run folder. {train}")
        if not (self.path / "run.json").is_file():
            raise wrong_kind(self.path, "no run folder", train)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
