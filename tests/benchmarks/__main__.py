"""Times one training step in several forms, in turn, and prints medians and ratios."""

from mite_tf.quiet import load_tensorflow

load_tensorflow()

import statistics  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from mite_tf.models import (  # noqa: E402
    MITE,
    ImageEncoder,
    bag_of_words_encoder,
    image_head,
    modality_discriminator,
    recurrent_encoder,
    small_cnn,
    transformer_encoder,
)
from tests.benchmarks.timing import seconds_in_turn  # noqa: E402

ROUNDS, WORDS, LENGTH = 7, 5000, 20


def batch(images: int, captions: int, *, pixels: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shape = (images, pixels, pixels, 3) if pixels else (images, 1280)
    ids = np.arange(images)
    return {
        "pixels" if pixels else "features": random.random(shape, np.float32),
        "image_id": ids,
        "token_ids": random.integers(1, WORDS, (images * captions, LENGTH)).astype(np.int32),
        "caption_image_id": np.repeat(ids, captions),
    }


def stepper(text: Callable, *, pixels: int = 0, jit: bool = False, captions: int = 1) -> Callable:
    backbone = small_cnn(image_size=pixels) if pixels else None
    head = image_head(backbone.output_shape[1:] if backbone else (1280,))
    model = MITE(ImageEncoder(backbone, head), text(WORDS), modality_discriminator(512))
    model.compile(jit_compile=jit)
    model.configure_step(backbone_share=float(bool(pixels)))
    data = batch(64, captions, pixels=pixels)
    model.train_on_batch(data)
    return lambda _: model.train_on_batch(data)


def compare(title: str, cases: Mapping[str, Callable], *, unit: int | Mapping[str, int]) -> None:
    """Prints what a step takes in each case."""
    seconds = seconds_in_turn(cases, ROUNDS)
    table = Table("", "ms a step", "pairs a second", "speed against the first", title=title)
    units = unit if isinstance(unit, Mapping) else dict.fromkeys(cases, unit)
    rates = {n: [units[n] / s for s in seconds[n]] for n in cases}
    first = rates[next(iter(cases))]
    for name in cases:
        ratio = statistics.median(a / b for a, b in zip(rates[name], first, strict=True))
        table.add_row(
            name,
            f"{1000 * statistics.median(seconds[name]):.1f}",
            f"{statistics.median(rates[name]):.0f}",
            f"{ratio:.2f}",
        )
    Console().print(table)


def main() -> None:
    for name, text in (
        ("bag of words", bag_of_words_encoder),
        ("recurrent", recurrent_encoder),
        ("transformer", transformer_encoder),
    ):
        compare(
            f"{name}: plain graph and XLA, 64 pairs of cached features",
            {"plain": stepper(text), "XLA": stepper(text, jit=True)},
            unit=64,
        )
    compare(
        "captions of an image in a batch, 64 images of 96 pixels",
        {
            f"{count}": stepper(bag_of_words_encoder, pixels=96, captions=count)
            for count in (1, 2, 5)
        },
        unit={"1": 64, "2": 128, "5": 320},
    )


if __name__ == "__main__":
    main()
