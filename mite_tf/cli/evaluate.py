"""`mite evaluate`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_source, add_verb, chosen, tell_written
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `evaluate`."""
    evaluate = add_verb(
        verbs,
        "evaluate",
        _evaluate,
        "measure retrieval in both directions and modality invariance",
        "mite evaluate runs/first --data photos --split test --json result.json",
    )
    evaluate.add_argument("run", help="run folder")
    evaluate.add_argument("--data", required=True, metavar="PATH", help="captioned images")
    evaluate.add_argument("--split", default="dev", help="split to measure on (default dev)")
    evaluate.add_argument("--stage", help="encoders of this stage (default: the last)")
    evaluate.add_argument(
        "--protocol",
        default="full",
        choices=(
            "full",
            "coco-1k",
            "coco-5k",
            "mixed",
            "everything",
            "recall",
            "transfer",
            "grouping",
            "stability",
        ),
        help="recall among all images (default) or by a protocol of COCO; or under several ways "
        "to score: galleries of images and captions (mixed, everything), recall of each modality, "
        "classifiers used on the other modality (transfer), groups, stability of neighbours",
    )
    evaluate.add_argument("--json", metavar="FILE", help="write the result as JSON")
    evaluate.add_argument("--html", metavar="FILE", help="write a page with plots")
    evaluate.add_argument(
        "--projection",
        default="pca",
        choices=("pca", "umap"),
        help="how the page draws both modalities (default pca; umap needs the extra umap)",
    )
    evaluate.add_argument(
        "--dimensions",
        type=int,
        metavar="N",
        help="compare by the first N values of each embedding, as with embedding.nested_sizes",
    )
    add_source(evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.evaluation import ProtocolScores
    from mite_tf.progress import say
    from mite_tf.reports import print_table, protocol_table
    from mite_tf.runs import evaluate

    given = chosen(options, "split stage protocol format root html projection dimensions")
    evaluation = evaluate(options.run, options.data, **given)
    if isinstance(evaluation, ProtocolScores):
        table = protocol_table(evaluation)
        table.print()
        say(table.note)
    else:
        print_table({options.run: evaluation})
    if options.json:
        evaluation.write_json(options.json)
    tell_written(options.json, options.html)
