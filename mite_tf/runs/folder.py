"""The folder that one training leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.files import write_text, writing
from mite_tf.reading import read_object, reading
from mite_tf.recognition import wrong_kind
from mite_tf.runs.alone import beside
from mite_tf.runs.config import Config, load_config
from mite_tf.runs.pretrained import Pretrained
from mite_tf.runs.records import check_record, check_saved, read_history
from mite_tf.text import write_vocabulary
from mite_tf.training import read_values

# What a run did before there was a key for it.
_EARLIER = {"backbone": {"orientation": "ignored"}}
_BRING_BACK = "Bring it back from a copy, or train anew in another folder."


class RunFolder:
    """A run folder: configuration, best encoders, resumable state, history.

    | file | what it holds |
    | --- | --- |
    | `config.toml` | the configuration, complete |
    | `vocabulary.txt` | the vocabulary, one entry a line |
    | `image_backbone.keras` | the pretrained network of KerasHub under the image encoder |
    | `text_backbone/` | the pretrained network under the text encoder `hub`, and its tokenizer |
    | `run.json` | data, where it was, its fingerprint and counts, versions of the packages |
    | `best/EPOCH-STAGE/` | the encoders that are kept of each stage, with vocabulary: those of its
      best or its last epoch, by `training.select_by`; and when the training is over, `hubs.npz` |
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
        path = self.path / "config.toml"
        with reading(path, "the configuration of a run", _BRING_BACK):
            return load_config(path, overrides, missing=_EARLIER)

    @property
    def info(self) -> dict[str, Any]:
        """What `run.json` holds: data, counts and versions."""
        self._must_exist()
        path, what = self.path / "run.json", "the record of a run"
        values = read_object(path, what, _BRING_BACK)
        with reading(path, what, _BRING_BACK):
            check_record(values)
        return values

    @property
    def identity(self) -> str:
        """A hash of configuration, vocabulary and data, which the saved state names too."""
        data = self.info["data"]
        digest = hashlib.sha256(data["fingerprint"].encode())
        digest.update(data.get("unpaired", {}).get("fingerprint", "").encode())
        for path in (self.path / "config.toml", self.vocabulary):
            with reading(path, "a file of a run", _BRING_BACK):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def saved(self) -> dict[str, Any]:
        """Returns the plain values of the saved state, or of the one that the run begins from.

        Without either it is empty: no step has been made.

        Raises:
            MiteError: If the state is damaged or of another run, or lacks what belongs to it.
        """
        path = self.state if self.state.exists() else self.beginning
        if not path.exists():
            return {}
        values = read_values(path)
        with reading(path, "the state of a run", _BRING_BACK):
            check_saved(values, self._epochs)
        if values.get("run", self.identity) != self.identity and path == self.state:
            raise MiteError(
                f"{path}: is the state of another training: config.toml, vocabulary.txt or run.json"
                f" of {self.path} is not the one that it was saved with. {_BRING_BACK}"
            )
        return values

    def check_resumable(self) -> None:
        """Refuses to go on without what the epochs so far have left: it would be replaced.

        Raises:
            MiteError: If the state or the best encoders are missing though epochs have ended.
        """
        saved, best = self.saved(), self.best_folders()
        if not saved and (best or self.history_file.exists()):
            raise MiteError(
                f"{self.state}: is missing, though epochs of this run have ended. Bring it back "
                "from a copy, or train anew in another folder; the best encoders here are whole."
            )
        stage = saved["history"][-1]["stage"] if saved.get("history") else None
        if stage is not None and stage not in best:
            raise MiteError(
                f"{self.path / 'best'}: the encoders of the stage {stage!r} are missing, though "
                "epochs of it have ended. Bring them back from a copy, or train anew in another "
                "folder."
            )

    @property
    def finished(self) -> bool:
        """Whether the training is over: through all of its stages, or ended by a callback."""
        if not self.state.exists():
            return False
        saved = self.saved()
        return bool(saved["ended"] or saved["epoch"] == self._epochs)

    @property
    def ended_early(self) -> bool:
        """Whether a callback has ended the training before its last epoch."""
        return self.finished and self.saved()["epoch"] < self._epochs

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
        pretrained: Pretrained | None = None,
    ) -> None:
        """Makes the folder with what a run begins with; it appears complete or not at all.

        `beginning` is a finished run whose end is where this one begins, see `train`; `pretrained`
        is what its encoders are built on, if so.
        """
        draft = beside(self.path, "draft")
        with writing(self.path, draft=draft):
            shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
            try:
                self._fill(draft, config, vocabulary, info, beginning)
                if pretrained is not None:
                    pretrained.save(draft)
                draft.replace(self.path)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
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
        return read_history(self.history_file)

    def best_folders(self) -> dict[str, Path]:
        """Returns the folder of the best encoders of each stage, in order of training."""
        return {folder.name.partition("-")[2]: folder for folder in self._best()}

    def _best(self) -> list[Path]:
        best = self.path / "best"  # `glob` would take one that may not be read for an empty one
        folders = sorted(best.iterdir()) if best.exists() else []
        folders = [folder for folder in folders if fnmatch(folder.name, "[0-9]*-*")]
        return [folder for folder in folders if folder.is_dir()]

    def best(self, stage: str | None = None) -> Path:
        """Returns the folder of the best encoders of a stage; of the last one by default.

        Raises:
            MiteError: If there is no such run or stage, or no epoch of it has ended yet.
        """
        self._must_exist()
        folders = self.best_folders()
        if not folders and self.history_file.exists():
            raise MiteError(
                f"{self.path / 'best'}: the encoders are missing, though epochs have ended. Bring "
                "them back from a copy, or train anew."
            )
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
            old = [each for each in self._best() if each.name.partition("-")[2] == stage]
            if target in old:  # kept under another number until there is the new one
                _remove(aside := target.with_name(f"0000-{stage}"))
                target.rename(aside)
                old = [aside if each == target else each for each in old]
            unfinished.rename(target)
            for each in old:
                _remove(each)

    def write_warnings(self, sentences: Sequence[str]) -> None:
        """Replaces the warnings; with none to write, there is no file."""
        if sentences:
            write_text(self.warnings_file, "".join(f"{sentence}\n" for sentence in sentences))
        else:
            self.warnings_file.unlink(missing_ok=True)

    def warnings(self) -> str:
        """Returns what the guard found and what was said at the end; empty if nothing was."""
        if not self.warnings_file.exists():
            return ""
        with reading(self.warnings_file, "a file of warnings", "It may be deleted."):
            return self.warnings_file.read_text(encoding="utf-8")

    def remove_leftovers(self) -> None:
        """Removes what trainings that were killed have not finished writing."""
        for folder in (self.path / "best").glob("unfinished-*"):
            shutil.rmtree(folder)
        for place in (self.path, self.state.parent, *self._best()):
            for file in place.glob(".*.tmp"):
                file.unlink()

    def encoders(self, stage: str | None = None) -> Encoders:
        """Returns the best encoders of a stage; of the last one by default."""
        folder = self.best(stage)
        try:
            return Encoders.load(folder)
        except MiteError:
            if (now := self.best(stage)) == folder:
                raise
            return Encoders.load(now)  # a training has just replaced them

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
        if not (self.path / "run.json").exists():
            if self.state.exists() or self.best_folders():
                raise MiteError(f"{self.path / 'run.json'}: is missing. {_BRING_BACK}")
            raise wrong_kind(self.path, "no run folder", train)


def _remove(folder: Path) -> None:
    """Removes a folder that nobody sees half removed."""
    gone = folder.with_name(f"unfinished-{folder.name}")
    if folder.exists():
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone)
