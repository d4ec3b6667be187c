"""Where a study writes, and what it leaves alone."""

import pytest

from mite_tf.errors import MiteError
from mite_tf.studies import study


def test_a_study_that_cannot_begin_leaves_no_folder(scenes, config, tmp_path):
    broken = config.with_overrides({"backbone.features": str(tmp_path / "none.npz")})
    with pytest.raises(MiteError, match="not a file of features"):
        study(scenes, tmp_path / "out", config=broken, seeds=1, quiet=True)
    assert not list(tmp_path.iterdir())
    own = tmp_path / "out" / ".git" / "HEAD"
    own.parent.mkdir(parents=True)
    own.write_text("ref")
    with pytest.raises(MiteError, match="not a file of features"):
        study(scenes, tmp_path / "out", config=broken, seeds=1, quiet=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]


def test_a_configuration_of_somebody_is_not_replaced(scenes, config, tmp_path):
    own = tmp_path / "config.toml"
    own.write_text(f"# mine\n{config.to_toml()}")
    with pytest.raises(MiteError, match=r"config\.toml: .* another one, and would be replaced"):
        study(scenes, tmp_path, config=own, seeds=1, quiet=True)
    assert list(tmp_path.iterdir()) == [own]


def test_another_folder_is_left_alone(scenes, config, tmp_path):
    with pytest.raises(MiteError, match="no split 'holdout'"):
        study(scenes, tmp_path / "out", config=config, split="holdout", quiet=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(MiteError, match="is not empty and holds no study"):
        study(scenes, tmp_path, config=config, quiet=True)
    (tmp_path / "study.json").write_text("[")
    with pytest.raises(MiteError, match="not the record of a study"):
        study(scenes, tmp_path, config=config, quiet=True)
