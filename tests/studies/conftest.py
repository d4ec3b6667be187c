import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mite_tf.studies.trainer
from mite_tf.data import read
from mite_tf.runs import load_config
from mite_tf.scenes import write_scenes

# Two short stages, one of them adversarial, on features: no pixels, so quick.
TINY = """
[tokenizer]
vocabulary_size = 200

[embedding]
size = 16

[backbone]
name = "features"
features = "FEATURES"

[image_head]
hidden_size = 8

[text_encoder]
word_size = 8

[discriminator]
hidden_sizes = [8]

[loss]
name = "triplet"
negatives = "soft"
margin = 0.1

[[stages]]
name = "align"
epochs = 2
batch_size = 16
learning_rate = 2e-3

[[stages]]
name = "adversarial"
epochs = 2
batch_size = 16
learning_rate = 1e-3
discriminator_steps = 1
adversarial_weight = 0.5
"""


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Rendered scenes, and features of them that are nothing but their pixels, made few."""
    folder = write_scenes(
        tmp_path_factory.mktemp("data") / "scenes",
        train=48, dev=24, test=4, size=32, progress=False,
    )  # fmt: skip
    table = read(folder)
    pixels = [np.asarray(Image.open(path).resize((4, 4)), np.float32) for path in table.paths]
    features = np.stack(pixels).reshape(len(table), -1) / 255
    np.savez(folder / "features.npz", ids=table.image_ids, features=features)
    return folder


@pytest.fixture(scope="session")
def config(scenes):
    """The configuration of the studies here."""
    file = scenes / "tiny.toml"
    file.write_text(TINY.replace("FEATURES", str(scenes / "features.npz")))
    return load_config(file)


def record_trainings(monkeypatch):
    """Gives the list that will hold what `train` is called for, relative to the study's folder."""
    calls = []
    original = mite_tf.studies.trainer.train

    def record(data, run, **named):
        calls.append(re.sub("shared/[0-9a-f]{12}", "shared", "/".join(Path(run).parts[-3:])))
        return original(data, run, **named)

    monkeypatch.setattr(mite_tf.studies.trainer, "train", record)
    return calls
