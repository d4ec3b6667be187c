"""Names of splits, and the rule for images that have none."""

import hashlib
import re
from collections.abc import Sequence

STANDARD = ("train", "dev", "test")

_SYNONYMS = {
    **dict.fromkeys(("train", "training"), "train"),
    "restval": "train",  # Karpathy's name for the rest of COCO's validation images
    **dict.fromkeys(("dev", "val", "valid", "validation", "development"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_IN_NAME = re.compile(rf"(?:^|[_.\-])({'|'.join(_SYNONYMS)})(?:images|\d+)?$", re.IGNORECASE)


def canonical_split(name: str) -> str:
    """Returns `"train"`, `"dev"` or `"test"` for a synonym of these, else the name in lower case.

    Example:
        >>> [canonical_split(name) for name in ("val", "restval", " Test ", "extra")]
        ['dev', 'train', 'test', 'extra']
    """
    key = name.strip().lower()
    return _SYNONYMS.get(key, key)


def split_in_name(stem: str) -> str | None:
    """Returns the split that a file name without its suffix ends in, if any.

    Example:
        >>> stems = "Flickr_8k.trainImages", "captions_val2017", "flickr30k_test", "captions"
        >>> [split_in_name(stem) for stem in stems]
        ['train', 'dev', 'test', None]
    """
    found = _IN_NAME.search(stem)
    return canonical_split(found[1]) if found else None


def hashed_splits(images: Sequence[str]) -> list[str]:
    """Assigns images to splits by their ids alone: 80 % train, 10 % dev, 10 % test.

    Each id has a hash in [0, 1): train lies below 0.8, test from 0.9 on. So an image keeps its
    split on every machine and when images are added to the corpus. Only a split that would be
    empty takes the images nearest to its border: of three images or more each split gets one, of
    two there is one in train and one in dev, and one alone is in train.

    Example:
        >>> hashed_splits(["a.jpg", "b.jpg", "c.jpg"])
        ['train', 'dev', 'test']
    """
    fractions = [_fraction(image) for image in images]
    order = sorted(range(len(images)), key=fractions.__getitem__)
    train, rest = (sum(each < border for each in fractions) for border in (0.8, 0.9))
    train = max(1, min(train, len(images) - 2))
    rest = max(train + 1, min(rest, len(images) - 1))
    splits = [""] * len(images)
    for place, image in enumerate(order):
        splits[image] = "train" if place < train else "dev" if place < rest else "test"
    return splits


def _fraction(image: str) -> float:
    digest = hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_rank(split: str) -> int:
    """Orders splits by how much they must stay unseen: train, others, dev, test."""
    return {"train": 0, "dev": 2, "test": 3}.get(split, 1)
