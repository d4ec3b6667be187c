"""From captioned images to a run, from the beginning or from the end of another run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mite_tf.data import CaptionedImages, CheckReport, Unpaired
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.files import writing
from mite_tf.models import MITE
from mite_tf.progress import say
from mite_tf.recognition import recognize, wrong_kind
from mite_tf.runs.alone import Alone
from mite_tf.runs.beginning import check_beginning, trained_stages
from mite_tf.runs.build import build_model, warnings_before
from mite_tf.runs.config import Config, load_config
from mite_tf.runs.data import check_same_data, describe, unpaired_data, usable_data
from mite_tf.runs.fit import fit_stages
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.inputs import StageInputs
from mite_tf.runs.pretrained import check_text_backbone, pretrained
from mite_tf.runs.run import Run
from mite_tf.text import TextTokenizer, WordPieceTokenizer, learn_vocabulary, read_vocabulary
from mite_tf.text.words import MANY_UNKNOWN
from mite_tf.training import Interruption


def train(
    data: str | Path | CaptionedImages | CheckReport,
    run: str | Path | RunFolder,
    *,
    config: str | Path | Config | None = None,
    overrides: dict[str, Any] | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    feature_cache: str | Path | None = None,
    beginning: str | Path | RunFolder | None = None,
    unpaired_images: str | Path | Unpaired | None = None,
    unpaired_captions: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    quiet: bool = False,
) -> Run:
    """Trains both encoders through all stages of a configuration.

    Args:
        data: Folder or file of captioned images, a table of them, or the report of a check that
            they have passed through already; it needs the splits `train` and `dev`.
        run: Folder to leave the result in, see `Run`.
        config: Name of a packaged configuration, path of a TOML file, or a `Config`; `flickr8k`
            by default, and when resuming that of the run.
        overrides: Keys and values that replace those of the configuration.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        skip_bad: Whether to leave unusable images and captions out; otherwise they are an error.
        resume: Whether to go on with the run in the folder, if there is one.
        feature_cache: Folder of cached backbone features, to share between runs;
            `RUN/features` by default.
        beginning: A finished run of the first stages of this configuration, without adversary.
            They are not trained again: the new run goes on from its end, to the same encoders.
        unpaired_images: Folder of images without captions, which the adversary sees too; or both
            this and the following as an `Unpaired`. A run that goes on keeps its own.
        unpaired_captions: Text file of captions without an image, one a line: the adversary sees
            them too, and the vocabulary has their words.
        callbacks: Keras callbacks, called after those that measure on dev: the logs of an epoch
            hold all that the history has, and the model the averaged weights, which were
            measured. Epochs count over all stages. `model.stop_training` ends the training and
            finishes the run, unless a loss was not finite: then resuming goes on from the last
            good state. With `resume`, a callback starts anew.
        quiet: Whether to print no progress.

    Raises:
        MiteError: If data or configuration are unusable, the folder holds another run or is being
            trained in, or what resuming needs is missing.
        KeyboardInterrupt: If stopped by Ctrl-C or SIGTERM, after the state has been saved.

    Example:
        >>> stopping = keras.callbacks.EarlyStopping("rsum", mode="max", patience=5)
        >>> train("nowhere", "runs/first", config="scenes", callbacks=[stopping])
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere does not exist; ...
    """
    folder = Run(run)
    with Alone(folder.path, "training") as alone:
        started = _check_place(folder, resume)
        settings = _settings(folder if started else None, config, overrides)
        check_stages(settings)
        check_text_backbone(settings)
        table = usable_data(data, settings, format, root, skip_bad, quiet)
        own = folder.info["data"] if started else {}
        unpaired = unpaired_data(
            unpaired_images,
            unpaired_captions,
            table,
            settings,
            skip_bad,
            quiet,
            own.get("unpaired"),
        )
        info = describe(table, unpaired, data, format, root, skip_bad)
        if started:
            check_same_data(folder.path, own, info["data"])
        if beginning is not None and not started:
            check_beginning(settings, info["data"], RunFolder(beginning))
        learned_from, text = table.split("train"), settings.tokenizer
        captions = [*learned_from.captions, *unpaired.captions]
        earlier = [RunFolder(each).path for each in (folder, beginning) if each is not None]
        with _reproducible(settings.training.seed):  # what is learned beside it starts at random
            known = pretrained(settings, *earlier)
        if known.text:
            tokenizer: TextTokenizer = known.text.tokenizer
        else:
            flags = {"lower_case": text.lower_case, "strip_accents": text.strip_accents}
            vocabulary = (
                read_vocabulary(folder.vocabulary)
                if started
                else learn_vocabulary(
                    captions, size=text.vocabulary_size, minimum_count=text.minimum_count, **flags
                )
            )
            tokenizer = WordPieceTokenizer(vocabulary, max_length=text.max_length, **flags)
        with _reproducible(settings.training.seed), Interruption() as interruption:
            features = None
            if settings.backbone.name == "features":
                features = PrecomputedFeatures(settings.backbone.features)
                for split in ("train", "dev"):
                    features.of(table.split(split).image_ids)  # raises where some are missing
            model = build_model(
                settings,
                len(tokenizer.vocabulary),
                features.shape if features else None,
                **known.arguments(captions, text),
            )
            if not started and not quiet:
                for sentence in warnings_before(settings, model.image_encoder.backbone):
                    say(f"Warning: {sentence}", "yellow")
            inputs = StageInputs(
                learned_from,
                table.split("dev"),
                Encoders.of(model, tokenizer, orientation=settings.backbone.orientation),
                settings,
                unpaired=unpaired,
                feature_cache=Path(feature_cache) if feature_cache else folder.path / "features",
                interruption=interruption,
                precomputed=features,
                quiet=quiet,
            )
            if (cut := inputs.train_ids.truncated) and not quiet:
                say(
                    f"{cut} of {len(inputs.train_ids.ids)} train captions are longer than "
                    f"tokenizer.max_length={tokenizer.max_length} tokens and were cut."
                )
            if not quiet:
                _tell_unknown(
                    inputs.train_ids.unknown, inputs.dev_ids.unknown, known.text is not None
                )
            if not started:  # only now, when nothing that was asked for is wrong
                with writing(folder.path):
                    folder.path.parent.mkdir(parents=True, exist_ok=True)
                alone.hold()
                folder.start(
                    settings,
                    tokenizer.vocabulary,
                    info,
                    RunFolder(beginning) if beginning else None,
                    known,
                )
                alone.hold()
            try:
                fit_stages(
                    model, inputs, settings, folder, interruption, callbacks=callbacks, quiet=quiet
                )
            except OSError:
                raise  # what is there is sound, and resuming needs it
            except Exception:
                if not started and not _has_stepped(model):  # it could not train after all
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    return folder


def _check_place(folder: RunFolder, resume: bool) -> bool:
    """Refuses a folder that no run can be made or gone on with in; returns whether one is there."""
    if folder.path.exists() and not folder.path.is_dir():
        raise wrong_kind(folder.path, "no place for a run", "Name another folder.")
    started = (folder.path / "run.json").exists() or folder.state.exists()
    if started and resume:
        folder.check_resumable()
    elif started:
        raise MiteError(
            f"{folder.path}: holds a run already. Go on with it with resume=True (--resume), or "
            "name another folder."
        )
    elif folder.path.exists():
        if any(folder.path.iterdir()):
            what = recognize(folder.path).what
            raise MiteError(
                f"{folder.path}: is not empty and holds no run to resume: it is {what}. Name "
                "another folder."
            )
        if folder.path.samefile("."):
            raise MiteError(f"{folder.path}: is the current folder. Name one below it for the run.")
    return started


def _has_stepped(model: MITE) -> bool:
    """Whether a training has gone through any batch."""
    return any(int(each.iterations) for each in model.optimizers)


def _tell_unknown(train: float, dev: float, pretrained: bool = False) -> None:
    """Says how much of the captions the vocabulary lacks, and warns if it is much."""
    say(f"Unknown words: {train:.1%} of the tokens of train, {dev:.1%} of dev.")
    if max(train, dev) > MANY_UNKNOWN:
        language = "dev in a language that train has"
        if pretrained:
            language = "dev and train in a language that the text backbone knows"
        say(
            "Warning: an unknown word says nothing, and captions that differ in such words alone "
            f"are the same. Are the captions of {language}?"
        )


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Sets all seeds and makes operations deterministic in a block; puts both back after it."""
    from tensorflow.python.eager import context  # neither has a public name
    from tensorflow.python.framework import config

    was_deterministic = config.is_op_determinism_enabled()
    before = random.getstate(), np.random.get_state(), context.global_seed()  # noqa: NPY002
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        tf.random.set_seed(before[2])
        if not was_deterministic:
            config.disable_op_determinism()


def _settings(
    started: RunFolder | None, config: str | Path | Config | None, overrides: dict[str, Any] | None
) -> Config:
    """The configuration to train; a run that goes on keeps its own and refuses another."""
    if config is None and started is not None:
        asked = started.read_config(overrides)
    else:
        base = config or "flickr8k"
        asked = base if isinstance(base, Config) else load_config(base, overrides)
    if started is not None and asked != started.config:
        raise MiteError(
            f"{started.path}: was started with another configuration ({started.path}/config.toml). "
            "Resume without config= and overrides= (--config and --set), or train anew in another "
            "folder."
        )
    return asked


def check_stages(config: Config) -> None:
    """Refuses a configuration whose stages cannot be trained: none with epochs, or equal names.

    Example:
        >>> check_stages(load_config("scenes"))
    """
    names = [stage.name for stage in config.stages]
    if len(set(names)) < len(names):
        raise MiteError(f"Stages need different names; there are {', '.join(names)}.")
    if not trained_stages(config):
        if not names:
            raise MiteError("The configuration has no stages, so there is nothing to train.")
        raise MiteError(
            f"All stages ({', '.join(names)}) have 0 epochs, so there is nothing to train. Give "
            f"one some, such as stages.{names[0]}.epochs=10."
        )
