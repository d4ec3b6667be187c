"""The callback that watches over a training."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras

from mite_tf.errors import MiteError
from mite_tf.models import set_learning_rates
from mite_tf.progress import say
from mite_tf.training.schedule import StageSchedule
from mite_tf.training.signs import (
    SIGNS,
    Limits,
    Row,
    in_stage,
    not_finite,
    row_of,
    streak,
    tell_not_finite,
)
from mite_tf.training.state import read_state, read_values, write_state


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One way in which a training fails, and what to do about it.

    Its `kind` is `collapse`, `divergence`, `not finite`, `winning discriminator`, `losing
    discriminator` or `rotation`; it was reported after `epoch`, from 1, and first seen in the
    epoch `since`, of a `stage` if there are any. `what` is happening, `advice` names the
    configuration's keys to change, and `done` tells what the guard did, if anything.

    Example:
        >>> print(Finding(
        ...     kind="collapse", epoch=5, since=3, stage="align",
        ...     what="all embeddings are alike", advice="lower stages.align.learning_rate",
        ... ))
        Since epoch 3 (align) all embeddings are alike; lower stages.align.learning_rate.
    """

    kind: str
    epoch: int
    since: int
    stage: str
    what: str
    advice: str
    done: str = ""
    stops: bool = False

    def __str__(self) -> str:
        begun = "In" if self.since == self.epoch else "Since"
        stage = f" ({self.stage})" if self.stage else ""
        sentence = f"{begun} epoch {self.since}{stage} {self.what}; {self.advice}."
        return f"{sentence} {self.done}" if self.done else sentence


def print_finding(finding: Finding) -> None:
    """Prints a finding, unless training stops with an error that says the same.

    Example:
        >>> told = {"kind": "collapse", "stage": "", "what": "", "advice": ""}
        >>> print_finding(Finding(epoch=5, since=3, stops=True, **told))  # prints nothing
    """
    if not finding.stops:
        say(f"Warning: {finding}", "yellow")


