"""The triplet loss, from images to captions and from captions to images."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.matching import MatchingLoss, negative_mask

_NEGATIVES = ("sum", "semi-hard", "hardest", "mix", "soft")


@keras.saving.register_keras_serializable(package="mite_tf")
class BidirectionalTriplet(MatchingLoss):
    """Asks of each pair that it be more similar, by a margin, than its negatives.

    The loss of pair n adds the hinges `max(0, margin - s[n, n] + s[negative])` of image n
    against captions of other images, and of caption n against other images. Which negatives
    count is a choice:

    - `"sum"`: all of them; smooth, and the one to start from.
    - `"hardest"`: the most similar one. From a fresh start it tends to collapse: everything
      becomes alike and the loss stays at `2 * margin`.
    - `"semi-hard"`: the most similar one that is still less similar than the pair itself; when
      there is none, the least similar one, as in TensorFlow Addons' semi-hard triplet loss.
    - `"mix"`: `(1 - hardest_share) * sum + hardest_share * hardest`.
    - `"soft"`: the smooth version of the hinge with the hardest negative,
      `t * log(1 + sum(exp((margin - s[n, n] + s[negative]) / t)))` with the temperature t. Every
      negative pulls by how hard it is, so it trains from a fresh start and under heavy dropout,
      where the hardest one collapses. As t goes to 0 it becomes `"hardest"`; with a margin of 0
      it is InfoNCE, times `2 * t`.

    A batch that holds a single image has no negatives: its loss and its gradient are 0.

    Args:
        margin: Above 0 (`"soft"` allows 0). VSE++ uses 0.2 with cosine similarities.
        negatives: `"sum"`, `"semi-hard"`, `"hardest"`, `"mix"` or `"soft"`.
        hardest_share: In [0, 1]; other than 0 only with `"mix"`. As an attribute it is a variable
            that a schedule can assign to; `get_config` returns its current value.
        temperature: Above 0; how soft `"soft"` is.
        reduction: How Keras reduces the losses of the pairs; the default is their mean.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        - [Faghri et al., 2018, VSE++](https://arxiv.org/abs/1707.05612) for sum and hardest.
        - [Schroff et al., 2015, FaceNet](https://arxiv.org/abs/1503.03832) for semi-hard.
        - [Sun et al., 2020, Circle Loss](https://arxiv.org/abs/2002.10857) for the smooth form
          and its limits.

    Example:
        >>> loss = BidirectionalTriplet(margin=0.2, negatives="mix")
        >>> similarities = ops.array([[0.9, 0.8], [0.1, 0.7]])
        >>> round(float(loss(ops.array([4, 8]), similarities)), 4)
        0.2
        >>> _ = loss.hardest_share.assign(0.5)
        >>> loss.get_config()["hardest_share"]
        0.5
    """

    def __init__(
        self,
        margin: float = 0.2,
        negatives: str = "sum",
        hardest_share: float = 0.0,
        temperature: float = 0.05,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "bidirectional_triplet",
    ):
        super().__init__(reduction=reduction, name=name)
        if negatives not in _NEGATIVES:
            raise invalid_argument("negatives", negatives, f"one of {_NEGATIVES}")
        if not (margin > 0 or (margin == 0 and negatives == "soft")):
            raise invalid_argument("margin", margin, "a number above 0")
        if not temperature > 0:
            raise invalid_argument("temperature", temperature, "a number above 0")
        if not 0 <= hardest_share <= 1:
            raise invalid_argument("hardest_share", hardest_share, "a number in [0, 1]")
        if hardest_share and negatives != "mix":
            raise invalid_argument(
                "hardest_share", hardest_share, f"0 with negatives={negatives!r}"
            )
        self.margin = margin
        self.negatives = negatives
        self.temperature = temperature
        self.hardest_share = keras.Variable(
            hardest_share, trainable=False, dtype="float32", name="hardest_share"
        )

    def set_hardest_share(self, share: float) -> None:
        """Assigns `hardest_share` where the loss mixes; other ways to take negatives have none."""
        if self.negatives == "mix":
            self.hardest_share.assign(share)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each pair, `[N]`, of ids `[N]` and float32 similarities `[N, N]`."""
        negative = negative_mask(y_true)
        return self._one_way(y_pred, negative) + self._one_way(ops.transpose(y_pred), negative)

    def _one_way(self, similarities: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        match self.negatives:
            case "sum":
                return _sum_hinge(similarities, negative, self.margin)
            case "hardest":
                return hardest_hinge(similarities, negative, self.margin)
            case "semi-hard":
                return _semi_hard_hinge(similarities, negative, self.margin)
            case "soft":
                return _soft_hinge(similarities, negative, self.margin, self.temperature)
            case _:
                share = ops.convert_to_tensor(self.hardest_share)
                every = _sum_hinge(similarities, negative, self.margin)
                hardest = hardest_hinge(similarities, negative, self.margin)
                return (1.0 - share) * every + share * hardest

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "negatives": self.negatives,
            "hardest_share": float(self.hardest_share.numpy()),
            "temperature": self.temperature,
        }


def _sum_hinge(similarities: tf.Tensor, negative: tf.Tensor, margin: float) -> tf.Tensor:
    hinges = ops.relu(margin - ops.diagonal(similarities)[:, None] + similarities)
    return ops.sum(ops.where(negative, hinges, 0.0), axis=1)


def hardest_hinge(similarities: tf.Tensor, negative: tf.Tensor, margin: float) -> tf.Tensor:
    """Computes the hinge of each row with its most similar negative; without any it is 0.

    Args:
        similarities: Shape `[N, N]`, float32; the pairs lie on the diagonal.
        negative: Shape `[N, N]`, boolean, see `negative_mask`.
        margin: The margin of the hinge.

    Example:
        >>> similarities = ops.array([[0.9, 0.8], [0.1, 0.7]])
        >>> negative = ops.array([[False, True], [True, False]])
        >>> [round(float(hinge), 2) for hinge in hardest_hinge(similarities, negative, margin=0.2)]
        [0.1, 0.0]
    """
    # Without negatives the maximum is -inf, and the hinge of -inf is 0 with gradient 0.
    hardest = ops.max(ops.where(negative, similarities, -float("inf")), axis=1)
    return ops.relu(margin - ops.diagonal(similarities) + hardest)


def _semi_hard_hinge(similarities: tf.Tensor, negative: tf.Tensor, margin: float) -> tf.Tensor:
    easiest = ops.min(ops.where(negative, similarities, float("inf")), axis=1, keepdims=True)
    # Where no negative lies below the pair, the easiest one stands in for them.
    below = similarities < ops.diagonal(similarities)[:, None]
    candidate = negative & (below | (similarities <= easiest))
    return hardest_hinge(similarities, candidate, margin)


def _soft_hinge(
    similarities: tf.Tensor, negative: tf.Tensor, margin: float, temperature: float
) -> tf.Tensor:
    # -1e3 stands in for what does not count: far below any cosine, yet finite.
    hardness = ops.logsumexp(ops.where(negative, similarities, -1e3) / temperature, axis=1)
    hinge = (margin - ops.diagonal(similarities)) / temperature + hardness
    return temperature * ops.softplus(hinge)
