"""npz: labels with a column a class, and folders of npz files."""

import numpy as np
import pytest

from tests.data.make import image
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError


def stack(count):
    return np.stack([image(i) for i in range(count)])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_labels_with_a_column_a_class(tmp_path, dtype):
    numbers = np.array([0, 2, 2, 0, 3, 0])
    path = tmp_path / "a.npz"
    np.savez(path, x_train=stack(6), y_train=np.eye(4)[numbers].astype(dtype))
    source = open_source(path, truth="label")
    assert [int(r.label) for r in source.records] == numbers.tolist()
    assert source.class_names == ["0", "1", "2", "3"]  # 1 has no image, and its place
    assert source.notes == ["labels (6, 4) of x_train: the class of a row is where its 1 stands"]
    np.savez(path, x=stack(6), y=np.eye(4)[numbers], class_names=list("abcd"))
    assert [r.label for r in open_source(path, truth="label").records[:3]] == ["0", "2", "2"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 1, 0], [0, 1, 0]], "row 0 holds 2 labels; 1 rows hold several, 0 none. One label an"),
        ([[1, 0, 0], [0, 0, 0]], "row 1 holds no labels; 0 rows hold several, 1 none"),
        ([[3, 7], [1, 2]], r"have the shape \(2, 2\). One label an image"),
        ([["a", "b"], ["c", "d"]], r"have the shape \(2, 2\). One label an image"),
    ],
)
def test_several_labels_an_image_are_refused(tmp_path, labels, message):
    np.savez(tmp_path / "a.npz", images=stack(2), labels=np.array(labels))
    with pytest.raises(InputError, match=message):
        open_source(tmp_path / "a.npz", truth="label")


def test_one_label_in_a_column_of_its_own_stays(tmp_path):
    np.savez(tmp_path / "a.npz", images=stack(3), labels=np.array([[1], [0], [1]]))
    assert [r.label for r in open_source(tmp_path / "a.npz", truth="label").records] == list("101")


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_npz_file_a_picture_says_how_to_join_them(tmp_path, below):
    (tmp_path / below).mkdir(exist_ok=True)
    for i in range(3):
        np.savez(tmp_path / below / f"t{i}.npz", image=image(i), mask=image(i, channels=1) % 2)
    with pytest.raises(InputError, match=r"seem to hold a picture each\. Join them") as error:
        open_source(tmp_path, truth="masks")
    code = str(error.value).split('python -c "')[1].split('"')[0]
    joined = tmp_path / "joined.npz"
    exec(code.replace("'joined.npz'", repr(str(joined))))  # what is to be typed does what it says
    source = open_source(joined, truth="masks")
    np.testing.assert_array_equal(source.read(1).image, image(1))
