import numpy as np
import pytest

from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.errors import MiteError


def test_features_are_found_by_id(tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, ids=["b", "a", "c"], features=np.arange(6).reshape(3, 2))
    features = PrecomputedFeatures(path)
    assert features.shape == (2,)
    assert features.of(["a", "b", "a"]).tolist() == [[2, 3], [0, 1], [2, 3]]
    with pytest.raises(MiteError, match=r"no features of 1 images, such as 'd'"):
        features.of(["a", "d"])


@pytest.mark.parametrize("content", ["absent", "text", "other", "shape"])
def test_unusable_files_are_named(tmp_path, content):
    path = tmp_path / "features.npz"
    if content == "text":
        path.write_text("hello")
    elif content == "other":
        np.savez(path, vectors=np.eye(2))
    elif content == "shape":
        np.savez(path, ids=["a"], features=np.zeros((2, 3)))
    with pytest.raises(MiteError, match=r"features\.npz: "):
        PrecomputedFeatures(path)
