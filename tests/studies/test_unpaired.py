import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.studies import study
from tests.studies.conftest import record_trainings


@pytest.fixture(scope="module")
def more(scenes, tmp_path_factory):
    """Captions and images besides, which bring features of their own."""
    folder = tmp_path_factory.mktemp("more") / "images"
    folder.mkdir()
    (folder.parent / "captions.txt").write_text("a zebra and an ocelot\n" * 9)
    with np.load(scenes / "features.npz") as file:
        ids, features = file["ids"], file["features"]
    names = [f"more{number}.png" for number in range(20)]
    for name in names:
        (folder / name).touch()
    extra = np.random.default_rng(0).normal(size=(20, features.shape[1]))
    arrays = {"ids": [*ids, *names], "features": np.concatenate([features, extra])}
    np.savez(folder.parent / "features.npz", **arrays)
    return folder.parent


@pytest.mark.slow
def test_what_is_unpaired_is_seen_by_all_variants_that_do_not_leave_it_out(
    scenes, config, more, tmp_path, monkeypatch
):
    trained = record_trainings(monkeypatch)
    short = {f"stages.{name}.epochs": 1 for name in ("align", "adversarial")}
    config = config.with_overrides({"backbone.features": str(more / "features.npz")} | short)
    variants = ["baseline", "mite-on-pairs", "mite"]
    given = {"unpaired_images": more / "images", "unpaired_captions": more / "captions.txt"}
    again = {"config": config, "variants": variants, "seeds": 1, "quiet": True}
    folder = study(scenes, tmp_path / "out", **again, **given)
    assert trained == ["shared/seed-0", *(f"runs/{name}/seed-0" for name in variants)]
    runs = [folder.run(name, 0) for name in variants]
    assert len({run.vocabulary.read_bytes() for run in runs}) == 1
    assert "ocelot" in runs[0].vocabulary.read_text().split("\n")
    assert {run.info["data"]["unpaired"]["images"] for run in runs} == {20}
    first, last = zip(*(run.history() for run in runs), strict=True)
    assert len({row["matching_loss"] for row in first}) == 1
    assert last[1]["adversarial_loss"] != last[2]["adversarial_loss"]
    command = f"--unpaired-images {more / 'images'} --unpaired-captions {more / 'captions.txt'}"
    assert command in (folder.path / "study.md").read_text()
    with pytest.raises(MiteError, match="is a study of other unpaired data"):
        study(scenes, folder.path, **again)
