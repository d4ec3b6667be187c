"""The main job on rendered scenes, from nothing to a page with the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mite_tf.data import CaptionedImages, read
from mite_tf.evaluation import (
    Embeddings,
    Evaluation,
    evaluate_embeddings,
    matching_ranks,
    mixed_gallery,
    near_miss_confusion,
    scorings,
)
from mite_tf.evaluation.differences import middle, queries_answered, resampled_recalls
from mite_tf.progress import say as say_line
from mite_tf.reports import SearchExample, SideBySide, print_table, write_report
from mite_tf.retrieval import HubCorrection, VectorIndex
from mite_tf.runs import Config, Run, embed, load_config, search, train
from mite_tf.scenes import ruled_out, write_scenes
from mite_tf.studies.trainer import shared_beginnings

_QUERIES = 2
_INTRODUCTION = (
    "Two trainings of the same encoders on the same rendered scenes. The baseline learns by the "
    "triplet loss alone: a caption and its picture are pulled together, others apart. MITE goes on "
    "from the same first stage and adds an adversary: a discriminator tells pictures from captions "
    "by their embeddings, and the encoders learn to defeat it, so that both become alike.",
    "What to look at: R@K and rsum say how well one finds the other, more is better. The probe "
    "accuracy and the centroid gap say how far apart pictures and captions lie as two groups; 0.5 "
    "and 0 would be not at all. MITE means to lower those two and to keep recall.",
)

_SLOTS = 10
_GALLERY_NOTES = (
    "Search usually ranks pictures among pictures. Here both stand in one gallery: half of the "
    "scenes are there as their picture, half as one of their captions, and another caption looks "
    "for its scene. Where the modalities lie apart, captions come before pictures that fit better.",
    "Shown are the first ten results by cosine, pictures marked in blue and captions in orange: "
    "for the first caption whose scene is there as a picture and that one of the models finds "
    "among its ten, and for the first whose scene is there as a caption.",
    "These scenes are new to encoders that were trained from scratch, and what the adversary has "
    "made alike on their own hardly carries over; with a pretrained backbone more of it does.",
)


def demo(out: str | Path, *, config: str | Path = "scenes", quiet: bool = False) -> Path:
    """Renders scenes, trains the triplet baseline and MITE, measures, searches, writes a page.

    The first stage, in which the two do not differ, is trained once. What is there already is not
    done again, so a demo that was stopped continues where it was.

    Args:
        out: Folder for scenes, both runs and the page.
        config: Configuration to train.
        quiet: Whether to print nothing.

    Returns:
        The page, `out/index.html`.

    Raises:
        MiteError: If the folder holds something else.
    """
    out = Path(out)
    say = (lambda *_: None) if quiet else say_line
    say("Rendering scenes", "bold")
    scenes = write_scenes(out / "scenes", progress=not quiet)
    runs = _trained(scenes, out, load_config(config), quiet)

    table = read(scenes).split("test")
    embeddings = {name: embed(run.path, table, quiet=quiet) for name, run in runs.items()}
    banks = {name: run.hubs() for name, run in runs.items()}
    evaluations: dict[str, Evaluation] = {
        name: evaluate_embeddings(*each, hubs=banks[name]) for name, each in embeddings.items()
    }
    pairs = ruled_out(table)
    confusions = {name: near_miss_confusion(*each, pairs) for name, each in embeddings.items()}
    verdict = rsum_difference(embeddings)
    together = mixed_line(embeddings, banks)
    if not quiet:
        print_table(evaluations, near_misses=confusions)
    say(verdict)
    say(together)

    queries = [table.captions[table.caption_image.tolist().index(row)] for row in range(_QUERIES)]
    examples = []
    for row, query in enumerate(queries):
        hits = search(runs["MITE"].path, table, query, top=6, quiet=quiet)
        examples.append(SearchExample(query, hits, correct=[table.image_ids[row]]))
        say(f"\n{query}", "bold")
        for hit in hits[:3]:
            right = "  <- the scene it was written for" if hit.id == table.image_ids[row] else ""
            say(f"  {hit.score:.3f}  {hit.id}{right}")

    both, slots = in_one_gallery(table, embeddings)
    page = out / "index.html"
    write_report(
        page,
        title="Rendered scenes: triplet baseline and MITE",
        introduction=(*_INTRODUCTION, verdict),
        evaluations=evaluations,
        history=runs["MITE"].history(),
        embeddings={
            "MITE before the adversarial stage": embed(
                runs["MITE"].path, table, stage=runs["MITE"].stage_before_adversary(), quiet=quiet
            ),
            "MITE": embeddings["MITE"],
        },
        examples=examples,
        image_paths=dict(zip(table.image_ids, table.paths, strict=True)),
        captions=slots,
        near_misses=confusions,
        side_by_side=SideBySide(
            "One gallery of pictures and captions", both, [*_GALLERY_NOTES, together]
        ),
        details={"scenes": scenes, "split": "test", "configuration": config},
    )
    say(f"\nThe page: {page}")
    return page


def _trained(scenes: Path, out: Path, settings: Config, quiet: bool) -> dict[str, Run]:
    """Trains both, from a run of the stages that they share."""
    configs = {"baseline": settings.without_adversary(), "MITE": settings}
    places = {name: out / name.lower() for name in configs}

    def trained(path: Path, config: Config, beginning: Path | None) -> Run:
        return train(
            scenes,
            path,
            config=config,
            resume=True,
            feature_cache=out / "features",
            beginning=beginning,
            quiet=quiet,
        )

    shared = None
    if not all((path / "run.json").exists() for path in places.values()):
        for beginning in shared_beginnings(configs["baseline"], [settings], settings)[:1]:
            if not quiet:
                names = ", ".join(stage.name for stage in beginning.stages)
                say_line(f"Training what baseline and MITE share: {names}", "bold")
            shared = trained(out / "shared", beginning, None).path
    runs = {}
    for name, each in configs.items():
        if not quiet:
            say_line(f"Training {name}", "bold")
        runs[name] = trained(places[name], each, shared)
    return runs


def rsum_difference(embeddings: dict[str, Embeddings]) -> str:
    """Says how rsum differs between the last and the first of two models, and how surely.

    The interval is a bootstrap over queries, the same for both models; it does not cover what
    another seed would change.
    """
    first, last = embeddings
    rows = embeddings[first].caption_image
    answered = [queries_answered(matching_ranks(*each), rows) for each in embeddings.values()]
    draws = resampled_recalls(np.subtract(answered[1], answered[0])[None], rows).sum(axis=1)
    rsums = [evaluate_embeddings(*each, probe=False).rsum for each in embeddings.values()]
    low, high = middle(draws)
    difference = f"{last}'s rsum minus {first}'s is {rsums[1] - rsums[0]:+.1f}"
    interval = f"95 % interval over other such queries {low:+.1f} to {high:+.1f}"
    if low <= 0 <= high:
        return f"{difference} ({interval}): that is within noise, neither retrieves better."
    return (
        f"{difference} ({interval}). Each was trained once, and another seed or machine changes "
        "rsum by some points too, so that `mite study` has to say whether the difference is real."
    )


def mixed_line(embeddings: dict[str, Embeddings], banks: dict[str, HubCorrection | None]) -> str:
    """Says in numbers how models do in galleries of which half are pictures and half captions."""
    found: dict[str, dict[str, dict[str, float]]] = {"cosine": {}, "hubs": {}}
    for name, split in embeddings.items():
        by_name = scorings(banks[name])
        for scoring in by_name.keys() & found:
            measures = mixed_gallery(by_name[scoring].of(*split), shares=[0.5])[0.5]
            found[scoring][name] = measures

    def told(scoring: str, measure: str, form: str) -> str:
        each = found[scoring].items()
        return " and ".join(f"{measures[measure]:{form}} ({name})" for name, measures in each)

    corrected = f", and {told('hubs', 'mean_r1', '.1f')} with hubs corrected"
    return (
        "In twenty galleries of which half are pictures and half captions, the scene comes first "
        f"in {told('cosine', 'mean_r1', '.1f')} % of searches by cosine"
        f"{corrected if found['hubs'] else ''}: the mean of captions that look for pictures, "
        "captions for captions, and pictures for captions. Pictures among the first ten results of "
        "a caption, in points above their share of the gallery: "
        f"{told('cosine', 'images_in_ten', '+.1f')}."
    )


def in_one_gallery(
    table: CaptionedImages, embeddings: dict[str, Embeddings]
) -> tuple[list[dict[str, SearchExample]], dict[str, str]]:
    """Searches a gallery in which half of the scenes are pictures and half are captions.

    Returns:
        Two searches by each model, the first for a scene that is there as its picture, the second
        for one that is there as a caption; and the captions of the gallery by id. A scene that no
        model has among the first ten is taken only where there is no other one.
    """
    count = len(table)
    is_picture = np.random.default_rng(0).permutation(count) < count // 2
    first = np.searchsorted(table.caption_image, np.arange(count))
    names = [f"{image}, a caption" for image in table.image_ids]
    slots = dict(zip(names, (table.captions[row] for row in first), strict=True))
    ids = np.where(is_picture, table.image_ids, names).tolist()
    hits = {
        name: VectorIndex(
            ids, np.where(is_picture[:, None], split.images, split.captions[first])
        ).search(split.captions[first + 1], k=_SLOTS)
        for name, split in embeddings.items()
    }
    searches = []
    for kind in (is_picture, ~is_picture):
        rows = np.flatnonzero(kind)
        found = [
            r for r in rows if any(ids[r] in [h.id for h in each[r]] for each in hits.values())
        ]
        row = (found or list(rows))[0]
        query = table.captions[first[row] + 1]
        searches.append(
            {name: SearchExample(query, each[row], [ids[row]]) for name, each in hits.items()}
        )
    return searches, slots
