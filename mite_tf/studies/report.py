"""The report of a study, made from what has been measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.evaluation import Difference, Embeddings
from mite_tf.reports import evaluation_plots, history_plots, plot_shares, study_report
from mite_tf.studies.commands import Commands
from mite_tf.studies.measurement import by_variant, chance_measures, compare
from mite_tf.studies.protocol_tables import contenders, protocol_differences, protocol_tables
from mite_tf.studies.study_folder import StudyFolder
from mite_tf.studies.tables import Findings, study_tables

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
) -> list[study_report.StudyTable]:
    """Writes `study.html`, `study.md`, `study.json` and `plots`; trains and embeds nothing.

    Returns the tables of the report, the most important ones first. `split`, `stage` and `against`
    are those of `study`.

    Raises:
        MiteError: If there is nothing measured of that stage or variant.
    """
    measurements = folder.measurements(split)
    # Measurements come in order of their epochs, so the last of each run replaces those before.
    last = list({(m.variant, m.seed): m for m in measurements if stage in (None, m.stage)}.values())
    names = list(by_variant(last))
    if not last:
        stages = dict.fromkeys(each.stage for each in measurements)
        raise MiteError(f"Nothing is measured of a stage {stage!r}; there are {', '.join(stages)}.")
    if against is None:
        against = "baseline" if "baseline" in names else names[0]
    if against not in names:
        raise MiteError(f"No variant {against!r} to compare with; there are {', '.join(names)}.")
    warnings = folder.warnings()
    runs = {*warnings, *((each.variant, each.seed) for each in last)}
    variants = {variant.name: variant for variant in folder.variants}
    found = Findings(
        measurements=measurements,
        last=last,
        against=against,
        differences={name: compare(last, name, against) for name in names if name != against},
        chance=chance_measures(last[0].embeddings().caption_image, last[0].images),
        warnings=warnings,
        configs={(name, seed): variants[name].of(folder.config, seed) for name, seed in runs},
        commands=commands,
    )
    tables = study_tables(found, protocol_tables(found))
    study_report.write_study_page(
        folder.path,
        title=f"Study: {', '.join(names)}",
        details={
            "data": commands.data,
            "split": f"{split}: {last[0].images:,} images with {last[0].captions:,} captions",
            "configuration": commands.source,
            "compared after": stage or "the last stage",
        },
        how=f"{_MEASURED[folder.config.training.select_by]}, for every variant alike.",
        tables=tables,
        figures=_figures(folder, found),
    )
    folder.write({"results": {"split": split, **_results(folder, found)}})
    return tables


def _figures(folder: StudyFolder, found: Findings) -> dict[str, Figure]:
    groups = by_variant(found.last)
    rsums = {name: each["rsum"] for name, each in found.differences.items() if each}
    rsum, probe = (
        {
            name: {each.seed: each.measures[key] for each in group if key in each.measures}
            for name, group in groups.items()
        }
        for key in ("rsum", "probe_accuracy")
    )
    figures = {
        "Recall and probe": study_report.plot_variants(rsum, probe, chance=found.chance["rsum"])
    }
    if rsums:
        figures["Differences"] = study_report.plot_differences(found.against, rsums)
    if curves := _curves(found):
        figures["Over the share of images"] = plot_shares(curves)
    if found.kinds:
        figures["Near misses"] = evaluation_plots.plot_near_misses(
            {
                name: {
                    kind: float(np.mean([each.near_misses[kind].percent for each in group]))
                    for kind in group[0].near_misses
                }
                for name, group in groups.items()
            }
        )
    figures["Epochs"] = history_plots.plot_courses(
        {
            name: [folder.run(name, each.seed).history() for each in group]
            for name, group in groups.items()
        }
    )
    around, ends = _examples(folder, found, rsums)
    figures["Both modalities"] = evaluation_plots.plot_modalities(around)
    if found.last[0].images > 1:
        figures["Similarities"] = evaluation_plots.plot_similarities(ends)
    return figures


def _curves(found: Findings) -> dict[str, dict[str, float]]:
    """Returns the measures of mixed galleries, means over seeds, by cosine and hubs corrected."""
    curves = {}
    for each in contenders(found):
        scores = [
            m.protocols["mixed"].scores[each.scoring]
            for m in found.last
            if m.variant == each.variant
            and "mixed" in m.protocols
            and each.scoring in m.protocols["mixed"].scores
        ]
        if scores and each.scoring in ("cosine", "hubs"):
            curves[each.label] = {
                name: float(np.mean([one[name] for one in scores])) for name in scores[0]
            }
    return curves


def _examples(
    folder: StudyFolder, found: Findings, rsums: Mapping[str, Difference]
) -> tuple[dict[str, Embeddings], dict[str, Embeddings]]:
    """Returns embeddings of one seed, of one variant and the one it is compared with.

    The first are those before and after the adversary comes in, the second those at the end.
    """
    if rsums:
        shown = "mite" if "mite" in rsums else next(iter(rsums))
        names, seed = [found.against, shown], min(rsums[shown].differences)
    else:
        names, seed = [found.last[0].variant], found.last[0].seed
    stages = found.configs[names[-1], seed].stages
    adversarial = [stage.name for stage in stages if stage.is_adversarial]

    around, ends = {}, {}
    for name in names:
        own = [each for each in found.measurements if (each.variant, each.seed) == (name, seed)]
        order = [each.stage for each in own]
        first = next((order.index(stage) for stage in adversarial if stage in order), len(own) - 1)
        for each in own[max(first - 1, 0) : first + 1]:
            around[f"{name}, seed {seed}, after {each.stage}"] = each.embeddings()
        [end] = [each for each in found.last if (each.variant, each.seed) == (name, seed)]
        ends[f"{name}, seed {seed}, after {end.stage}"] = end.embeddings()
    return around, ends


def _results(folder: StudyFolder, found: Findings) -> dict[str, Any]:
    return {
        "chance": found.chance,
        "runs": [
            asdict(each) | {"file": str(each.file.relative_to(folder.path))}
            for each in found.measurements
        ],
        "compared_after": {f"{each.variant} {each.seed}": each.stage for each in found.last},
        "against": found.against,
        "differences": {
            name: {
                measure: {"variant": name, "against": found.against, "measure": measure}
                | asdict(each)
                | {"mean": each.mean}
                for measure, each in by_measure.items()
            }
            for name, by_measure in found.differences.items()
        },
        "protocol_differences": protocol_differences(found),
    }
