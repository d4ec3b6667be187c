"""Captions of a scene: five true sentences, told from the scenes that it is easily taken for."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.scenes.scene import Scene
from mite_tf.scenes.sentences import Caption, sentences

CAPTIONS_PER_IMAGE = 5

_TRIES = 2000


def describe(scene: Scene, rng: np.random.Generator, unlike: Sequence[Scene] = ()) -> list[str]:
    """Writes five captions of a scene.

    Some mention all objects and some only a part, in varied words and word orders; each is true.

    Args:
        scene: The scene.
        rng: Source of the choices; the same state gives the same captions.
        unlike: Up to five other scenes, such as near misses. Of each at least one caption is
            false.

    Returns:
        Five different captions in lower case, without a full stop.

    Raises:
        MiteError: A scene in `unlike` cannot be told from `scene` in words.

    Example:
        >>> from mite_tf.scenes.sampling import sample_scenes
        >>> scene, *others = sample_scenes(4, seed=20)
        >>> for text in describe(scene, np.random.default_rng(0), unlike=others):
        ...     print(text)
        two shapes: a small crimson triangle and a small checkered yellow shape
        the plain red triangle is higher up than a small heart
        the heart is checkered and the triangle is plain
        exactly one of the two shapes is checked: a small yellow heart
        on squared paper, the plain triangle sits above a golden checkered shape
    """
    return [caption.text for caption in compose(scene, rng, unlike)]


def compose(scene: Scene, rng: np.random.Generator, unlike: Sequence[Scene] = ()) -> list[Caption]:
    """Writes five captions as `describe` does, and keeps what they claim."""
    stream = sentences(scene, rng)
    chosen: dict[str, Caption] = {}
    for other in unlike:
        if all(caption.holds(other) for caption in chosen.values()):
            telling = (c for c in islice(stream, _TRIES) if not c.holds(other))
            caption = next(telling, None)
            if caption is None:
                raise MiteError(
                    f"No caption tells {scene} from {other}. Expected scenes that differ in what "
                    "words can say: an attribute, a number, a clear relation or the background."
                )
            chosen[caption.text] = caption
    while len(chosen) < CAPTIONS_PER_IMAGE:
        caption = next(stream)
        chosen[caption.text] = caption
    captions = list(chosen.values())
    return [captions[k] for k in rng.permutation(len(captions))]
