"""The folder of rendered scenes: written once, and read for what its captions rule out."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mite_tf.data import CaptionedImages
from mite_tf.errors import MiteError
from mite_tf.files import locked, writing
from mite_tf.progress import Report, say
from mite_tf.progress import progress as shown_progress
from mite_tf.reading import read_object, reading
from mite_tf.scenes.captions import describe
from mite_tf.scenes.drawing import SMALLEST, draw
from mite_tf.scenes.families import sample_scenes
from mite_tf.scenes.scene import Scene

_VERSION = 1  # raised whenever the same parameters would write other scenes


def write_scenes(
    path: str | Path,
    *,
    train: int = 2000,
    dev: int = 300,
    test: int = 300,
    size: int = 96,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Draws scenes, captions them and writes both to a folder.

    The folder holds `images/000001.png` and so on, the parameters in `scenes.json`, and a line for
    each image in

    - `captions.jsonl`: `image`, five `captions` and its `split`;
    - `scenes.jsonl`: its objects, `background`, `family` and `kind` (how it differs from the base
      of its family), and `rules_out`: of which kinds in the family each caption is false.

    Families never straddle splits. The folder appears when it is complete, and one that was
    written with the same parameters is used again.

    Args:
        path: The folder to write, which is also returned.
        train: Number of training images.
        dev: Number of images to choose by.
        test: Number of images to judge by.
        size: Width and height of the images in pixels, at least 32.
        seed: Seed of everything random, 0 or more.
        progress: Whether to show a progress bar on standard error.

    Raises:
        MiteError: A parameter is out of its range, or the folder holds something else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_scenes(f"{folder}/scenes", train=8, dev=4, test=4, progress=False)
        ...     sorted(item.name for item in path.iterdir())
        ['captions.jsonl', 'images', 'scenes.json', 'scenes.jsonl']
    """
    splits = {"train": train, "dev": dev, "test": test}
    parameters = {"version": _VERSION, **splits, "size": size, "seed": seed}
    if min(splits.values()) < 0 or not any(splits.values()):
        numbers = ", ".join(f"{split}={number}" for split, number in splits.items())
        raise MiteError(f"Cannot write {numbers} images. Expected 0 or more, and one at least.")
    if size < SMALLEST:
        raise MiteError(f"Cannot write images {size} pixels wide. Expected at least {SMALLEST}.")
    if seed < 0:
        raise MiteError(f"Cannot use seed {seed}. Expected 0 or more.")
    target = Path(path).resolve()
    if _is_written(target, parameters):
        return Path(path)

    draft = target.with_name(f".{target.name}.draft")
    with writing(target, draft=target.with_name(f".{target.name}.")), ExitStack() as held:
        target.parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(
            locked(target.with_name(f".{target.name}.lock"), busy=_tell_busy(target))
        )
        if _is_written(target, parameters):  # by whom this one has waited for
            return Path(path)
        shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
        try:
            (draft / "images").mkdir(parents=True)
            with shown_progress("Drawing scenes", "images", quiet=not progress) as done:
                _write(draft, splits, size, seed, done)
            (draft / "scenes.json").write_text(json.dumps(parameters, indent=2) + "\n")
            if target.exists():
                target.rmdir()
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return Path(path)


def _tell_busy(target: Path) -> Callable[[], object]:
    return lambda: say(f"{target}: another process is drawing it; waiting.")


def _is_written(target: Path, parameters: dict[str, int]) -> bool:
    """Returns whether the folder is complete; raises if it must not be written either."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = read_object(target / "scenes.json", "the parameters of scenes")
    except MiteError:
        raise MiteError(
            f"{target} exists and holds no rendered scenes. Choose another folder, or delete it."
        ) from None
    if found != parameters:
        raise MiteError(
            f"{target} holds scenes written with {found}, but {parameters} was asked for. "
            "Choose another folder, or delete it to write it anew."
        )
    expected = sum(parameters[split] for split in ("train", "dev", "test"))
    images = len(list((target / "images").glob("*.png")))
    if images != expected or not (target / "captions.jsonl").exists():
        damage = f"{images} of {expected} images"
        raise MiteError(f"{target} is damaged: {damage}. Delete it to write it anew.")
    return True


def _write(draft: Path, splits: dict[str, int], size: int, seed: int, done: Report) -> None:
    rows, total = _rows(splits, seed), sum(splits.values())
    with (
        (draft / "captions.jsonl").open("w", encoding="utf-8", newline="\n") as captions,
        (draft / "scenes.jsonl").open("w", encoding="utf-8", newline="\n") as scenes,
    ):
        for number, (scene, split, sentences, rules_out) in enumerate(rows, start=1):
            row = {"image": f"images/{number:06d}.png"}
            draw(scene, size).save(draft / row["image"])
            captions.write(json.dumps(row | {"captions": sentences, "split": split}) + "\n")
            told = {"split": split, **asdict(scene), "rules_out": rules_out}
            scenes.write(json.dumps(row | told) + "\n")
            done(number, total)


def _rows(
    splits: dict[str, int], seed: int
) -> Iterator[tuple[Scene, str, list[str], list[list[str]]]]:
    """Yields each scene with its split, its captions and the kinds that each caption rules out."""
    number = itertools.count()
    for split_number, (split, n) in enumerate(splits.items()):
        rng = np.random.default_rng((seed, split_number, 1))
        scenes = sample_scenes(n, (seed, split_number, 0))
        for _, members in itertools.groupby(scenes, key=lambda scene: scene.family):
            family_number = next(number)
            family = [replace(scene, family=family_number) for scene in members]
            for scene in family:
                others = [other for other in family if other is not scene]
                captions = describe(scene, rng, unlike=others)
                rules_out = [[o.kind for o in others if not c.holds(o)] for c in captions]
                yield scene, split, [caption.text for caption in captions], rules_out


class RuledOut(NamedTuple):
    """Rows of a caption and of an image of which it is false; `kind` is what differs."""

    caption: int
    image: int
    kind: str


def ruled_out(table: CaptionedImages) -> list[RuledOut]:
    """Pairs captions of rendered scenes, in their order, with the near misses that they rule out.

    Only scenes that differ in one known thing are paired: the base of a family with its near
    misses, in both directions. There are none where the table's root holds no `scenes.jsonl`.

    Raises:
        MiteError: That file cannot be read, or does not fit the table.
    """
    path = Path(table.root) / "scenes.jsonl"
    if not path.exists():
        return []
    with reading(path, "a description of the scenes of the table"):
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
    return pairs
