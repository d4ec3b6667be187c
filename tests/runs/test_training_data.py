"""What a training does with the data that it gets."""

import keras
import numpy as np
import pytest
from PIL import Image

from mite_tf.data import CaptionedImages
from mite_tf.errors import MiteError
from mite_tf.runs import search, train
from mite_tf.runs.train import _tell_unknown


def test_bad_rows_are_refused_or_left_out_and_the_last_epoch_kept_when_asked(
    table, tmp_path, make_config, capsys
):
    for row in table:
        (tmp_path / row.image).write_bytes((table.root / row.image).read_bytes())
    (tmp_path / "0.png").write_bytes(b"")
    broken = CaptionedImages(table.rows, root=tmp_path)
    with pytest.raises(MiteError, match=r"0\.png is empty(.|\n)*--skip-bad"):
        train(broken, tmp_path / "run", config=make_config(), quiet=True)
    assert not (tmp_path / "run").exists()
    last = {"training.select_by": "last", "stages.align.learning_rate": 1e-9}
    short = make_config(
        **{f"stages.{s}.epochs": 0 for s in ("classify", "adversarial", "finetune")},
        **{"stages.align.epochs": 2} | last,
    )
    run = train(broken, tmp_path / "run", config=short, skip_bad=True)
    assert run.best().name == "0002-align"  # though the first epoch was as good
    assert run.info["data"]["images"]["train"] == 47
    told = capsys.readouterr().err
    assert "left out" in told
    assert "Unknown words: 0.0% of the tokens of train, 0.0% of dev." in told
    assert "Warning: an unknown word" not in told
    # What was left out then is left out when the same data comes again.
    assert len(run.embed(broken, quiet=True).images) == 59
    assert len(run.search(broken, "red square", top=99, quiet=True)) == 59
    other = CaptionedImages(table.rows[:1], root=tmp_path)
    with pytest.raises(MiteError, match=r"0\.png"):
        run.embed(other, quiet=True)


def test_many_unknown_words_are_warned_of(capsys):
    _tell_unknown(0, 0.05)
    assert "Warning" not in capsys.readouterr().err
    _tell_unknown(0, 0.051)
    assert "5.1% of dev.\nWarning: an unknown word says nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"backbone.name": "nowhere.keras"}, r"nowhere\.keras: no such backbone file"),
        ({"backbone.name": "features"}, "not a file of features"),
        ({"loss": {"name": "triplet", "margin": -1}}, r"^loss: .*margin.*-1"),
    ],
)
def test_what_cannot_be_built_leaves_no_folder(table, tmp_path, make_config, override, message):
    with pytest.raises(MiteError, match=message):
        train(table, tmp_path / "run", config=make_config(**override), quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_split_is_named(table, tmp_path, make_config):
    with pytest.raises(MiteError, match="dev"):
        train(table.split("train"), tmp_path / "run", config=make_config(), quiet=True)


def test_precomputed_features_need_no_image_files(table, tmp_path, make_config):
    random = np.random.default_rng(0)
    classes = np.arange(60) % 3
    features = np.eye(3, dtype=np.float32)[classes] + random.normal(0, 0.1, (60, 3))
    np.savez(tmp_path / "features.npz", ids=table.image_ids, features=features)
    elsewhere = CaptionedImages(table.rows, root=tmp_path)
    config = make_config(
        **{
            "backbone.name": "features",
            "backbone.features": str(tmp_path / "features.npz"),
            "stages.align.backbone_share": 0,
            "stages.finetune.backbone_share": 0,
            "stages.classify.epochs": 0,
            "stages.adversarial.epochs": 0,
        }
    )
    run = train(elsewhere, tmp_path / "run", config=config, quiet=True)
    hits = search(run.path, elsewhere, "a green square", split="dev", top=4, quiet=True)
    assert [int(hit.id.removesuffix(".png")) % 3 for hit in hits].count(1) >= 3


class Breaking(keras.callbacks.Callback):
    """Replaces an image by one of 16 bits a pixel, which no decoder of TensorFlow reads."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        self.path.write_bytes(b"BM" + bytes(26) + bytes([16]) + bytes(40))


def test_an_image_that_changes_while_training_is_named(tmp_path, make_config):
    names = [f"{number}.png" for number in range(8)]
    for number, name in enumerate(names):
        Image.new("RGB", (24, 24), (30 * number, 0, 0)).save(tmp_path / name)
    captions = [[f"a red square {name}"] for name in names]
    splits = ["train"] * 6 + ["dev"] * 2
    table = CaptionedImages.from_lists(names, captions, splits=splits, root=tmp_path)
    config = make_config(
        **{f"stages.{name}.epochs": 0 for name in ("align", "classify", "adversarial")}
    )
    with pytest.raises(MiteError, match=r"3\.png cannot be decoded: it is a BMP of a kind"):
        train(table, tmp_path / "run", config=config, callbacks=[Breaking(tmp_path / "3.png")],
              quiet=True)  # fmt: skip
    with pytest.raises(MiteError, match=r"3\.png .* 8, 24 or 32 bits a pixel"):
        train(table, tmp_path / "other", config=config, quiet=True)
