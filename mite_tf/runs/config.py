"""The configuration of a training: frozen values, read from TOML and replaced by dotted keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mite_tf.errors import MiteError
from mite_tf.runs.arguments import ARGUMENTS
from mite_tf.runs.config_file import config_values
from mite_tf.runs.renamed import now_called
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
    strip_accents: bool = False


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EmbeddingConfig:
    """What both encoders share.

    Args:
        size: Size of the embeddings.
        standardize: Whether `project` standardises them.
        start: What they are before training: `random`, or `identity`, the features of both
            networks, which then are of one size, as those of both towers of a contrastive model.
        nested_sizes: How many of the first values are to be an embedding as well, for collections
            too large for whole ones; see `MITE.compile`.
    """

    size: Annotated[int, Field(ge=2)] = 512
    standardize: bool = False
    start: Literal["random", "identity"] = "random"
    nested_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()

    def __post_init__(self) -> None:
        sizes = [*self.nested_sizes, self.size]
        if any(below >= above for below, above in pairwise(sizes)):
            raise ValueError(
                f"nested_sizes have to rise and stay below {self.size}, the size of the embeddings"
            )


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BackboneConfig:
    """The backbone of the image encoder; see `load_backbone`.

    Args:
        name: `small-cnn`, a model of `keras.applications`, the path of a model file, or a network
            of KerasHub (see `hub_backbone`); `features` for an image encoder without backbone, see
            `PrecomputedFeatures`.
        features: The file of these features.
        weights: For `keras.applications`: `imagenet`, `none`, or a file.
        image_size: Height and width of images in use, in pixels.
        width: For `small-cnn`: channels of the first stage.
        pooling: For a transformer of KerasHub without a feature map: `cls` or `mean`.
        check: For a file: whether to refuse a known family without its preprocessing.
        orientation: Whether images are turned upright as their EXIF says (`exif`), or left as
            their pixels lie (`ignored`).
    """

    name: str = "small-cnn"
    features: str = ""
    weights: str = "imagenet"
    image_size: Annotated[int, Field(ge=16)] = 224
    width: Annotated[int, Field(ge=8)] = 32
    pooling: Literal["cls", "mean"] = "cls"
    check: bool = True
    orientation: Literal["exif", "ignored"] = "exif"


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TextBackboneConfig:
    """The pretrained network that the text encoder `hub` is built on; see `load_text_backbone`.

    Args:
        name: A preset of KerasHub, a handle, or a folder.
        pooling: How the vectors of its tokens become one: their `mean`, or `cls`, that of the
            first; of a text tower, what pictures are compared with. Or `generalized`: a weighting
            learned in the stages with `text_backbone_share` above 0. Empty: as it was trained.
    """

    name: str = ""
    pooling: Literal["", "mean", "cls", "generalized"] = ""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OptimizerConfig:
    """AdamW, which trains the encoders; `clip_norm` holds for the discriminator too."""

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
        select_by: Which epoch of a stage is its best: the one with the highest `rsum` on dev, or
            the `last`. A modality gap gains some recall, so that `rsum` prefers epochs before the
            adversary has closed it.
        guard: Whether it warns (`warn`) when training fails, stops it (`stop`), or tries a remedy
            first (`act`); see `Guard`.
        probe_every: Epochs between measurements of `probe_accuracy` on dev, by which the guard
            judges the adversary; 0 for none.
        unpaired: Whether the adversary sees images and captions that are unpaired, where a training
            has them; the vocabulary has their words anyway.
        save_minutes: How often a resumable state is written within an epoch, besides at its end.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    averaging: _Share = 0.998
    views: _Count = 1
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.5
    select_by: Literal["rsum", "last"] = "rsum"
    guard: Literal["off", "warn", "act", "stop"] = "warn"
    probe_every: Annotated[int, Field(ge=0)] = 1
    unpaired: bool = True
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
    text_backbone: TextBackboneConfig = TextBackboneConfig()
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

    @property
    def learns_texts(self) -> bool:
        """Whether the text backbone learns in a stage that has any epochs."""
        return any(stage.epochs and stage.text_backbone_share for stage in self.stages)

    def without_adversary(self) -> Config:
        """Returns the triplet baseline: the same, with no discriminator to train or to defeat."""
        stages = tuple(
            replace(stage, adversarial_weight=0.0, discriminator_steps=0) for stage in self.stages
        )
        return replace(self, stages=stages)

    def with_adversary_of(self, other: Config) -> Config:
        """Returns the same with discriminator, optimizer, loss and what it sees of another one."""
        return replace(
            self,
            training=replace(self.training, unpaired=other.training.unpaired),
            discriminator=other.discriminator,
            discriminator_optimizer=other.discriminator_optimizer,
            adversarial_loss=other.adversarial_loss,
        )

    def with_overrides(self, overrides: Mapping[str, Any]) -> Config:
        """Returns the same with some values replaced, by dotted keys as in `load_config`."""
        values = tomllib.loads(self.to_toml())
        for key, value in overrides.items():
            _override(values, key, value)
        return _validated(", ".join(overrides), values)

    def to_toml(self) -> str:
        """Returns the configuration as TOML; `load_config` reads the same back."""
        return tomli_w.dumps(asdict(self))


def load_config(
    name_or_file: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    missing: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Reads a configuration.

    Args:
        name_or_file: Name of a packaged configuration, or the path of a TOML file; see
            `config_values`.
        overrides: Dotted keys and values that replace those of the file, such as
            `{"embedding.size": 256, "stages.align.epochs": 5}`. Strings are read as TOML values
            where they are such.
        missing: Values by section and key, for what the file leaves out, in place of defaults.

    Raises:
        MiteError: If there is no such configuration, or a key or value in it is wrong.
    """
    values = config_values(name_or_file)
    for section, keys in (missing or {}).items():
        if isinstance(found := values.get(section, {}), dict):
            values[section] = {**keys, **found}
    for key, value in (overrides or {}).items():
        _override(values, key, value)
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


def parse_overrides(assignments: Sequence[str]) -> dict[str, str]:
    """Turns `["a.b=1", ...]`, as given on the command line, into `{"a.b": "1"}`."""
    overrides = {}
    for assignment in assignments:
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise MiteError(
                f"{assignment!r} in overrides (--set): expected KEY=VALUE, such as "
                "embedding.size=256 or stages.align.epochs=5."
            )
        overrides[key] = value
    return overrides


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Replaces one value, in place. A stage is addressed by its name: `stages.align.epochs`."""
    if now := now_called(dotted):
        raise MiteError(f"{dotted}: this key is now {now}.")
    *parents, last = dotted.split(".")
    table: Any = values
    for parent in parents:
        if isinstance(table, list):
            stages = [item for item in table if isinstance(item, dict)]
            named = [item for item in stages if item.get("name") == parent]
            if not named:
                names = ", ".join(str(item.get("name")) for item in stages)
                raise MiteError(f"{dotted}: no stage is called {parent!r}; there are {names}.")
            table = named[0]
        elif isinstance(table, dict):
            table = table.setdefault(parent, {})
        if not isinstance(table, (dict, list)):
            raise MiteError(f"{dotted}: {parent!r} is a value and holds no further keys.")
    if isinstance(table, list):
        raise MiteError(f"{dotted}: name a key of the stage, such as {dotted}.epochs.")
    if isinstance(value, str):
        with suppress(tomllib.TOMLDecodeError):  # a bare word or path: not quoted in a shell
            value = tomllib.loads(f"value = {value}")["value"]
    table[last] = value
