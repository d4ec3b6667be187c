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


@pytest.mark.parametrize(("name", "kind"), MATCHING.items())
def test_every_matching_loss_has_a_name(name, kind):
    assert type(matching_loss(name)) is kind


@pytest.mark.parametrize(("name", "kind"), ADVERSARIAL.items())
def test_every_adversarial_loss_has_a_name(name, kind):
    assert type(adversarial_loss(name)) is kind


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


def test_a_wrong_value_is_answered_by_the_loss():
    with pytest.raises(ValueError, match="`label_smoothing`"):
        adversarial_loss("flipped-labels", label_smoothing=2)
