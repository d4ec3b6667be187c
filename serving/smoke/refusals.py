"""Checks of how a server refuses requests that are wrong, one status code each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import numpy as np

from mite_tf.serving.smoke.answers import SENTENCES
from mite_tf.serving.smoke.subject import Failed, Subject, strings


class Wrong(NamedTuple):
    """A wrong request, and the status that TensorFlow Serving gives it.

    Attributes:
        name: What is wrong.
        code: Name of the status.
        send: Sends it.
        images_only: Whether it needs an image model that takes files.
    """

    name: str
    code: str
    send: Callable[[Subject], Any]
    images_only: bool = False


_ONE = strings(b"a dog")

# servables/tensorflow/predict_util.cc and core/manager.cc of TensorFlow Serving; the shape is
# checked by the graph itself.
WRONG = (
    Wrong("unknown model", "NOT_FOUND", lambda s: s.predict("other", {"text": _ONE})),
    Wrong(
        "unknown version",
        "NOT_FOUND",
        lambda s: s.predict("text", {"text": _ONE}, version=987654),
    ),
    Wrong(
        "unknown signature",
        "FAILED_PRECONDITION",
        lambda s: s.predict("text", {"text": _ONE}, signature="other"),
    ),
    Wrong("wrong input name", "INVALID_ARGUMENT", lambda s: s.predict("text", {"other": _ONE})),
    Wrong("no input", "INVALID_ARGUMENT", lambda s: s.predict("text", {})),
    Wrong(
        "wrong type",
        "INVALID_ARGUMENT",
        lambda s: s.predict("text", {"text": np.zeros(1, np.float32)}),
    ),
    Wrong(
        "wrong shape",
        "INVALID_ARGUMENT",
        lambda s: s.predict(
            "text", {"token_ids": np.zeros((1, 2, 3), np.int32)}, signature="token_ids"
        ),
    ),
    Wrong(
        "undecodable image",
        "INVALID_ARGUMENT",
        lambda s: s.predict("image", {"image_bytes": strings(b"no image")}),
        images_only=True,
    ),
)


def refusals(subject: Subject) -> str:
    """Each wrong request gets its status code, and right ones are answered as before."""
    before = subject.client.embed_text(SENTENCES[:1])
    wrong = []
    tried = [w for w in WRONG if not (w.images_only and subject.image_input == "features")]
    for each in tried:
        try:
            each.send(subject)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        if code != each.code:
            wrong.append(f"{each.name} gives {code}, not {each.code}")
    after = subject.client.embed_text(SENTENCES[:1])
    if not np.abs(after - before).max() <= subject.tolerance:
        wrong.append("a right request is answered differently afterwards")
    if wrong:
        raise Failed("; ".join(wrong))
    return f"{len(tried)} kinds, each with its code"
