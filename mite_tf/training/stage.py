"""What one stage of training does: a plain value."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, Literal

import keras
import numpy as np
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

# A value over the epochs of a stage: a number, or points (epoch, value) joined by lines.
Course = float | list[tuple[float, float]]
Share = Annotated[float, Field(ge=0, le=1)]


@keras.saving.register_keras_serializable(package="mite_tf")
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Stage:
    """One stage of training.

    Args:
        name: Name, unique in a schedule.
        epochs: Length; an epoch goes over all captions.
        inputs: `features`, computed once by the frozen backbone, or `pixels`.
        trains_encoders: Whether image head and text encoder are updated.
        backbone_share: Share of the backbone updated, from its output; above 0 needs pixels.
        text_backbone_share: Share of a pretrained text backbone updated, from its output; above 0
            its features are computed in each step.
        discriminator_steps: Updates of the discriminator in each step.
        learning_rate: Peak learning rate of head and text encoder.
        backbone_rate_factor: Learning rate of the backbone, as a multiple of `learning_rate`.
        text_backbone_rate_factor: Likewise, of the text backbone.
        discriminator_learning_rate: Learning rate of the discriminator.
        warmup_epochs: Epochs over which the learning rates rise from zero.
        decay: Their course after that: `constant`; `cosine` down to `final_rate_factor`; or `step`,
            to it at half of the stage.
        final_rate_factor: Learning rate at the end, as a multiple of the peak.
        loss: Matching loss of this stage by its name, such as `pooled-triplet`, with the default
            arguments of its class; the one that the model was compiled with if empty.
        hardest_share: Share of the hardest negative in the triplet loss, beside the sum over all:
            a number, or points (epoch in the stage, value).
        adversarial_weight: Weight of the adversarial loss: a number, or points.
        batch_size: Images in a batch.
        captions_per_image: Captions of each; more of them spread the cost of an image in pixels.
        views: For features: number of cached views to draw from, the whole frame first; 2 leaves
            out the random crops, 0 takes all.
        image_size: For pixels: height and width to train at; 0 for `backbone.image_size`. A
            smaller size is faster and, with random crops, in which objects look larger, fits a
            larger one in use (Touvron et al., NeurIPS 2019, arXiv:1906.06423).
        smallest_crop: For pixels: smallest share of the frame that a random crop keeps.
        flip: For pixels: whether to mirror at random.

    Example:
        >>> stage = Stage(name="align", epochs=10, adversarial_weight=[(2, 0.0), (4, 0.1)])
        >>> stage.value_at("adversarial_weight", 3.0)
        0.05
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    epochs: Annotated[int, Field(ge=0)]
    inputs: Literal["features", "pixels"] = "features"
    trains_encoders: bool = True
    backbone_share: Share = 0.0
    text_backbone_share: Share = 0.0
    discriminator_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    backbone_rate_factor: Annotated[float, Field(ge=0)] = 0.1
    text_backbone_rate_factor: Annotated[float, Field(ge=0)] = 0.1
    discriminator_learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    decay: Literal["constant", "cosine", "step"] = "cosine"
    final_rate_factor: Share = 0.0
    loss: Literal["", "triplet", "pooled-triplet", "infonce", "siglip"] = ""
    hardest_share: Course = 1.0
    adversarial_weight: Course = 0.0
    batch_size: Annotated[int, Field(ge=2)] = 128
    captions_per_image: Annotated[int, Field(ge=1)] = 1
    views: Annotated[int, Field(ge=0)] = 0
    image_size: Annotated[int, Field(ge=0)] = 0
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    flip: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Stage:
        if self.backbone_share and not (self.inputs == "pixels" and self.trains_encoders):
            raise ValueError(
                f"stage {self.name!r}: backbone_share needs inputs = 'pixels' and trains_encoders"
            )
        if self.text_backbone_share and not self.trains_encoders:
            raise ValueError(f"stage {self.name!r}: text_backbone_share needs trains_encoders")
        return self

    @property
    def is_adversarial(self) -> bool:
        """Whether the adversarial weight is above 0 anywhere in the stage."""
        course = self.adversarial_weight
        return any(value for _, value in course) if isinstance(course, list) else course > 0

    def value_at(self, name: str, epoch: float) -> float:
        """Returns the value of `hardest_share` or `adversarial_weight` at an epoch of the stage."""
        course = getattr(self, name)
        if isinstance(course, (int, float)):
            return float(course)
        epochs, values = zip(*course, strict=True)
        return float(np.interp(epoch, epochs, values))

    def rate_at(self, epoch: float) -> float:
        """Returns the multiple of the peak learning rates at an epoch of the stage."""
        if epoch < self.warmup_epochs:
            return max(epoch, 1e-3) / self.warmup_epochs
        length = max(self.epochs - self.warmup_epochs, 1e-9)
        progress = min((epoch - self.warmup_epochs) / length, 1.0)
        if self.decay == "constant":
            return 1.0
        if self.decay == "step":
            return 1.0 if progress < 0.5 else self.final_rate_factor
        return self.final_rate_factor + (1 - self.final_rate_factor) * 0.5 * (
            1 + math.cos(math.pi * progress)
        )

    def get_config(self) -> dict[str, Any]:
        """Returns plain values, for Keras and for TOML."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Stage:
        """Returns the stage that `get_config` described."""
        return cls(**config)
