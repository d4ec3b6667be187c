"""The configuration of a training: frozen values, read from and written to TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mite_tf.errors import MiteError
from mite_tf.training.stage import Stage

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TextConfig:
    """Captions to token ids; see `learn_vocabulary` and `WordPieceTokenizer`."""

    vocabulary_size: Annotated[int, Field(ge=10)] = 8000
    minimum_count: Annotated[int, Field(ge=1)] = 3
    max_length: Annotated[int, Field(ge=1)] = 48
    lower_case: bool = True


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ModelConfig:
    """Both encoders; see `load_backbone`, `image_head` and the text encoders.

    Args:
        backbone: `small-cnn`, a model of `keras.applications`, or the path of a `.keras` file.
            `features` for an image encoder that starts at features computed beforehand, which
            lie in the file `features`; see `PrecomputedFeatures`.
        weights: For `keras.applications`: `imagenet`, `none`, or a file.
        image_power: Exponent of `PowerNormalization`.
        standardize: Whether embeddings are standardised over the batch; see `project`.
    """

    embedding_size: Annotated[int, Field(ge=2)] = 512
    standardize: bool = False
    backbone: str = "small-cnn"
    features: str = ""
    weights: str = "imagenet"
    image_size: Annotated[int, Field(ge=16)] = 224
    cnn_width: Annotated[int, Field(ge=8)] = 32
    image_pooling: Literal["average", "max", "generalized", "flatten"] = "average"
    image_power: Annotated[float, Field(gt=0, le=1)] = 1.0
    image_hidden_size: Annotated[int, Field(ge=0)] = 512
    image_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    text_encoder: Literal["bag-of-words", "recurrent", "transformer"] = "bag-of-words"
    word_size: Annotated[int, Field(ge=2)] = 512
    text_pooling: Literal["average", "max", "generalized"] = "average"
    text_hidden_size: Annotated[int, Field(ge=0)] = 512
    text_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DiscriminatorConfig:
    """The modality discriminator; see `modality_discriminator`."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    noise: Annotated[float, Field(ge=0)] = 0.0
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.5


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LossConfig:
    """Names and arguments of the losses; see `mite_tf.losses.by_name`."""

    matching: dict[str, Any] = field(
        default_factory=lambda: {"name": "triplet", "margin": 0.2, "negatives": "mix"}
    )
    adversarial: dict[str, Any] = field(default_factory=lambda: {"name": "flipped-labels"})


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TrainingConfig:
    """What all stages share.

    Args:
        seed: Seed of initial weights, order, views and dropout.
        weight_decay: Decoupled weight decay of AdamW.
        clip_norm: Largest norm of the gradient of each optimizer.
        averaging: Momentum of the running average of the encoders' weights that is evaluated
            and kept; 0 evaluates the weights themselves.
        views: Views of each training image whose features are cached: whole frame, mirror
            image, then random crops.
        smallest_crop: Smallest share of the frame that a cached crop keeps.
        select_by: Which epoch of a stage counts as its best: the one with the highest `rsum` on
            dev, or the `last`, which looks at nothing. A modality gap gains some recall, so that
            `rsum` prefers epochs before the adversary has closed it.
        guard: What happens when training fails: it is told (`warn`), training stops (`stop`), the
            guard does something about it first (`act`), or nobody looks (`off`); see `Guard`.
        probe_every: Epochs from one measurement of `probe_accuracy` on dev to the next; 0 for
            none. The guard judges the adversary by it.
        save_minutes: A resumable state is written at the end of every epoch, and within long
            epochs as often as this.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip_norm: Annotated[float, Field(gt=0)] = 2.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.998
    views: Annotated[int, Field(ge=1)] = 1
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.5
    select_by: Literal["rsum", "last"] = "rsum"
    guard: Literal["off", "warn", "act", "stop"] = "warn"
    probe_every: Annotated[int, Field(ge=0)] = 1
    save_minutes: Annotated[float, Field(ge=0)] = 5.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Config:
    """Everything that decides a training, besides the data.

    Example:
        >>> config = load_config("scenes", {"stages.align.epochs": "3"})
        >>> config.stages[0].epochs
        3
    """

    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    stages: tuple[Stage, ...]

    def without_adversary(self) -> Config:
        """Returns the triplet baseline: the same, with no discriminator to train or to defeat."""
        stages = tuple(
            replace(stage, adversarial_weight=0.0, discriminator_steps=0) for stage in self.stages
        )
        return replace(self, stages=stages)

    def with_overrides(self, overrides: dict[str, Any]) -> Config:
        """Returns the same with some values replaced, by dotted keys as `load_config` takes them.

        Raises:
            MiteError: If a key or value is wrong.
        """
        values = tomllib.loads(self.to_toml())
        for key, value in overrides.items():
            _override(values, key, value)
        return _validated(", ".join(overrides), values)

    def to_toml(self) -> str:
        """Returns the configuration as TOML; `load_config` reads the same back."""
        return tomli_w.dumps(asdict(self))


def config_names() -> list[str]:
    """Returns the names of the configurations that come with the package."""
    files = resources.files("mite_tf.configs").iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".toml"))


def load_config(name_or_file: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Reads a configuration.

    Args:
        name_or_file: Name of a packaged configuration, or the path of a TOML file.
        overrides: Dotted keys and values that replace those of the file, such as
            `{"model.embedding_size": 256, "stages.align.epochs": 5}`. A stage is addressed by
            its name. Strings are read as TOML values where they are such.

    Returns:
        The configuration.

    Raises:
        MiteError: If there is no such configuration, or a key or value in it is wrong.
    """
    path = Path(name_or_file)
    try:
        if path.suffix == ".toml":
            text = path.read_text(encoding="utf-8")
        else:
            text = resources.files("mite_tf.configs").joinpath(f"{path}.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MiteError(
            f"No configuration {str(name_or_file)!r}: neither one of "
            f"{', '.join(config_names())} nor a readable file ending in .toml."
        ) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MiteError(f"{name_or_file}: not valid TOML: {error}") from error
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    return _validated(name_or_file, values)


