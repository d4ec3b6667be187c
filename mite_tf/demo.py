"""The main job on rendered scenes, from nothing to a page with the results."""

from __future__ import annotations

from pathlib import Path

from mite_tf.data import read
from mite_tf.evaluation import Evaluation, evaluate_embeddings, near_miss_confusion
from mite_tf.progress import say as say_line
from mite_tf.reports import SearchExample, print_table, write_report
from mite_tf.runs import embed, load_config, search, train
from mite_tf.scenes import ruled_out, write_scenes

_QUERIES = 2


def demo(out: str | Path, *, config: str | Path = "scenes", quiet: bool = False) -> Path:
    """Renders scenes, trains the triplet baseline and MITE, measures, searches, writes a page.

    What is there already is not done again, so a demo that was stopped continues where it was.

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
    settings = load_config(config)
    runs = {}
    for name, each in (("baseline", settings.without_adversary()), ("MITE", settings)):
        say(f"Training {name}", "bold")
        runs[name] = train(scenes, out / name.lower(), config=each, resume=True, quiet=quiet)

    table = read(scenes).split("test")
    embeddings = {name: embed(run.path, table, quiet=quiet) for name, run in runs.items()}
    evaluations: dict[str, Evaluation] = {
        name: evaluate_embeddings(*each) for name, each in embeddings.items()
    }
    pairs = ruled_out(table)
    confusions = {name: near_miss_confusion(*each, pairs) for name, each in embeddings.items()}
    if not quiet:
        print_table(evaluations, near_misses=confusions)

    queries = [table.captions[table.caption_image.tolist().index(row)] for row in range(_QUERIES)]
    examples = []
    for row, query in enumerate(queries):
        hits = search(runs["MITE"].path, table, query, top=6, quiet=quiet)
        examples.append(SearchExample(query, hits, correct=[table.image_ids[row]]))
        say(f"\n{query}", "bold")
        for hit in hits[:3]:
            right = "  <- the scene it was written for" if hit.id == table.image_ids[row] else ""
            say(f"  {hit.score:.3f}  {hit.id}{right}")

    page = out / "index.html"
    write_report(
        page,
        title="Rendered scenes: triplet baseline and MITE",
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
        near_misses=confusions,
        details={"scenes": scenes, "split": "test", "configuration": config},
    )
    say(f"\nThe page: {page}")
    return page
