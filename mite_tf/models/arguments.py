"""Arguments that Keras users pass by habit: used where they make sense, refused where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import keras

from mite_tf.errors import invalid_argument
from mite_tf.losses import BidirectionalTriplet, MatchingLoss, matching_loss


def matching_loss_of(loss: MatchingLoss | str | None) -> MatchingLoss:
    """Returns the matching loss that `compile(loss=...)` names; None is the default.

    Raises:
        ValueError: If it is another loss.

    Example:
        >>> matching_loss_of("infonce").temperature
        0.05
    """
    if loss is None:
        return BidirectionalTriplet()
    if isinstance(loss, str):
        return matching_loss(loss)
    if not isinstance(loss, MatchingLoss):
        raise ValueError(
            "`loss` compares the images and the captions of a batch: a "
            "`mite_tf.losses.MatchingLoss` or its name, such as 'triplet' or 'infonce'. "
            f"Received: loss={loss!r}"
        )
    return loss


def nested_sizes_below(size: int, nested: Sequence[int]) -> tuple[int, ...]:
    """Returns the sizes that are to be embeddings within one of `size` values.

    Raises:
        ValueError: If one is not between 1 and `size` - 1, or they do not rise.

    Example:
        >>> nested_sizes_below(512, [64, 128])
        (64, 128)
    """
    sizes = [0, *nested, size]
    if any(below >= above for below, above in pairwise(sizes)):
        raise invalid_argument("nested_sizes", nested, f"rising sizes between 1 and {size - 1}")
    return tuple(nested)


def refuse_compile_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuses what `keras.Model.compile` takes and a `MITE` has no use for.

    Raises:
        ValueError: If there is any of it, or the policy is `mixed_float16`.

    Example:
        >>> refuse_compile_arguments({"run_eagerly": True, "metrics": None})
    """
    for name in ("metrics", "weighted_metrics", "loss_weights"):
        if arguments.get(name):
            raise ValueError(
                f"MITE has no single output that `{name}` could be applied to. Retrieval is "
                "measured by the callback `mite_tf.training.RetrievalMonitor`; the adversarial "
                "loss is weighed by `model.adversarial_weight`. Received: "
                f"{name}={arguments[name]!r}"
            )
    if keras.config.dtype_policy().name == "mixed_float16":
        raise ValueError(
            "MITE does not scale its losses, which mixed_float16 needs. "
            "Use keras.config.set_dtype_policy('mixed_bfloat16') instead."
        )


def batch_with_weights(x: Any, y: Any, arguments: dict[str, Any]) -> Any:
    """Takes `sample_weight` from the arguments of `fit` or `evaluate` into the batch `x`.

    Keras drops the weights of a batch that has no targets, so they travel as its key
    `sample_weight`.

    Raises:
        ValueError: If there are targets or class weights.

    Example:
        >>> batch_with_weights({"image_id": [1]}, None, {"sample_weight": [0.5], "epochs": 2})
        {'image_id': [1], 'sample_weight': [0.5]}
    """
    _refuse_targets(y)
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "MITE knows no classes and takes no `class_weight`. Weigh captions by `sample_weight`."
        )
    if isinstance(x, Mapping) and arguments.get("sample_weight") is not None:
        return {**x, "sample_weight": arguments.pop("sample_weight")}
    return x


def unpack(data: Any) -> tuple[dict[str, Any], Any]:
    """Splits what `fit` hands to a step into a batch and the weights of its captions, if any.

    Raises:
        ValueError: If there are targets.

    Example:
        >>> unpack({"image_id": [1], "sample_weight": [0.5]})
        ({'image_id': [1]}, [0.5])
    """
    batch, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
    _refuse_targets(targets)
    batch = dict(batch)
    return batch, batch.pop("sample_weight", weights)


def _refuse_targets(targets: Any) -> None:
    if targets is not None:
        raise ValueError(
            "MITE takes no targets `y`: the batch itself says which image a caption belongs to, by "
            "`image_id` and `caption_image_id`."
        )


def check_step(
    discriminator_steps: int, trains_encoders: bool, **shares: tuple[float, Sequence[Any]]
) -> None:
    """Refuses what a training step of `MITE` cannot do.

    Args:
        discriminator_steps: Updates of the discriminator.
        trains_encoders: Whether heads are updated.
        **shares: Share of each backbone that is updated, with its trainable variables.

    Raises:
        ValueError: If a value is out of range, or a backbone is to train while the heads rest or
            there is none.

    Example:
        >>> check_step(1, True, backbone_share=(0.5, ["kernel"]))
    """
    if discriminator_steps < 0:
        raise invalid_argument("discriminator_steps", discriminator_steps, "0 or more")
    for name, (share, variables) in shares.items():
        if not 0 <= share <= 1:
            raise invalid_argument(name, share, "a number in [0, 1]")
        if share and not (trains_encoders and variables):
            raise ValueError(
                "A backbone trains only together with the encoders, and only where its encoder has "
                f"one. Received: {name}={share}, trains_encoders={trains_encoders}, trainable "
                f"variables of the backbone: {len(variables)}"
            )
