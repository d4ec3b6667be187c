"""A state to go back to when a training fails."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mite_tf.training.state import read_state, write_state

# Set by the schedule or the user, not learned: going back leaves them as they are.
_SETTINGS = ("learning_rate", "adversarial_weight")


class GoodState:
    """Keeps all that a `MITE` model has learned, and brings it back.

    Args:
        model: The compiled model.
        further_variables: Variables besides the model's, such as averages of its weights.
        path: File to keep it in, so that a training that is killed and resumed finds it; a
            temporary one by default.
    """

    def __init__(
        self, model: Any, further_variables: Sequence[Any] = (), path: Path | None = None
    ) -> None:
        variables = [
            *model.variables,
            *model.optimizer.variables,
            *model.backbone_optimizer.variables,
            *model.discriminator_optimizer.variables,
            *further_variables,
        ]
        self._variables = [each for each in variables if each.name not in _SETTINGS]
        if path is None:
            folder = tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = Path(folder, "good.npz")
        self.path = path

    def keep(self) -> None:
        """Keeps the state as it is now, instead of the one before."""
        write_state(self.path, self._variables, {})

    def bring_back(self) -> None:
        """Puts the kept state back."""
        read_state(self.path, self._variables)
