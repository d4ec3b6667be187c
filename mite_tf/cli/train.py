"""`mite train`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_recipe, add_verb, chosen
from mite_tf.errors import printable
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `train`."""
    train = add_verb(
        verbs,
        "train",
        _train,
        "train both encoders on captioned images",
        "mite train photos --config flickr8k --run runs/first \\\n"
        "      --set backbone.name=efficientnet.keras --set stages.finetune.epochs=0 \\\n"
        "      --unpaired-images more-photos --unpaired-captions more-captions.txt",
    )
    option = train.add_argument
    option("path", help="folder or file of captioned images, splits train and dev")
    option("--run", required=True, metavar="DIR", help="folder for the result")
    option("--resume", action="store_true", help="go on with the run in DIR where it was stopped")
    add_recipe(train)
    train.set_defaults(
        stopped=" What was saved last is whole. Go on with the same command and --resume."
    )


def _train(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.runs import parse_overrides, train

    run = train(
        options.path,
        options.run,
        overrides=parse_overrides(options.set),
        feature_cache=options.cache,
        **chosen(options, "config format root skip_bad resume unpaired_images unpaired_captions"),
    )
    which = "best" if run.config.training.select_by == "rsum" else "last"
    print(printable(f"{run.path}: trained; the encoders of the {which} epoch are in {run.best()}"))
