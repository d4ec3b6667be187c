"""Where a guard draws its lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From which value on an epoch looks like that of a failing training.

    Args:
        patience: Epochs in a row that have to look so. A healthy training passes each of these
            values for an epoch or two: at its start, or as the adversary sets in.
        settling_steps: Batches of a training in which nothing counts as a collapse: encoders from
            scratch start out with embeddings that are nearly alike.
        collapsed_gap: Matching pairs this little more similar than others have not been told
            apart: 0.1 is half of the usual margin.
        collapsed_loss: The loss then lies this near, as a share, to what it is when all
            embeddings are alike. It tells a collapse from noise, whose loss is higher.
        diverged: The matching loss is this many times its lowest in the stage, and above that of
            embeddings that are all alike: what had been learned is lost.
        high_probe: A fresh probe right this often finds the modalities lying apart.
        steady: A probe that has fallen by more than this since the last epoch, or an adversarial
            loss by this share, shows that the game goes well, whoever leads: two standard errors
            of the probe for 1,000 images.
        sure: A discriminator right this often has won. One that is damped, as it should be, stays
            at about 0.9 while the modalities come together.
        guessing: Against encoders that learn too, one right no more often than this hardly does
            better than chance, 0.5.
        behind: While the encoders rest, one that learns at all comes nearer than this to the
            accuracy of a fresh probe.
        worse_than_guessing: A discriminator whose loss is this many times that of guessing takes
            steps too large to learn anything.
    """

    patience: int = 3
    settling_steps: int = 100
    collapsed_gap: float = 0.1
    collapsed_loss: float = 0.1
    diverged: float = 2.0
    high_probe: float = 0.9
    steady: float = 0.02
    sure: float = 0.95
    guessing: float = 0.65
    behind: float = 0.2
    worse_than_guessing: float = 2.0
