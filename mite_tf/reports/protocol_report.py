"""What a protocol beyond recall measured: a table, a plot over the share of images, a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mite_tf.evaluation import SCORING_NAMES, ProtocolScores
from mite_tf.reports.figures import COLOURS, legend_below, new_figure
from mite_tf.reports.pages import PageFigure, write_page
from mite_tf.reports.study_report import StudyTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What tables show of each protocol, and what they call it; all of it is in percent.
COLUMNS = {
    "mixed": {
        "p0.5_caption_to_image_r1": "caption → image R@1",
        "p0.5_caption_to_caption_r1": "caption → caption R@1",
        "p0.5_image_to_caption_r1": "image → caption R@1",
        "p0.5_mean_r1": "mean R@1",
        "p0.5_mean_ndcg10": "mean NDCG@10",
        "p0.5_images_in_ten": "images in ten, minus fair",
        "sag": "sag",
    },
    "everything": {
        "caption_to_image_r1": "caption → image R@1",
        "caption_to_image_r10": "R@10",
        "image_to_caption_r1": "image → caption R@1",
        "images_in_ten": "images in ten",
        "fair": "fair",
    },
    "recall": {
        "image_to_text_r1": "image → text R@1",
        "text_to_image_r1": "text → image R@1",
        "rsum": "RSUM",
    },
    "transfer": {
        "captions_to_images_f1": "captions → images F1",
        "captions_to_images_ece": "calibration error",
        "images_to_captions_f1": "images → captions F1",
        "images_to_captions_ece": "calibration error",
        "captions_to_captions_f1": "captions → captions F1",
        "images_to_images_f1": "images → images F1",
    },
    "grouping": {
        "v_measure": "V-measure",
        "together": "pairs together",
        "modality": "information on modality",
        "duplicates_f1": "duplicates, one threshold, F1",
        "duplicates_f1_apart": "a threshold for each kind",
    },
    "stability": {
        "int8": "int8",
        "one_bit": "one bit",
        "noise": "noise of 0.1",
    },
}
NOTES = {
    "mixed": "A gallery of slots, each shown as its image or, as often, as one of its captions "
    "(p = 0.5, twenty draws); another caption looks for it, and so does the image where it is a "
    "caption. Images in ten: images among the first ten results, less their share. Sag: how far "
    "NDCG@10 of captions falls below the line between galleries of captions and of images alone.",
    "everything": "All images and all other captions in one gallery; captions of the same image "
    "are neither right nor wrong. Fair would be that share of images among the first ten results.",
    "recall": "Images alone, or captions alone, as candidates.",
    "transfer": "A linear classifier of the most frequent nouns learns from one modality and is "
    "used on the other, from a probability of 0.5 on. Macro-F1; the lower the calibration error, "
    "the better. What it reaches within a modality stands beside it.",
    "grouping": "k-means on images and one caption of each. Information of groups on the modality "
    "should be 0.",
    "stability": "How many of the ten nearest neighbours among images and captions change.",
}


def protocol_table(result: ProtocolScores, *, command: str = "") -> StudyTable:
    """Lays out the scores of one model, a row for each scoring.

    Example:
        >>> scores = {"cosine": {"int8": 1.0, "one_bit": 40.0, "noise": 9.5}}
        >>> protocol_table(ProtocolScores("stability", 9, 9, scores)).rows
        [['cosine', '1.0', '40.0', '9.5', '']]
    """
    columns = COLUMNS[result.protocol]
    rows = [
        [
            SCORING_NAMES[scoring],
            *(f"{found[name]:.1f}" if name in found else "" for name in columns),
            command,
        ]
        for scoring, found in result.scores.items()
    ]
    header = ["scoring", *columns.values(), "command"]
    note = f"In percent. {NOTES[result.protocol]}"
    return StudyTable(result.protocol.capitalize(), note, header, rows)


def curve(scores: Mapping[str, float], measure: str) -> dict[float, float]:
    """Returns a measure of `mixed` by share of images.

    Example:
        >>> curve({"p0_caption_r1": 40.0, "p0.5_caption_r1": 30.0, "sag": 1.0}, "caption_r1")
        {0.0: 40.0, 0.5: 30.0}
    """
    found = {
        name.removesuffix(f"_{measure}"): value
        for name, value in scores.items()
        if name.endswith(f"_{measure}")
    }
    return {
        float(name[1:]): value
        for name, value in found.items()
        if name.startswith("p") and "_" not in name
    }


def plot_shares(models: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draws two measures of `mixed` over the share of images, a line for each model.

    Example:
        >>> scores = {"p0_caption_ndcg10": 60.0, "p1_caption_ndcg10": 40.0}
        >>> scores |= {"p0_images_in_ten": 0.0, "p1_images_in_ten": 0.0}
        >>> len(plot_shares({"MITE": scores}).axes)
        2
    """
    title = "Where a line sags in the middle, captions and images are hard to rank together."
    figure, panels = new_figure(title, 2, height=3.7)
    labels = ("NDCG@10 of captions (%)", "images among the first ten, minus fair (%)")
    for panel, measure, label in zip(
        panels, ("caption_ndcg10", "images_in_ten"), labels, strict=True
    ):
        for position, (name, scores) in enumerate(models.items()):
            style = "-" if position < len(COLOURS) else "--"
            points = curve(scores, measure)
            colour = COLOURS[position % len(COLOURS)]
            panel.plot(
                list(points), list(points.values()), style, color=colour, marker="o", label=name
            )
        panel.set_xlabel("share of images in the gallery")
        panel.set_ylabel(label)
    legend_below(figure, panels[0])
    return figure


def write_protocol_report(
    path: str | Path,
    *,
    title: str,
    details: Mapping[str, str],
    result: ProtocolScores,
    command: str = "",
) -> None:
    """Writes the scores of one model as a self-contained HTML page.

    `command` is what measures them again.

    Example:
        >>> import tempfile
        >>> scores = {"cosine": {"int8": 1.0, "one_bit": 40.0, "noise": 9.5}}
        >>> page = Path(tempfile.mkdtemp()) / "page.html"
        >>> result = ProtocolScores("stability", 9, 9, scores)
        >>> write_protocol_report(page, title="A run on dev", details={}, result=result)
        >>> "40.0" in page.read_text(encoding="utf-8")
        True
    """
    figures = []
    if result.protocol == "mixed":
        models = {SCORING_NAMES[name]: each for name, each in result.scores.items()}
        figures.append(PageFigure.of("Over the share of images", plot_shares(models)))
    how = f"Measured on {result.images:,} images with {result.captions:,} captions."
    table = protocol_table(result, command=command)
    write_page(
        path, "study.html", title=title, details=details, how=how, tables=[table], figures=figures
    )
