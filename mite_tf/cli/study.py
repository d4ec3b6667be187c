"""`mite study`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_recipe, add_verb, chosen
from mite_tf.errors import printable
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `study`."""
    study = add_verb(
        verbs,
        "study",
        _study,
        "train variants with several seeds each, compare them, and write a report",
        "mite study photos --variants baseline,mite,mmd --seeds 5 --out studies/first",
    )
    option = study.add_argument
    option("path", help="folder or file of captioned images, splits train and dev")
    option("--out", required=True, metavar="DIR", help="folder for the study")
    option(
        "--variants",
        default="baseline,mite",
        metavar="NAME,...",
        help="what to compare (default baseline,mite), such as gradient-reversal, wasserstein, mmd",
    )
    option("--variants-file", metavar="FILE", help="TOML file with variants of yours")
    option(
        "--seeds", type=int, default=5, metavar="N", help="trainings of each variant (default 5)"
    )
    option(
        "--first-seed", type=int, default=0, metavar="K", help="seeds count up from K (default 0)"
    )
    option("--split", default="dev", help="split to measure on (default dev)")
    option("--stage", help="compare after this stage (default: the last)")
    option("--against", metavar="NAME", help="variant to compare with (default baseline)")
    add_recipe(study)
    study.set_defaults(stopped=" What was saved last is whole. Go on with the same command.")


def _study(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.runs import parse_overrides
    from mite_tf.studies import study

    folder = study(
        options.path,
        options.out,
        config=options.config or "flickr8k",
        variants=options.variants.split(","),
        overrides=parse_overrides(options.set),
        feature_cache=options.cache,
        **chosen(
            options,
            "seeds first_seed variants_file split stage against format root skip_bad "
            "unpaired_images unpaired_captions",
        ),
    )
    page = printable(folder.path / "study.html")
    print(f"{page}: the report; study.md and study.json hold the same")
