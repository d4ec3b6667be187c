import pytest

import mite_tf.losses as losses
from mite_tf.losses import adversarial_loss, matching_loss

MATCHING = {
    "triplet": losses.BidirectionalTriplet,
    "infonce": losses.InfoNCE,
    "siglip": losses.SigLIP,
}
ADVERSARIAL = {
    "flipped-labels": losses.FlippedLabels,
    "gradient-reversal": losses.GradientReversal,
    "entropy-maximization": losses.EntropyMaximization,
    "wasserstein": losses.Wasserstein,
    "mmd": losses.MaximumMeanDiscrepancy,
}


def test_every_loss_has_a_name():
    assert {name: type(matching_loss(name)) for name in MATCHING} == MATCHING
    assert {name: type(adversarial_loss(name)) for name in ADVERSARIAL} == ADVERSARIAL


def test_arguments_reach_the_loss():
    assert matching_loss("triplet", negatives="hardest").negatives == "hardest"
    assert adversarial_loss("mmd", bandwidths=[0.5]).bandwidths == (0.5,)


@pytest.mark.parametrize(
    ("build", "known"), [(matching_loss, MATCHING), (adversarial_loss, ADVERSARIAL)]
)
def test_an_unknown_name_is_answered_with_the_known_ones(build, known):
    with pytest.raises(ValueError, match=f"'hinge'.*{', '.join(known)}"):
        build("hinge")


def test_an_unknown_argument_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'triplet'.*'marign'.*margin, negatives"):
        matching_loss("triplet", marign=0.2)


CLASSIFYING = ("flipped-labels", "gradient-reversal", "entropy-maximization")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("triplet", {"margin": 0}, "`margin`.*above 0.*margin=0"),
        ("triplet", {"margin": float("nan")}, "`margin`.*margin=nan"),
        ("triplet", {"temperature": 0}, "`temperature`.*above 0"),
        ("triplet", {"negatives": "hard"}, "`negatives`.*'semi-hard'.*negatives='hard'"),
        ("triplet", {"negatives": "mix", "hardest_share": 1.5}, r"`hardest_share`.*\[0, 1\].*1.5"),
        ("triplet", {"hardest_share": 0.5}, "`hardest_share`.*negatives='sum'.*=0.5"),
        ("infonce", {"temperature": 0}, "`temperature`.*above 0.*temperature=0"),
        ("siglip", {"temperature": -1}, "`temperature`.*above 0.*temperature=-1"),
        ("wasserstein", {"gradient_penalty": -10}, "`gradient_penalty`.*at least 0.*=-10"),
        ("mmd", {"bandwidths": ()}, "`bandwidths`.*above 0.*bandwidths="),
        ("mmd", {"bandwidths": (1.0, 0.0)}, "`bandwidths`.*above 0.*bandwidths="),
        *((n, {"label_smoothing": 0.5}, r"`label_smoothing`.*\[0, 0.5\)") for n in CLASSIFYING),
        *((n, {"label_smoothing": -0.1}, "`label_smoothing`.*=-0.1") for n in CLASSIFYING),
        *((n, {"r1_penalty": -1.0}, "`r1_penalty`.*at least 0.*=-1.0") for n in CLASSIFYING),
    ],
)
def test_arguments_out_of_range_are_named_by_the_loss(name, arguments, message):
    build = matching_loss if name in MATCHING else adversarial_loss
    with pytest.raises(ValueError, match=message):
        build(name, **arguments)
