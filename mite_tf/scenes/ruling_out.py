"""Which near misses the captions of rendered scenes rule out."""

import json
from pathlib import Path
from typing import NamedTuple

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.errors import MiteError

FILE = "scenes.jsonl"


class RuledOut(NamedTuple):
    """A caption, and a scene of which it is false.

    Attributes:
        caption: Row of the caption.
        image: Row of the image.
        kind: In what the scene differs from the caption's own, one of
            `mite_tf.scenes.scene.KINDS` without `"base"`.
    """

    caption: int
    image: int
    kind: str


def ruled_out(table: CaptionedImages) -> list[RuledOut]:
    """Pairs captions of rendered scenes with the near misses that they rule out.

    Only scenes that differ in one known thing are paired: the base of a family with its near
    misses, in both directions, but no two near misses with each other.

    Args:
        table: Rendered scenes, or a split of them.

    Returns:
        The pairs, in the order of the captions; none where the table's root holds no
        `scenes.jsonl`, so that it is of other images.

    Raises:
        MiteError: If that file cannot be read, or does not fit the table.

    Example:
        >>> ruled_out(CaptionedImages.from_lists(["dog.jpg"], ["A dog runs."], ["test"]))
        []
    """
    path = Path(table.root) / FILE
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8") as file:
            scenes = {scene["image"]: scene for scene in map(json.loads, file)}
        families: dict[int, dict[str, int]] = {}
        for row, image in enumerate(table.image_ids):
            families.setdefault(scenes[image]["family"], {})[scenes[image]["kind"]] = row
        pairs, caption = [], 0
        for entry in table:
            scene = scenes[entry.image]
            own, family = scene["kind"], families[scene["family"]]
            for _, kinds in zip(entry.captions, scene["rules_out"], strict=True):
                pairs += [
                    RuledOut(caption, family[other], other if own == "base" else own)
                    for other in kinds
                    if other in family and "base" in (own, other)
                ]
                caption += 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiteError(f"{path}: does not describe the scenes of the table: {error}") from error
    return pairs
