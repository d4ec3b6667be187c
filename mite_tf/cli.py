"""The `mite` command: argument parsing only; every verb calls one public function."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mite_tf._version import __version__
from mite_tf.errors import MiteError
from mite_tf.quiet import load_tensorflow

_FORMATS = ("flickr", "karpathy", "coco", "csv", "tsv", "jsonl", "folder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; returns 0, 2 for unusable input, 130 when interrupted."""
    options = _parse(arguments)
    try:
        return int(options.call(options) or 0)
    except MiteError as error:
        print(f"mite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        how = {
            _train: " Go on with the same command and --resume.",
            _study: " Go on with the same command.",
        }
        print(f"mite: stopped.{how.get(options.call, '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes an optional positional for absent when options stand before it.
    if len(rest) == 1 and getattr(options, "query", "") is None and not rest[0].startswith("-"):
        options.query = rest.pop()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mite",
        description="Match pictures and sentences: train, measure and search with your own data.",
        epilog="examples:\n"
        "  mite demo --out demo                        everything, on rendered scenes\n"
        "  mite data check photos                      what is in the folder, and what is wrong\n"
        "  mite train photos --config flickr8k --run runs/first\n"
        "  mite evaluate runs/first --data photos --split test\n"
        '  mite search runs/first --data photos "a dog leaps into the water"\n'
        "  mite study photos --variants baseline,mite --seeds 5 --out studies/first\n"
        "  mite export runs/first --out exports/first  SavedModel and ONNX, verified\n"
        "\n`mite VERB --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mite {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_data(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_search(verbs)
    _add_study(verbs)
    _add_export(verbs)
    _add_verify(verbs)
    _add_demo(verbs)
    return parser


def _verb(verbs, name, call, summary, example):  # type: ignore[no-untyped-def]
    verb = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(call=call)
    return verb


def _add_source(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", choices=_FORMATS, help="format of the data; looked up by default")
    verb.add_argument("--root", metavar="DIR", help="folder that image paths are relative to")


def _add_data(verbs) -> None:  # type: ignore[no-untyped-def]
    data = verbs.add_parser("data", help="check captioned images, or render scenes")
    kinds = data.add_subparsers(metavar="VERB", required=True)
    check = _verb(
        kinds,
        "check",
        _check,
        "count images, captions and splits, and report every problem with file and line",
        "mite data check photos --json problems.json",
    )
    check.add_argument("path", help="folder or file of captioned images")
    _add_source(check)
    check.add_argument("--json", metavar="FILE", help="write the report as JSON too")
    check.add_argument("--all", action="store_true", help="print every problem, not the first 20")
    scenes = _verb(
        kinds,
        "scenes",
        _scenes,
        "render captioned scenes of simple objects, a data set to try things with",
        "mite data scenes scenes --train 2000 --dev 300",
    )
    scenes.add_argument("path", help="folder to write")
    for split, count in (("train", 2000), ("dev", 300), ("test", 300)):
        scenes.add_argument(
            f"--{split}", type=int, default=count, metavar="N", help=f"images (default {count})"
        )
    scenes.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    scenes.add_argument("--seed", type=int, default=0, help="another seed, other scenes")


def _add_train(verbs) -> None:  # type: ignore[no-untyped-def]
    train = _verb(
        verbs,
        "train",
        _train,
        "train both encoders on captioned images",
        "mite train photos --config flickr8k --run runs/first \\\n"
        "      --set model.backbone=efficientnet.keras --set stages.finetune.epochs=0",
    )
    train.add_argument("path", help="folder or file of captioned images, splits train and dev")
    train.add_argument("--run", required=True, metavar="DIR", help="folder for the result")
    train.add_argument(
        "--resume", action="store_true", help="go on with the run in DIR where it was stopped"
    )
    _add_recipe(train)


def _add_recipe(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="flickr8k (default), flickr30k, coco, scenes, or a TOML file",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the configuration, such as stages.align.epochs=5; repeatable",
    )
    _add_source(verb)
    verb.add_argument(
        "--skip-bad", action="store_true", help="go on without images and captions that are broken"
    )
    verb.add_argument(
        "--cache", metavar="DIR", help="folder of backbone features, to share between runs"
    )


def _add_evaluate(verbs) -> None:  # type: ignore[no-untyped-def]
    evaluate = _verb(
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
        choices=("full", "coco-1k", "coco-5k"),
        help="all images at once (default), or a protocol of COCO",
    )
    evaluate.add_argument("--json", metavar="FILE", help="write the result as JSON")
    evaluate.add_argument("--html", metavar="FILE", help="write a page with plots")
    evaluate.add_argument(
        "--projection",
        default="pca",
        choices=("pca", "umap"),
        help="how the page draws both modalities (default pca; umap needs `mite-tf[umap]`)",
    )
    _add_source(evaluate)


def _add_search(verbs) -> None:  # type: ignore[no-untyped-def]
    search = _verb(
        verbs,
        "search",
        _search,
        "find the images that fit a sentence, or the sentences that fit an image",
        'mite search runs/first --data photos "a dog leaps into the water" --html found.html',
    )
    search.add_argument("run", help="run folder")
    search.add_argument("query", nargs="?", help="a sentence")
    search.add_argument("--image", metavar="FILE", help="an image, instead of a sentence")
    search.add_argument("--data", required=True, metavar="PATH", help="captioned images")
    search.add_argument("--split", help="search in this split alone (default: all)")
    search.add_argument("--stage", help="encoders of this stage (default: the last)")
    search.add_argument("--top", type=int, default=10, metavar="K", help="results (default 10)")
    search.add_argument("--html", metavar="FILE", help="write a page that shows the results")
    _add_source(search)


def _add_study(verbs) -> None:  # type: ignore[no-untyped-def]
    study = _verb(
        verbs,
        "study",
        _study,
        "train variants with several seeds each, compare them, and write a report",
        "mite study photos --variants baseline,mite,mmd --seeds 5 --out studies/first",
    )
    study.add_argument("path", help="folder or file of captioned images, splits train and dev")
    study.add_argument("--out", required=True, metavar="DIR", help="folder for the study")
    study.add_argument(
        "--variants",
        default="baseline,mite",
        metavar="NAME,...",
        help="what to compare (default baseline,mite), such as gradient-reversal, wasserstein, mmd",
    )
    study.add_argument("--variants-file", metavar="FILE", help="TOML file with variants of yours")
    study.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="trainings of each variant (default 5)"
    )
    study.add_argument(
        "--first-seed", type=int, default=0, metavar="K", help="seeds count up from K (default 0)"
    )
    study.add_argument("--split", default="dev", help="split to measure on (default dev)")
    study.add_argument("--stage", help="compare after this stage (default: the last)")
    study.add_argument(
        "--against", metavar="NAME", help="variant to compare with (default baseline)"
    )
    _add_recipe(study)


def _add_export(verbs) -> None:  # type: ignore[no-untyped-def]
    export = _verb(
        verbs,
        "export",
        _export,
        "write a trained run as SavedModel and ONNX, and verify them",
        "mite export runs/first --out exports/first --int8",
    )
    export.add_argument("run", help="run folder")
    export.add_argument("--out", required=True, metavar="DIR", help="folder for the export")
    export.add_argument(
        "--format",
        dest="formats",
        type=lambda names: names.split(","),
        metavar="A,B",
        help="of savedmodel, onnx, litert, openvino (default savedmodel,onnx)",
    )
    export.add_argument(
        "--int8", action="store_true", help="write the ONNX files with 8-bit weights too"
    )
    export.add_argument(
        "--data", metavar="PATH", help="captioned images of the run (default: where they were)"
    )
    export.add_argument("--split", default="dev", help="split to measure recall on (default dev)")
    export.add_argument("--stage", help="encoders of this stage (default: the last)")


def _add_verify(verbs) -> None:  # type: ignore[no-untyped-def]
    verify = _verb(
        verbs,
        "verify",
        _verify,
        "check that an export is whole and computes what Keras computed",
        "mite verify exports/first",
    )
    verify.add_argument("export", help="export folder")
    verify.add_argument("--json", metavar="FILE", help="write the result as JSON")


def _add_demo(verbs) -> None:  # type: ignore[no-untyped-def]
    demo = _verb(
        verbs,
        "demo",
        _demo,
        "render scenes, train baseline and MITE, measure, search, and write a page",
        "mite demo --out demo",
    )
    demo.add_argument("--out", default="demo", metavar="DIR", help="folder for everything")


def _check(options: argparse.Namespace) -> int:
    from mite_tf.data import check
    from mite_tf.files import write_text

    report = check(options.path, format=options.format, root=options.root)
    report.print(shown=sys.maxsize if options.all else 20)
    if options.json:
        write_text(options.json, report.to_json())
    return 2 if report.errors else 0


def _scenes(options: argparse.Namespace) -> None:
    from mite_tf.data.scenes import write_scenes

    sizes = {split: getattr(options, split) for split in ("train", "dev", "test")}
    print(write_scenes(options.path, **sizes, size=options.size, seed=options.seed))


def _train(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.training import parse_overrides, train

    run = train(
        options.path,
        options.run,
        config=options.config,
        overrides=parse_overrides(options.set),
        format=options.format,
        root=options.root,
        skip_bad=options.skip_bad,
        resume=options.resume,
        feature_cache=options.cache,
    )
    print(f"{run.path}: trained; the best encoders are in {run.best()}")


def _evaluate(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.evaluation import print_table
    from mite_tf.training import evaluate

    evaluation = evaluate(
        options.run,
        options.data,
        split=options.split,
        stage=options.stage,
        protocol=options.protocol,
        format=options.format,
        root=options.root,
        html=options.html,
        projection=options.projection,
    )
    print_table({options.run: evaluation})
    if options.json:
        evaluation.write_json(options.json)


def _search(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.training import find

    hits = find(
        options.run,
        options.data,
        options.query,
        image=options.image,
        split=options.split,
        stage=options.stage,
        top=options.top,
        format=options.format,
        root=options.root,
        html=options.html,
    )
    for hit in hits:
        print(f"{hit.score:6.3f}  {hit.id}")


def _study(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.studies import study
    from mite_tf.training import parse_overrides

    folder = study(
        options.path,
        options.out,
        config=options.config or "flickr8k",
        variants=options.variants.split(","),
        seeds=options.seeds,
        first_seed=options.first_seed,
        overrides=parse_overrides(options.set),
        variants_file=options.variants_file,
        split=options.split,
        stage=options.stage,
        against=options.against,
        format=options.format,
        root=options.root,
        skip_bad=options.skip_bad,
        feature_cache=options.cache,
    )
    print(f"{folder.path / 'study.html'}: the report; study.md and study.json hold the same")


def _export(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.export import export
    from mite_tf.export.formats import DEFAULT_FORMATS

    manifest = export(
        options.run,
        options.out,
        formats=options.formats or DEFAULT_FORMATS,
        int8=options.int8,
        data=options.data,
        split=options.split,
        stage=options.stage,
    )
    print(f"{options.out}: version {manifest.version}, verified; see MODEL_CARD.md in it")


def _verify(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.export import verify
    from mite_tf.export.verification.check import print_checks, write_checks

    checks = verify(options.export)
    print_checks(checks)
    if options.json:
        write_checks(options.json, checks)


def _demo(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.demo import demo

    demo(options.out)


if __name__ == "__main__":
    sys.exit(main())
