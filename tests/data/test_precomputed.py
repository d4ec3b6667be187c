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
    with pytest.raises(MiteError, match=r"no features of 1 image, such as 'd'"):
        features.of(["a", "d"])


def features(tmp_path, *ids):
    path = tmp_path / "features.npz"
    np.savez(path, ids=ids, features=np.arange(len(ids))[:, None])
    return PrecomputedFeatures(path)


def test_folders_in_front_of_a_name_may_differ(tmp_path):
    found = features(tmp_path, "train2017/1.jpg", "2.jpg", "./x//3.jpg", b"4.jpg", "e\u0301.jpg")
    names = ["1.jpg", "val2017/2.jpg", "x/3.jpg", "4.jpg", "\u00e9.jpg", "coco/train2017/1.jpg"]
    assert found.of(names[:5]).ravel().tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(MiteError, match=r"'train2017/1.jpg' fits two images, '1.jpg' and 'coco/"):
        found.of(names[5:])
    with pytest.raises(MiteError, match=r"no features of 1 image, such as 'val2017/1.jpg'"):
        found.of(["val2017/1.jpg"])
    with pytest.raises(MiteError, match=r"'a/1.jpg' and 'b/1.jpg' both fit the image '1.jpg'"):
        features(tmp_path, "a/1.jpg", "b/1.jpg").of(["1.jpg"])


def test_ids_that_are_one_image_are_refused(tmp_path):
    with pytest.raises(MiteError, match=r"ids\[0\] = 'a.jpg' and ids\[2\] = './a.jpg' are one"):
        features(tmp_path, "a.jpg", "b.jpg", "./a.jpg")


def test_a_pointer_of_git_lfs_is_called_so(tmp_path):
    path = tmp_path / "features.npz"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MiteError, match=r"features\.npz is a Git LFS pointer"):
        PrecomputedFeatures(path)


@pytest.mark.parametrize("content", ["absent", "text", "other", "shape", "array"])
def test_unusable_files_are_named(tmp_path, content):
    path = tmp_path / "features.npz"
    if content == "text":
        path.write_text("hello")
    elif content == "other":
        np.savez(path, vectors=np.eye(2))
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.eye(2))
    elif content == "shape":
        np.savez(path, ids=["a"], features=np.zeros((2, 3)))
    with pytest.raises(MiteError, match=r"features\.npz: "):
        PrecomputedFeatures(path)
