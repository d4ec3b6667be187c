import numpy as np
import pytest

from mite_tf.data.images import Preprocessing
from mite_tf.encoders import Encoders
from mite_tf.export import Manifest
from mite_tf.models import ImageEncoder, image_head, small_cnn
from mite_tf.models.text_encoder import TEXT_ENCODERS
from mite_tf.runs import load_config, train
from mite_tf.runs.export_run import export_run
from mite_tf.scenes import write_scenes
from mite_tf.text import WordPieceTokenizer

VOCABULARY = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
VOCABULARY += [f"##{letter}" for letter in VOCABULARY[2:]] + ["dog", "dogs", "run", ".", ","]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A short real training on rendered scenes."""
    folder = tmp_path_factory.mktemp("scenes_run")
    scenes = write_scenes(folder / "scenes", train=96, dev=24, test=4, size=32, progress=False)
    small = {f"stages.{name}.epochs": 1 for name in ("align", "classify", "adversarial")}
    small |= {"stages.finetune.epochs": 0, "backbone.image_size": 32, "backbone.width": 8}
    return train(scenes, folder / "run", config=load_config("scenes", small), quiet=True)


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """That run as SavedModel, ONNX and int8; read, never changed."""
    out = tmp_path_factory.mktemp("export") / "scenes"
    export_run(run, out, int8=True, quiet=True)
    return out


@pytest.fixture
def manifest():
    """A manifest that says as little as one can."""
    signature = {"input": "features", "dtype": "float32", "shape": [None, 8]}
    text = {"input": "text", "dtype": "string", "shape": [None]}
    return Manifest(
        name="",
        version=1,
        created="",
        embedding_size=1,
        image={"encoder": "", "signatures": {"serving_default": signature}},
        text={"encoder": "", "signatures": {"serving_default": text}},
        preprocessing=None,
        tokenizer={
            "kind": "wordpiece", "vocabulary_size": 2, "max_length": 1, "lower_case": True,
        },
        training={},
        metrics={},
        recall={},
        verification={},
        formats=[],
        versions={},
    )  # fmt: skip


@pytest.fixture
def make_encoders():
    """Encoders with random weights, biases among them, of any kind."""

    def make(text="bag-of-words", *, backbone=None, **options):
        backbone = backbone or small_cnn(image_size=32, width=8)
        encoders = Encoders(
            ImageEncoder(backbone, image_head(backbone.output_shape[1:], embedding_size=16)),
            TEXT_ENCODERS[text](len(VOCABULARY), word_size=16, embedding_size=16, **options),
            WordPieceTokenizer(VOCABULARY, max_length=12),
            Preprocessing(*backbone.input_shape[1:3]),
        )
        random = np.random.default_rng(0)
        for weight in encoders.text_encoder.weights:
            if weight.dtype == "float32" and not weight.name.startswith("moving"):
                weight.assign(random.normal(scale=0.3, size=weight.shape))
        return encoders

    return make
