import json

import numpy as np
import pytest
from PIL import Image

from mite_tf.data import CaptionedImages
from mite_tf.runs import load_config

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220)}


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """Plain coloured pictures with captions that name the colour; quick to learn."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    images, captions, splits = [], [], []
    for number in range(60):
        name, colour = list(COLOURS.items())[number % 3]
        noise = random.integers(-25, 25, (24, 24, 3))
        pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append(f"{number}.png")
        captions.append([f"a {name} square", f"something {name} number {number % 7}"])
        splits.append("train" if number < 48 else "dev")
    return CaptionedImages.from_lists(images, captions, splits=splits, root=folder)


@pytest.fixture(scope="session")
def captions_file(table, tmp_path_factory):
    """The same table as a file, to train on in another process."""
    path = tmp_path_factory.mktemp("captions") / "captions.jsonl"
    with path.open("w") as file:
        for row in table:
            line = {"image": row.image, "captions": list(row.captions), "split": row.split}
            file.write(json.dumps(line) + "\n")
    return path


OVERRIDES = {
    "tokenizer.vocabulary_size": 60,
    "tokenizer.minimum_count": 1,
    "embedding.size": 16,
    "backbone.image_size": 24,
    "backbone.width": 8,
    "image_head.hidden_size": 8,
    "text_encoder.word_size": 8,
    "text_encoder.name": "bag-of-words",
    "discriminator.hidden_sizes": [8],
    "training.select_by": "rsum",
    "stages.align.epochs": 4,
    "stages.classify.epochs": 1,
    "stages.adversarial.epochs": 2,
    "stages.finetune.epochs": 1,
    **{f"stages.{s}.batch_size": 16 for s in ("align", "classify", "adversarial", "finetune")},
    "stages.align.learning_rate": 5e-3,
    **{f"stages.{s}.captions_per_image": 1 for s in ("align", "adversarial", "finetune")},
}


@pytest.fixture(scope="session")
def make_config():
    """The four stages of `scenes`, made tiny."""
    return lambda **more: load_config("scenes", OVERRIDES | more)
