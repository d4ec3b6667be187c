import pytest

from mite_tf.runs import Config
from mite_tf.runs.beginning import stages_in_common
from mite_tf.studies.trainer import shared_beginnings
from mite_tf.training import Stage

MITE = Config(
    stages=(
        Stage(name="align", epochs=3),
        Stage(name="classify", epochs=1, trains_encoders=False, discriminator_steps=1),
        Stage(name="adversarial", epochs=2, discriminator_steps=1, adversarial_weight=0.1),
        Stage(name="finetune", epochs=2, discriminator_steps=1, adversarial_weight=0.1),
    )
)
# No adversary, and two stages of no epochs, which do not count.
PLAIN = MITE.without_adversary().with_overrides(
    {"stages.classify.epochs": 0, "stages.adversarial.epochs": 0}
)


@pytest.mark.parametrize(
    ("one", "change", "common"),
    [
        (MITE, {}, 1),  # the discriminator comes in after align
        (MITE, {"adversarial_loss": {"name": "mmd"}, "discriminator.hidden_sizes": [3]}, 1),
        (MITE, {"stages.adversarial.epochs": 9}, 1),
        (MITE, {"stages.align.epochs": 9}, 0),
        (MITE, {"training.seed": 9}, 0),
        (MITE, {"text_encoder.word_size": 9}, 0),
        (MITE, {"tokenizer.max_length": 9}, 0),
        (MITE, {"loss": {"name": "infonce"}}, 0),
        (MITE, {"stages.align.discriminator_steps": 1}, 0),
        (MITE.with_overrides({"stages.align.adversarial_weight": [[0, 0.0], [9, 0.1]]}), {}, 0),
        (PLAIN, {}, 2),
        (PLAIN, {"stages.finetune.epochs": 9}, 1),
    ],
)
def test_common_are_the_same_first_stages_without_adversary(one, change, common):
    other = one.with_overrides(change)
    assert stages_in_common(one, other) == stages_in_common(other, one) == common


def beginnings(config, *others):
    found = shared_beginnings(config, others, MITE)
    return [[stage.name for stage in each.stages] for each in found]


def test_a_baseline_that_never_meets_an_adversary_parts_where_others_do():
    baseline = MITE.without_adversary()
    longer = baseline.with_overrides({"stages.finetune.epochs": 9})
    assert beginnings(baseline) == [["align"]]  # alone: others may come; its own end is none
    assert beginnings(baseline, MITE) == [["align"]]
    assert beginnings(baseline, MITE, longer) == [["align"], ["align", "classify", "adversarial"]]
    assert beginnings(MITE) == [["align"]]  # likewise
    other_seed = baseline.with_overrides({"training.seed": 4})
    assert beginnings(other_seed) == [["align"]]


def test_none_ends_before_a_text_backbone_learns():
    late, early = (
        MITE.with_overrides({f"stages.{name}.text_backbone_share": 0.5})
        for name in ("finetune", "align")
    )
    assert beginnings(late) == []
    assert shared_beginnings(early, [], early)[0].learns_texts
    assert beginnings(late.with_overrides({"stages.finetune.epochs": 0})) == [["align"]]


def test_a_beginning_is_the_same_for_all_that_begin_with_it():
    critic = MITE.with_overrides(
        {"adversarial_loss": {"name": "wasserstein"}, "discriminator.hidden_sizes": [3]}
    )
    assert shared_beginnings(MITE, [critic], MITE) == shared_beginnings(critic, [MITE], MITE)
