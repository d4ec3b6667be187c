"""The report of a study: a page, a document, numbers for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings
from mite_tf.files import write_text, written_beside
from mite_tf.reports import plot_modalities, plot_near_misses, plot_similarities
from mite_tf.reports.figures import for_page, to_png
from mite_tf.reports.page import write_page
from mite_tf.studies.commands import Commands
from mite_tf.studies.comparison import Comparison, by_variant, compare, last_stages
from mite_tf.studies.folder import StudyFolder
from mite_tf.studies.measurement import Measurement, chance_measures
from mite_tf.studies.near_miss_tables import near_miss_differences_table, near_misses_table
from mite_tf.studies.plots import plot_courses, plot_differences, plot_variants
from mite_tf.studies.tables import (
    Table,
    differences_table,
    runs_table,
    stages_table,
    summary_table,
    variants_table,
    warnings_table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEASURED = {
    "rsum": "Of each stage, the encoders of the epoch with the highest RSUM on dev are measured",
    "last": "Of each stage, the encoders of the last epoch are measured",
}


def write_study(
    folder: StudyFolder,
    split: str,
    commands: Commands,
    *,
    stage: str | None = None,
    against: str | None = None,
) -> list[Table]:
    """Writes `study.html`, `study.md`, `study.json` and `plots` from what has been measured.

    Nothing is trained or embedded for it.

    Args:
        folder: The study.
        split: Split that was measured on.
        commands: Makes the commands that the tables name.
        stage: Stage after which variants are compared; the last of each by default.
        against: Variant to compare with; `baseline` by default, or the first one.

    Returns:
        The tables of the report, the most important ones first.

    Raises:
        MiteError: If there is nothing measured of that stage or variant.
    """
    measurements = folder.measurements(split)
    last = last_stages(measurements, stage)
    names = list(by_variant(last))
    if not last:
        stages = dict.fromkeys(each.stage for each in measurements)
        raise MiteError(f"Nothing is measured of a stage {stage!r}; there are {', '.join(stages)}.")
    if against is None:
        against = "baseline" if "baseline" in names else names[0]
    if against not in names:
        raise MiteError(f"No variant {against!r} to compare with; there are {', '.join(names)}.")
    compared = {name: compare(last, name, against) for name in names if name != against}
    rsums = [by_measure["rsum"] for by_measure in compared.values() if by_measure]

    chance = chance_measures(last[0].embeddings().caption_image, last[0].images)
    tables = [summary_table(last, against, compared, commands)]
    if any(compared.values()):
        tables.append(differences_table(against, compared, commands))
    tables.append(variants_table(last, chance, commands))
    if last[0].near_misses:
        tables.append(near_misses_table(last, commands))
        if any(compared.values()):
            kinds = list(last[0].near_misses)
            tables.append(near_miss_differences_table(kinds, against, compared, commands))
    warnings = folder.warnings()
    runs = [*warnings, *((each.variant, each.seed) for each in last)]
    configs = {
        (variant.name, seed): variant.of(folder.config, seed)
        for variant in folder.variants
        for name, seed in runs
        if name == variant.name
    }
    tables += [stages_table(measurements, commands), runs_table(last, configs, commands)]
    if warnings:
        tables.append(warnings_table(warnings, configs, commands))

    figures = _figures(folder, measurements, last, rsums)
    pictures = []
    for heading, figure in figures.items():
        picture = to_png(figure)
        pictures.append(for_page(heading, figure.get_suptitle(), picture))
        with written_beside(folder.path / "plots" / _file(heading), "wb") as file:
            file.write(picture)
    details = {
        "data": commands.data,
        "split": f"{split}: {last[0].images:,} images with {last[0].captions:,} captions",
        "configuration": commands.source,
        "compared after": stage or "the last stage",
    }
    title = f"Study: {', '.join(names)}"
    how = f"{_MEASURED[folder.config.training.select_by]}, for every variant alike."
    write_page(
        folder.path / "study.html",
        "study.html",
        title=title,
        details=details,
        how=how,
        tables=tables,
        figures=pictures,
    )
    write_text(folder.path / "study.md", _markdown(title, details, how, tables, pictures))
    folder.write(
        {"results": _results(folder, split, against, measurements, last, compared, chance)}
    )
    return tables


def _figures(
    folder: StudyFolder,
    measurements: Sequence[Measurement],
    last: Sequence[Measurement],
    rsums: Sequence[Comparison],
) -> dict[str, Figure]:
    figures = {"Recall and probe": plot_variants(last)}
    if rsums:
        figures["Differences"] = plot_differences(rsums)
    if last[0].near_misses:
        figures["Near misses"] = plot_near_misses(
            {
                name: {
                    kind: float(np.mean([each.near_misses[kind].percent for each in group]))
                    for kind in group[0].near_misses
                }
                for name, group in by_variant(last).items()
            }
        )
    figures["Epochs"] = plot_courses(
        {
            name: [folder.run(name, each.seed).history() for each in group]
            for name, group in by_variant(last).items()
        }
    )
    around, ends = _examples(folder, measurements, last, rsums)
    figures["Both modalities"] = plot_modalities(around)
    figures["Similarities"] = plot_similarities(ends)
    return figures


def _examples(
    folder: StudyFolder,
    measurements: Sequence[Measurement],
    last: Sequence[Measurement],
    rsums: Sequence[Comparison],
) -> tuple[dict[str, Embeddings], dict[str, Embeddings]]:
    """Embeddings of one seed, of one variant and the one it is compared with.

    The first are those before and after the adversary comes in, the second those at the end.
    """
    shown = [each for each in rsums if each.variant == "mite"] or list(rsums)
    names = [shown[0].against, shown[0].variant] if shown else [last[0].variant]
    seed = min(shown[0].differences) if shown else last[0].seed
    [variant] = [each for each in folder.variants if each.name == names[-1]]
    stages = variant.of(folder.config, seed).stages
    adversarial = [stage.name for stage in stages if stage.is_adversarial]

    around, ends = {}, {}
    for name in names:
        own = [each for each in measurements if (each.variant, each.seed) == (name, seed)]
        order = [each.stage for each in own]
        first = next((order.index(stage) for stage in adversarial if stage in order), len(own) - 1)
        for each in own[max(first - 1, 0) : first + 1]:
            around[f"{name}, seed {seed}, after {each.stage}"] = each.embeddings()
        [end] = [each for each in last if (each.variant, each.seed) == (name, seed)]
        ends[f"{name}, seed {seed}, after {end.stage}"] = end.embeddings()
    return around, ends


def _markdown(
    title: str,
    details: Mapping[str, str],
    how: str,
    tables: Sequence[Table],
    pictures: Sequence[Mapping[str, str]],
) -> str:
    parts = [f"# {title}\n", "".join(f"- {name}: {value}\n" for name, value in details.items())]
    parts.append(f"{how}\n")
    parts += [table.to_markdown() for table in tables]
    parts += [
        f"## {each['heading']}\n\n![{each['text']}](plots/{_file(each['heading'])})\n"
        for each in pictures
    ]
    return "\n".join(parts)


def _file(heading: str) -> Path:
    return Path(f"{heading.lower().replace(' ', '-')}.png")


def _results(
    folder: StudyFolder,
    split: str,
    against: str,
    measurements: Sequence[Measurement],
    last: Sequence[Measurement],
    compared: Mapping[str, Mapping[str, Comparison]],
    chance: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "split": split,
        "chance": chance,
        "runs": [
            asdict(each) | {"file": str(each.file.relative_to(folder.path))}
            for each in measurements
        ],
        "compared_after": {f"{each.variant} {each.seed}": each.stage for each in last},
        "against": against,
        "differences": {
            name: {measure: asdict(each) | {"mean": each.mean} for measure, each in found.items()}
            for name, found in compared.items()
        },
    }
