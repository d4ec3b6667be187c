"""`mite export`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_verb, chosen
from mite_tf.errors import printable
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `export`."""
    export = add_verb(
        verbs,
        "export",
        _export,
        "write a trained run as SavedModel and ONNX, and verify them",
        "mite export runs/first --out exports/first --int8",
    )
    option = export.add_argument
    option("run", help="run folder")
    option("--out", required=True, metavar="DIR", help="folder for the export")
    option(
        "--format",
        dest="formats",
        type=lambda names: names.split(","),
        metavar="A,B",
        help="of savedmodel, onnx, litert, openvino (default savedmodel,onnx)",
    )
    option("--int8", action="store_true", help="write the ONNX files with 8-bit weights too")
    option("--data", metavar="PATH", help="captioned images of the run (default: where they were)")
    option("--split", default="dev", help="split to measure recall on (default dev)")
    option("--stage", help="encoders of this stage (default: the last)")


def _export(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.export.formats import DEFAULT_FORMATS
    from mite_tf.runs.export_run import export_run

    given = chosen(options, "int8 data split stage")
    given["formats"] = options.formats or DEFAULT_FORMATS
    manifest = export_run(options.run, options.out, **given)
    out = printable(options.out)
    print(f"{out}: version {manifest.version}, verified; see MODEL_CARD.md in it")
