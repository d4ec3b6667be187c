"""Which versions answered, and whether their embeddings may meet.

A server reports the number of the version with each answer, and an export gives both models the
same number. So embeddings of the image model and of the text model may be compared if and only
if their numbers are equal.
"""

from __future__ import annotations

import warnings
from threading import Lock

from mite_tf.serving.client.errors import MixedVersionsError, MixedVersionsWarning
from mite_tf.serving.client.options import MixedVersions


class Versions:
    """The version that last answered for each model.

    Args:
        rule: What to do when the two models differ.
    """

    def __init__(self, rule: MixedVersions) -> None:
        self._rule = rule
        self._lock = Lock()
        self._last: dict[str, int] = {}

    @property
    def last(self) -> dict[str, int]:
        """Version by name of the model, of those that have answered."""
        with self._lock:
            return dict(self._last)

    def record(self, model: str, version: int | None) -> None:
        """Notes who answered a whole call.

        The note is made in any case, so that embedding again with the other model, too, ends the
        quarrel.

        Raises:
            MixedVersionsError: If the other model's last answer is of another version.
        """
        if version is None:
            return
        with self._lock:
            changed = self._last.get(model) != version
            self._last[model] = version
            others = {name: each for name, each in self._last.items() if each != version}
        if not others or self._rule == "allow":
            return
        [(other, before)] = others.items()
        message = (
            f"Model {model!r} answered as version {version}, but the last answer of {other!r} was "
            f"of version {before}: their embeddings lie in different spaces and must not be "
            f"compared. Embed again with {other!r}, or ask for one version of both with version=. "
            "If these numbers do belong together, give mixed_versions='allow'."
        )
        if self._rule == "refuse":
            raise MixedVersionsError(message)
        if changed:
            warnings.warn(message, MixedVersionsWarning, stacklevel=2)
