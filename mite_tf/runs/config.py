"""The configuration of a training: frozen values, read from and written to TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mite_tf.errors import MiteError
from mite_tf.runs.arguments import ARGUMENTS
from mite_tf.runs.config_keys import override, refuse_old_keys
from mite_tf.training import Stage

_STRICT = ConfigDict(extra="forbid", validate_default=True)
_Share = Annotated[float, Field(ge=0, lt=1)]
_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TokenizerConfig:
    """Captions to token ids; see `learn_vocabulary` and `WordPieceTokenizer`."""

    vocabulary_size: Annotated[int, Field(ge=10)] = 8000
    minimum_count: _Count = 3
    max_length: _Count = 48
    lower_case: bool = True


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EmbeddingConfig:
    """What both encoders share.

    Args:
        size: Size of the embeddings.
        standardize: Whether they are standardised over the batch; see `project`.
    """

    size: Annotated[int, Field(ge=2)] = 512
    standardize: bool = False


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BackboneConfig:
    """The backbone of the image encoder; see `load_backbone`.

    Args:
        name: `small-cnn`, a model of `keras.applications`, or the path of a `.keras` file.
            `features` for an image encoder without backbone, whose features were computed
            beforehand; see `PrecomputedFeatures`.
        features: The file of these features.
        weights: For `keras.applications`: `imagenet`, `none`, or a file.
        image_size: Height and width of images in use, in pixels.
        width: For `small-cnn`: channels of the first stage.
    """

    name: str = "small-cnn"
    features: str = ""
    weights: str = "imagenet"
    image_size: Annotated[int, Field(ge=16)] = 224
    width: Annotated[int, Field(ge=8)] = 32


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OptimizerConfig:
    """AdamW, which trains the encoders.

    Args:
        weight_decay: Decoupled weight decay.
        clip_norm: Largest norm of the gradient; that of the discriminator too.
    """

    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip_norm: Annotated[float, Field(gt=0)] = 2.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DiscriminatorOptimizerConfig:
    """Adam, which trains the discriminator."""

    beta_1: _Share = 0.5


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TrainingConfig:
    """What all stages share.

    Args:
        seed: Seed of initial weights, order, views and dropout.
        averaging: Momentum of the running average of the encoders' weights that is evaluated
            and kept; 0 evaluates the weights themselves.
        views: Views of each training image whose features are cached: whole frame, mirror
            image, then random crops.
        smallest_crop: Smallest share of the frame that a cached crop keeps.
        select_by: Which epoch of a stage counts as its best: the one with the highest `rsum` on
            dev, or the `last`, which looks at nothing. A modality gap gains some recall, so that
            `rsum` prefers epochs before the adversary has closed it.
        guard: What happens when training fails: the guard warns (`warn`), stops training
            (`stop`), or tries a remedy first (`act`); `off` switches it off. See `Guard`.
        probe_every: Epochs from one measurement of `probe_accuracy` on dev to the next; 0 for
            none. The guard judges the adversary by it.
        save_minutes: A resumable state is written at the end of every epoch, and within long
            epochs as often as this.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    averaging: _Share = 0.998
    views: _Count = 1
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.5
    select_by: Literal["rsum", "last"] = "rsum"
    guard: Literal["off", "warn", "act", "stop"] = "warn"
    probe_every: Annotated[int, Field(ge=0)] = 1
    save_minutes: Annotated[float, Field(ge=0)] = 5.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Config:
    """Everything that decides a training, besides the data.

    The sections that are dictionaries hold the arguments of what they are named after:
    `image_head(shape, **config.image_head)`. A `name` in one chooses among several.

    Example:
        >>> config = load_config("scenes", {"stages.align.epochs": "3"})
        >>> config.stages[0].epochs, config.image_head["dropout"]
        (3, 0.1)
    """

    tokenizer: TokenizerConfig = TokenizerConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    backbone: BackboneConfig = BackboneConfig()
    image_head: Annotated[dict[str, Any], ARGUMENTS["image_head"]] = field(default_factory=dict)
    text_encoder: Annotated[dict[str, Any], ARGUMENTS["text_encoder"]] = field(default_factory=dict)
    discriminator: Annotated[dict[str, Any], ARGUMENTS["discriminator"]] = field(
        default_factory=dict
    )
    loss: Annotated[dict[str, Any], ARGUMENTS["loss"]] = field(
        default_factory=lambda: {"name": "triplet", "negatives": "mix"}
    )
    adversarial_loss: Annotated[dict[str, Any], ARGUMENTS["adversarial_loss"]] = field(
        default_factory=dict
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    discriminator_optimizer: DiscriminatorOptimizerConfig = DiscriminatorOptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    stages: tuple[Stage, ...]

    def without_adversary(self) -> Config:
        """Returns the triplet baseline: the same, with no discriminator to train or to defeat."""
        stages = tuple(
            replace(stage, adversarial_weight=0.0, discriminator_steps=0) for stage in self.stages
        )
        return replace(self, stages=stages)

    def with_adversary_of(self, other: Config) -> Config:
        """Returns the same with the discriminator, its optimizer and loss of another one."""
        return replace(
            self,
            discriminator=other.discriminator,
            discriminator_optimizer=other.discriminator_optimizer,
            adversarial_loss=other.adversarial_loss,
        )

    def with_overrides(self, overrides: Mapping[str, Any]) -> Config:
        """Returns the same with some values replaced, by dotted keys as `load_config` takes them.

        Raises:
            MiteError: If a key or value is wrong.
        """
        values = tomllib.loads(self.to_toml())
        for key, value in overrides.items():
            override(values, key, value)
        return _validated(", ".join(overrides), values)

    def to_toml(self) -> str:
        """Returns the configuration as TOML; `load_config` reads the same back."""
        return tomli_w.dumps(asdict(self))


def config_names() -> list[str]:
    """Returns the names of the configurations that come with the package."""
    files = resources.files("mite_tf.configs").iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".toml"))


def load_config(name_or_file: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Reads a configuration.

    Args:
        name_or_file: Name of a packaged configuration, or the path of a TOML file.
        overrides: Dotted keys and values that replace those of the file, such as
            `{"embedding.size": 256, "stages.align.epochs": 5}`. A stage is addressed by its
            name. Strings are read as TOML values where they are such.

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
    refuse_old_keys(name_or_file, values)
    for key, value in (overrides or {}).items():
        override(values, key, value)
    return _validated(name_or_file, values)


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
            elif len(place) == 1 and place[0] in ARGUMENTS and ARGUMENTS[place[0]].named:
                if part != ARGUMENTS[place[0]].name_in(table):
                    place.append(str(part))
            else:
                table = table.get(part, {}) if isinstance(table, dict) else {}
                place.append(str(part))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            message = "no such key"
            if place[0] in ARGUMENTS:
                section = ARGUMENTS[place[0]]
                message += f"; there are {', '.join(section.keys(values[place[0]]))}"
        elif item["type"] != "missing":
            message += f" (given: {item['input']!r})"
        lines.append(f"  {'.'.join(place)}: {message}")
    return f"{source}: the configuration is not valid:\n" + "\n".join(lines)
