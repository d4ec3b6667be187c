"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mite_tf.serving.smoke.answers import (
    at_once,
    batches,
    describe,
    embeddings,
    golden,
    health,
    metadata,
    status,
)
from mite_tf.serving.smoke.refusals import refusals
from mite_tf.serving.smoke.rest import metrics, rest
from mite_tf.serving.smoke.subject import Subject


class Outcome(NamedTuple):
    """What a check found.

    Attributes:
        name: Name of the check.
        ok: Whether it held.
        detail: What was found.
    """

    name: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.ok else 'failed'} {self.name}: {self.detail}"


def smoke(subject: Subject) -> Iterator[Outcome]:
    """Tries a server; ends after the first check if the models are not there.

    Args:
        subject: The server.

    Yields:
        The outcome of each check, as it is known.
    """
    first = _try("status", status, subject)
    yield first
    if not first.ok:
        return
    checks: list[tuple[str, Callable[[Subject], str]]] = [
        ("health", health),
        ("metadata", metadata),
        ("embeddings", embeddings),
        ("alone and in a batch", batches),
        ("many at once", at_once),
        ("refusals", refusals),
    ]
    if subject.http is not None:
        checks += [("REST", rest), ("metrics", metrics)]
    if subject.export is not None:
        checks.append(("cases of the export", golden))
    for name, check in checks:
        yield _try(name, check, subject)


def _try(name: str, check: Callable[[Subject], str], subject: Subject) -> Outcome:
    try:
        return Outcome(name, True, check(subject))
    except Exception as error:  # whatever a check meets is its outcome
        return Outcome(name, False, describe(error))
