"""Times one call of every exported form, in turn, on two threads, and prints medians."""

from mite_tf.quiet import load_tensorflow

load_tensorflow()

import statistics  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from mite_tf.data.images import Preprocessing  # noqa: E402
from mite_tf.export.onnx.convert import convert_image_encoder, convert_text_encoder  # noqa: E402
from mite_tf.export.onnx.quantize import quantize_dynamically, quantize_statically  # noqa: E402
from mite_tf.export.runtimes import OnnxEncoder, SavedModel  # noqa: E402
from mite_tf.export.savedmodel import write_savedmodel  # noqa: E402
from mite_tf.export.signatures import image_signatures, text_signatures  # noqa: E402
from mite_tf.models import (  # noqa: E402
    ImageEncoder,
    TextBackbone,
    TextEncoder,
    application_backbone,
    hub_encoder,
    image_head,
    small_cnn,
)
from mite_tf.models.text_encoder import TEXT_ENCODERS  # noqa: E402
from mite_tf.text import BertTokenizer, WordPieceTokenizer  # noqa: E402
from tests.benchmarks.timing import seconds_in_turn  # noqa: E402

ROUNDS, WORDS, LENGTH, THREADS = 15, 5000, 20, 2
VOCABULARY = ["[PAD]", "[UNK]", *(f"word{number}" for number in range(WORDS - 2))]


def text_forms(kind: str, folder: Path) -> tuple[dict[str, Callable], np.ndarray, dict[str, int]]:
    """The calls of one text encoder by form, inputs for 32 captions, sizes in bytes."""
    tokenizer = WordPieceTokenizer(VOCABULARY)
    if kind in _PRETRAINED:
        encoder = _pretrained(*_PRETRAINED[kind])
        ends, more = ["[CLS]", "[SEP]"], encoder.backbone.vocabulary_size - WORDS - 2
        words = [*VOCABULARY, *ends, *(f"[unused{number}]" for number in range(more))]
        tokenizer = BertTokenizer(words)
    else:
        encoder = TEXT_ENCODERS[kind](WORDS)
    signatures = text_signatures(encoder, tokenizer)
    write_savedmodel(folder / "savedmodel", signatures)
    convert_text_encoder(folder / "float.onnx", encoder, 48)
    quantize_dynamically(folder / "float.onnx", folder / "int8.onnx")
    ids = np.random.default_rng(0).integers(2, WORDS, (32, LENGTH)).astype(np.int32)
    return _forms(encoder, folder, "token_ids"), ids, _sizes(folder)


# Layers and width of what `hub` may be built on, here with random weights and a bag of words.
_PRETRAINED = {
    "hub, MiniLM's size": (6, 384),
    "hub, bge-small's size": (12, 384),
    "hub, DistilBERT's size": (6, 768),
}
_KINDS = [*(kind for kind in TEXT_ENCODERS if kind != "hub"), *_PRETRAINED]


def _pretrained(layers: int, width: int) -> TextEncoder:
    import keras_hub

    network = keras_hub.models.BertBackbone(
        vocabulary_size=30522,
        num_layers=layers,
        num_heads=12,
        hidden_dim=width,
        intermediate_dim=4 * width,
        max_sequence_length=512,
    )
    return hub_encoder(TextBackbone(network), words=range(2, WORDS), bag_of_words=True)


def image_forms(
    backbone: keras.Model, folder: Path
) -> tuple[dict[str, Callable], np.ndarray, dict[str, int]]:
    """The same for an image encoder, from pixels of its own size."""
    size = backbone.input_shape[1]
    encoder = ImageEncoder(backbone, image_head(backbone.output_shape[1:]))
    write_savedmodel(folder / "savedmodel", image_signatures(encoder, Preprocessing(size, size)))
    convert_image_encoder(folder / "float.onnx", encoder)
    pixels = np.random.default_rng(0).uniform(0, 255, (32, size, size, 3)).astype(np.float32)
    quantize_statically(folder / "float.onnx", folder / "int8.onnx", [pixels])
    return _forms(encoder, folder, "pixels"), pixels, _sizes(folder)


def _forms(encoder: keras.Model, folder: Path, signature: str) -> dict[str, Callable]:
    savedmodel = SavedModel(folder / "savedmodel")
    return {
        "Keras predict": lambda rows: encoder.predict(rows, verbose=0, batch_size=32),
        "SavedModel": lambda rows: savedmodel.embed(rows, signature),
        "ONNX": OnnxEncoder(folder / "float.onnx", threads=THREADS).embed,
        "ONNX int8": OnnxEncoder(folder / "int8.onnx", threads=THREADS).embed,
    }


def _sizes(folder: Path) -> dict[str, int]:
    saved = sum(
        path.stat().st_size for path in (folder / "savedmodel").rglob("*") if path.is_file()
    )
    files = {"ONNX": "float.onnx", "ONNX int8": "int8.onnx"}
    return {"SavedModel": saved} | {
        form: (folder / name).stat().st_size for form, name in files.items()
    }


def milliseconds(forms: dict[str, Callable], rows: np.ndarray) -> dict[str, float]:
    """Median of calls made in turn, after the first ones, which trace and allocate."""
    calls = {form: lambda _, call=call: call(rows) for form, call in forms.items()}
    seconds = seconds_in_turn(calls, ROUNDS, warm_up=2)
    return {form: 1000 * statistics.median(each) for form, each in seconds.items()}


def main() -> None:
    """Prints Markdown: milliseconds at batch 1 / 32, sizes in MB, ONNX against SavedModel."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    builds: dict[str, Callable] = {
        kind: lambda folder, kind=kind: text_forms(kind, folder) for kind in _KINDS
    }
    builds["small-cnn, 64 px"] = lambda folder: image_forms(small_cnn(image_size=64), folder)
    builds["EfficientNetV2B0, 224 px"] = lambda folder: image_forms(
        application_backbone("EfficientNetV2B0", weights=None), folder
    )
    print(f"Milliseconds at batch 1 / 32, {THREADS} threads, median of {ROUNDS} calls in turn.")
    print("Sizes in MB: SavedModel, ONNX, ONNX int8. Ratio: SavedModel / ONNX at batch 1.\n")
    columns = ["encoder", "Keras `predict`", "SavedModel", "ONNX", "ONNX int8", "MB", "ratio"]
    print(_row(columns), _row(["---"] * len(columns)), sep="\n")
    slow = []
    for name, build in builds.items():
        with tempfile.TemporaryDirectory() as folder:
            forms, rows, sizes = build(Path(folder))
            one, many = milliseconds(forms, rows[:1]), milliseconds(forms, rows)
        times = [f"{one[form]:.2f} / {many[form]:.1f}" for form in forms]
        megabytes = " / ".join(f"{size / 1e6:.1f}" for size in sizes.values())
        ratio = one["SavedModel"] / one["ONNX"]
        print(_row([name, *times, megabytes, f"{ratio:.1f}"]), flush=True)
        if name in _KINDS and ratio < 2:
            slow.append(name)
    told = f"does not hold for {', '.join(slow)}" if slow else "holds for every text encoder"
    print(f"\nONNX at batch 1 at least twice as fast as the SavedModel: {told}.")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