def parse_overrides(assignments: Sequence[str]) -> dict[str, str]:
    """Turns `["a.b=1", ...]`, as given on the command line, into `{"a.b": "1"}`.

    Raises:
        MiteError: If one of them holds no `=`.
    """
    pairs = [assignment.partition("=") for assignment in assignments]
    for (key, equals, _), assignment in zip(pairs, assignments, strict=True):
        if not equals or not key.strip():
            raise MiteError(
                f"--set {assignment}: expected KEY=VALUE, such as model.embedding_size=256 "
                "or stages.align.epochs=5."
            )
    return {key.strip(): value.strip() for key, _, value in pairs}


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    table: Any = values
    for parent in parents:
        if isinstance(table, list):
            named = [item for item in table if item.get("name") == parent]
            if not named:
                names = ", ".join(str(item.get("name")) for item in table)
                raise MiteError(f"{dotted}: no stage is called {parent!r}; there are {names}.")
            table = named[0]
        elif isinstance(table, dict):
            table = table.setdefault(parent, {})
        if not isinstance(table, (dict, list)):
            raise MiteError(f"{dotted}: {parent!r} is a value and holds no further keys.")
    if isinstance(table, list):
        raise MiteError(f"{dotted}: name a key of the stage, such as {dotted}.epochs.")
    table[last] = _parse_value(value) if isinstance(value, str) else value


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word or path: not quoted on the command line


def _validated(source: str | Path, values: dict[str, Any]) -> Config:
    try:
        return TypeAdapter(Config).validate_python(values)
    except ValidationError as error:
        raise MiteError(_explain(source, values, error)) from None


def _explain(source: str | Path, values: dict[str, Any], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        place: list[str] = []
        table: Any = values
        for part in item["loc"]:
            if isinstance(part, int) and isinstance(table, list):
                table = table[part]
                place.append(str(table.get("name", part) if isinstance(table, dict) else part))
            else:
                table = table.get(part, {}) if isinstance(table, dict) else {}
                place.append(str(part))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "unexpected_keyword_argument":
            message = "no such key"
        given = (
            ""
            if item["type"] in ("missing", "unexpected_keyword_argument")
            else (f" (given: {item['input']!r})")
        )
        lines.append(f"  {'.'.join(place)}: {message}{given}")
    return f"{source}: the configuration is not valid:\n" + "\n".join(lines)
