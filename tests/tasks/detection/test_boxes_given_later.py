"""`evaluate --labels` of a detection: samples with their boxes, and options for the reader."""

import numpy as np
import pytest
from PIL import Image

from tests.tasks.detection.test_bad_input import CAT, DOG, prepared, write_parts
from tfvision.errors import InputError
from tfvision.runs.evaluate import _reading_of
from tfvision.tasks.classification.task import Classification
from tfvision.tasks.detection.boxes_given_later import samples_with_boxes
from tfvision.tasks.detection.task import Detection
from tfvision.tasks.segmentation.task import Segmentation


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A train part, and four test images of which nothing says a box."""
    folder = tmp_path_factory.mktemp("later")
    root = write_parts(folder / "data", train=[[CAT, DOG]] * 4)
    (root / "test").mkdir()
    for i in range(4):
        pixels = np.full((48, 64, 3), 60 * i, np.uint8)
        Image.fromarray(pixels).save(root / "test" / f"{i}.png")
    return prepared(root, folder)[1]


def write(path, *rows):
    path.write_text("\n".join(["Id,Category,xmin,ymin,xmax,ymax", *rows]))
    return path


def of_test(data) -> list[int]:
    return [i for i, record in enumerate(data.source.records) if record.split == "test"]


def test_samples_have_the_boxes_in_place_of_none(data, tmp_path):
    path = write(tmp_path / "t.csv", "2.png,1,3,4,13,24", "0.png,cat,1,2,30,40", "1.png,,,,,")
    with pytest.raises(
        InputError, match=r"does not know: '1' \(line 2 of t\.csv\)"
    ):  # one has a name
        samples_with_boxes(path, data.source, of_test(data), 3, ["cat", "dog"], {})
    path = write(tmp_path / "t.csv", "2.png,dog,3,4,13,24", "0.png,cat,1,2,30,40", "1.png,,,,,")
    samples, notes = samples_with_boxes(path, data.source, of_test(data), 3, ["cat", "dog"], {})
    found = list(samples)
    assert [name for name, _ in found] == ["0", "1", "2"]
    assert [one.targets["boxes"].tolist() for _, one in found] == [
        [[1, 2, 30, 40]],
        [],
        [[3, 4, 13, 24]],
    ]
    assert [one.targets["classes"].tolist() for _, one in found] == [[0], [], [1]]
    assert [one.image[0, 0, 0] for _, one in found] == [0, 60, 120]
    assert any("1 of 4 images are not named (3)" in note for note in notes)
    assert Detection().labelled_later(path, data, of_test(data)) == of_test(data)[:3]


def test_options_are_keys_of_data_source():
    assert _reading_of(["data.source.unlisted=negatives"]) == {"unlisted": "negatives"}
    assert _reading_of(["data.source.annotated_size=[4, 5]"]) == {"annotated_size": [4, 5]}
    with pytest.raises(InputError, match=r"sets keys of data\.source.*Received: 'data.fit=pad'"):
        _reading_of(["data.fit=pad"])


@pytest.mark.parametrize("task", [Segmentation(), Classification()])
def test_labels_that_are_read_in_one_way_take_no_options(task, tmp_path):
    with pytest.raises(InputError, match=r"t\.npz: a \w+ reads it in one way.*Leave it out"):
        task.truth_given_later(tmp_path / "t.npz", None, [], None, {}, {"coordinates": "sizes"})
