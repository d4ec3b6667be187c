"""Names of splits, and the rule for images that have none."""

import hashlib
import re

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


def hashed_split(image: str) -> str:
    """Assigns an image to a split by its id alone: 80 % train, 10 % dev, 10 % test.

    So an image keeps its split on every machine and when images are added to the corpus.
    """
    digest = hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if fraction < 0.8 else "dev" if fraction < 0.9 else "test"


def split_rank(split: str) -> int:
    """Orders splits by how much they must stay unseen: train, others, dev, test."""
    return {"train": 0, "dev": 2, "test": 3}.get(split, 1)
