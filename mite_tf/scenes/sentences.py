"""The grammar of captions: kinds of sentences, and how often each is used."""

from collections.abc import Callable, Iterator

import numpy as np

from mite_tf.scenes import comparing, naming, relating
from mite_tf.scenes.claims import Caption, lies_on
from mite_tf.scenes.pick import Rng
from mite_tf.scenes.scene import Scene
from mite_tf.scenes.words import word

Sentence = Callable[[Scene, Rng], Caption | None]
"""Makes a caption of a scene, or `None` where the scene gives no occasion for it."""

GRAMMAR: dict[Sentence, float] = {
    relating.relation: 5,
    relating.relation_and_more: 3,
    relating.two_relations: 2,
    naming.names: 4,
    naming.total_and_names: 2,
    naming.count: 1,
    naming.share: 1,
    comparing.which_is_which: 2,
    comparing.larger: 1,
    comparing.both: 1,
}

WITH_BACKGROUND = 0.2
"""Share of captions that mention the background."""


def sentences(scene: Scene, rng: Rng) -> Iterator[Caption]:
    """Yields captions that are true of a scene, without end and with repetitions.

    Example:
        >>> from mite_tf.scenes.scene import SceneObject
        >>> scene = Scene((SceneObject("star", "red", "large", "plain", x=0.5, y=0.5),), "white")
        >>> next(sentences(scene, np.random.default_rng(0))).text
        'on a white background, a solid star'
    """
    kinds, shares = list(GRAMMAR), np.array(list(GRAMMAR.values()))
    while True:
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        caption = kind(scene, rng)
        if caption:
            yield _placed(caption, scene, rng) if rng.random() < WITH_BACKGROUND else caption


def _placed(caption: Caption, scene: Scene, rng: Rng) -> Caption:
    """Adds the background: "on squared paper, a red star"."""
    place = word(scene.background, rng)
    parts = (place, caption.text) if rng.random() < 0.5 else (caption.text, place)
    return Caption(", ".join(parts), (*caption.claims, lies_on(scene.background)))