class Guard(keras.callbacks.Callback):
    """Sees a training of `MITE` fail while it runs, and says what happens and what to change.

    It sees embeddings that collapse into one point, a matching loss that diverges, losses that
    are not finite, and an adversarial game gone wrong: a discriminator that wins or learns
    nothing, or encoders that only run in circles round it. The last three show by comparison
    with a fresh probe, so they need `probe_accuracy` in the logs; list `RetrievalMonitor` before
    the guard. Each failure is told once, when it has lasted for some epochs.

    With the action `act` it does something first, for the rest of the stage. After a collapse, a
    divergence or a loss that is not finite it goes back to the best state of the stage (to its
    beginning if no epoch was good yet) and halves the learning rates; for a discriminator that
    wins or is run round it halves the adversarial weight. With `warn` a loss that is not finite
    stops training too, as nothing can be learned any more.

    Args:
        action: `off` looks away; `warn` tells; `stop` stops training too; `act` acts first.
        limits: From which values on an epoch looks like a failure.
        attempts: How many times in a stage `act` does something before it stops training.
        schedule: The `StageSchedule` of the same `fit`, which carries halved rates and weights on.
        further_variables: What going back restores besides model and optimizers, such as
            `WeightAveraging.state`.
        good_state: File for the state to go back to; a temporary one by default.
        on_finding: Called with each finding; prints it by default.

    Attributes:
        findings: What was found, in order.

    Raises:
        MiteError: While training, where it has to stop.

    Example:
        >>> guard = Guard("stop", limits=Limits(patience=5))
        >>> guard.findings  # after model.fit(..., callbacks=[monitor, guard])
        []
    """

    def __init__(
        self,
        action: Literal["off", "warn", "act", "stop"] = "warn",
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        attempts: int = 3,
        schedule: StageSchedule | None = None,
        further_variables: Sequence[Any] = (),
        good_state: Path | None = None,
        on_finding: Callable[[Finding], object] = print_finding,
    ) -> None:
        super().__init__()
        if action not in ("off", "warn", "act", "stop"):
            raise ValueError(
                f"`action` is 'off', 'warn', 'act' or 'stop'. Received: action={action!r}"
            )
        self.action = action
        self.limits = limits
        self.attempts = attempts
        self.schedule = schedule
        self.findings: list[Finding] = []
        self._further_variables = further_variables
        self._path = good_state
        self._on_finding = on_finding
        self._good: _GoodState | None = None
        self._rows: list[dict[str, Any]] = []
        self._stage: str | None = None
        self._acts = self._steps = 0
        self._went_back = False

    def state(self) -> dict[str, Any]:
        """Returns, as JSON values, what a resumed training must not forget."""
        return {
            "stage": self._stage,
            "acts": self._acts,
            "steps": self._steps,
            "went_back": self._went_back,
            "rows": self._rows,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` returned."""
        self._stage, self._acts, self._steps = state["stage"], state["acts"], state["steps"]
        self._went_back, self._rows = state["went_back"], state["rows"]
        self.findings = [Finding(**values) for values in state["findings"]]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1
        if self.action == "act" and self._good is None:
            self._good = _GoodState(self.model, self._further_variables, self._path)
        stage = self.schedule.stage_at(epoch).name if self.schedule else ""
        if stage != self._stage:
            self._stage, self._acts = stage, 0
            if self.schedule:
                self.schedule.rate_factor = self.schedule.weight_factor = 1.0
            if self._good:
                self._good.keep()
        elif self._good and not self._good.is_kept():  # deleted or damaged between two trainings
            say(
                f"Warning: {self._good.path} is no state; the one of now takes its place.", "yellow"
            )
            self._good.keep()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.action == "off":
            return
        self._steps += 1
        last = batch + 1 == self.params.get("steps")
        broken = not_finite(self.model, logs or {}, weights=last)
        if not broken:
            return
        number = batch + 1 + (self.schedule.first_step if self.schedule else 0)
        row = {"epoch": self._epoch, "stage": self._stage or ""}
        finding = self._finding("not finite", row, tell_not_finite(broken, number, row))
        self._take(finding, "go back", fatal=True)
        self._went_back = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.action == "off":
            return
        if self._went_back:  # within this epoch, so that its means say little
            self._went_back = False
            return
        self._rows.append(row_of(self.model, self._epoch, self._steps, logs or {}, self._rows))
        failing = [
            sign for sign in SIGNS if streak(sign, self._rows, self.limits) == self.limits.patience
        ]
        for sign in failing:
            first, last = self._rows[-self.limits.patience], self._rows[-1]
            self._take(self._finding(sign.kind, first, sign.told(last)), sign.remedy)
            if last["acted"]:
                return
        if self._good and self._is_best():
            self._good.keep()

    def _finding(self, kind: str, first: Row, told: tuple[str, str]) -> Finding:
        begun = {"since": first["epoch"], "stage": first["stage"]}
        return Finding(kind=kind, epoch=self._epoch, what=told[0], advice=told[1], **begun)

    def _is_best(self) -> bool:
        """Whether the last epoch is the best of its stage, and worth going back to."""
        last = self._rows[-1]
        learned = not last["trains_encoders"] or last["similarity_gap"] > self.limits.collapsed_gap
        merits = [row.get("rsum", -row["matching_loss"]) for row in in_stage(self._rows)]
        return learned and merits[-1] == max(merits)

    def _take(self, finding: Finding, remedy: str, *, fatal: bool = False) -> None:
        """Records a finding and does what `action` says."""
        if remedy == "lower the weight" and not float(self.model.adversarial_weight.value):
            remedy = ""
        stops = self.action == "stop" or (fatal and self.action == "warn")
        done = ""
        if self.action == "act" and remedy:
            stops = self._acts == self.attempts
            done = f"Nothing helped in {self.attempts} attempts." if stops else self._act(remedy)
        finding = replace(finding, done=done, stops=stops)
        self.findings.append(finding)
        self._on_finding(finding)
        if stops:
            raise MiteError(f"{finding} Training stopped; train anew with that changed.")

    def _act(self, remedy: str) -> str:
        """Does something about a failure; returns what."""
        self._acts += 1
        if self._rows:
            self._rows[-1]["acted"] = True
        if remedy == "lower the weight":
            if self.schedule:
                self.schedule.weight_factor /= 2
            else:
                self.model.adversarial_weight.assign(self.model.adversarial_weight / 2)
            return "The adversarial weight is halved."
        assert self._good is not None
        self._good.bring_back()
        self.model.reset_metrics()
        if self.schedule:
            self.schedule.rate_factor /= 2
        else:
            model = self.model
            set_learning_rates(
                model,
                encoders=model.optimizer.learning_rate / 2,
                backbone=model.backbone_optimizer.learning_rate / 2,
                text_backbone=model.text_backbone_optimizer.learning_rate / 2,
                discriminator=model.discriminator_optimizer.learning_rate / 2,
            )
        return "The best state of the stage is back, with half the learning rates."


# Set by the schedule or the user, not learned: going back leaves them as they are.
_SETTINGS = ("learning_rate", "adversarial_weight")


class _GoodState:
    """Keeps all that a `MITE` has learned in a file that a resumed training finds again."""

    def __init__(self, model: Any, further_variables: Sequence[Any], path: Path | None) -> None:
        variables = [
            *model.variables,
            *(variable for each in model.optimizers for variable in each.variables),
            *further_variables,
        ]
        self._variables = [each for each in variables if each.name not in _SETTINGS]
        if path is None:
            folder = tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = Path(folder, "good.npz")
        self.path = path

    def keep(self) -> None:
        write_state(self.path, self._variables, {})

    def is_kept(self) -> bool:
        try:
            read_values(self.path)
        except MiteError:
            return False
        return True

    def bring_back(self) -> None:
        read_state(self.path, self._variables)
