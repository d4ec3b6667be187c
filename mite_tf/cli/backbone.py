"""`mite backbone`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_verb
from mite_tf.errors import MiteError
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `backbone`."""
    backbone = add_verb(
        verbs,
        "backbone",
        _backbone,
        "write a backbone with its preprocessing inside, as a .keras file",
        "mite backbone MobileNetV2 --out mobilenet.keras\n"
        "  mite backbone siglip_base_patch16_224 --pooling cls --out siglip.keras\n"
        "  mite backbone --from mine.keras --out fixed.keras",
    )
    option = backbone.add_argument
    option("name", nargs="?", help="model of keras.applications (see --list) or of KerasHub")
    option("--out", metavar="FILE", help="file to write, ends in .keras")
    option("--size", type=int, metavar="PIXELS", help="height and width (default 224)")
    option(
        "--weights",
        default="imagenet",
        metavar="imagenet|none|FILE",
        help="weights without classifier; imagenet (default) is fetched once",
    )
    option(
        "--from",
        dest="source",
        metavar="FILE",
        help="model file to start from: lacking preprocessing is added, a classifier cut off",
    )
    option(
        "--pooling",
        choices=("cls", "mean"),
        help="for KerasHub: a vector in place of a map, the network's own or the mean of patches",
    )
    option("--list", action="store_true", help="print the names and end")


def _backbone(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.models import application_names, write_backbone

    if options.list:
        print("\n".join(application_names()))
        return
    if options.out is None:
        raise MiteError("Say where to write the backbone: --out NEW.keras.")
    backbone = write_backbone(
        options.out,
        options.name,
        source=options.source,
        weights=None if options.weights == "none" else options.weights,
        image_size=options.size,
        pooling=options.pooling,
    )
    height, width = backbone.input_shape[1:3]
    features = " x ".join(map(str, backbone.output_shape[1:]))
    print(
        f"{options.out}: {options.name or options.source}, {height} x {width} pixels in 0-255 to "
        f"features {features}, {backbone.count_params():,} parameters. "
        f"Train with --set backbone.name={options.out} --set backbone.image_size={height}"
    )
