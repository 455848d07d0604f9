"""Data with boxes read as data with labels, and all classes of boxes read as one."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.sources.boxes.made import TOOLS, csv_pixels, save_images, scenes, write
from tfvision.config import DataConfig
from tfvision.data.scan.scan import scan
from tfvision.data.sources.boxes.labels_of_boxes import boxes_csv, labels_of_boxes
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError
from tfvision.recipe.opening import open_beside
from tfvision.recipe.opening import open_source as open_configured
from tfvision.registry import Spec
from tfvision.tasks.facts import facts_of

MADE = {  # one class an image; the last has no box
    name: [(*box[:4], "ant" if number % 2 else "bee") for box in boxes]
    for number, (name, boxes) in enumerate(scenes(7).items())
}


def read(source):
    """Name of an image -> its label and boxes."""
    found = {}
    for i, record in enumerate(source.records):
        if record.labelled:
            sample = source.read(i)
            name = source.class_names[sample.label]
            found[Path(record.place).name] = name, sample.boxes.tolist()
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_the_label_is_the_class_of_the_boxes_in_every_format(tool, tmp_path):
    TOOLS[tool](tmp_path, MADE)
    source = labels_of_boxes(tmp_path)
    assert source.truth == "label"
    found = read(source)
    assert {name: label for name, (label, _) in found.items()} == {
        name: boxes[0][4] for name, boxes in MADE.items() if boxes
    }
    for name, (_, boxes) in found.items():
        np.testing.assert_allclose(boxes, [box[:4] for box in MADE[name]], atol=1e-3)
    assert not scan(source, ignore_label=None, cache=False).errors


@pytest.mark.parametrize("tool", TOOLS)
def test_every_box_is_an_object_in_every_format(tool, tmp_path):
    TOOLS[tool](tmp_path, scenes(6))
    plain, one = (open_source(tmp_path, truth="boxes", one_class=way) for way in (False, True))
    assert one.class_names == ["object"]
    assert [record.id for record in one.records] == [record.id for record in plain.records]
    for i in range(len(plain)):
        np.testing.assert_array_equal(one.read(i).boxes, plain.read(i).boxes)
        assert not one.read(i).classes.any()


def test_one_box_of_two_classes_is_one_object(tmp_path):
    csv_pixels(tmp_path, {"s.png": [(2, 3, 20, 30, "ant"), (2, 3, 20, 30, "bee")]})
    source = open_source(tmp_path, truth="boxes", one_class=True)
    assert source.read(0).boxes.tolist() == [[2, 3, 20, 30]]
    assert not source.contradicted(0)
    with pytest.raises(InputError, match="one_class must be true or false; got 1"):
        open_source(tmp_path, truth="boxes", one_class=1)


def test_an_image_with_boxes_of_two_classes_has_no_label(tmp_path):
    mixed = {**MADE, "s05.png": [(2, 3, 20, 30, "ant"), (40, 3, 60, 30, "bee")]}
    csv_pixels(tmp_path, mixed)
    found = scan(labels_of_boxes(tmp_path), ignore_label=None, cache=False)
    (issue,) = found.errors
    assert issue.problem == "has boxes of the classes ant and bee, and an image has one label"
    assert "quarantine" in issue.advice


def test_a_crowd_says_nothing_of_the_label(tmp_path):
    TOOLS["coco"](tmp_path, MADE)
    (path,) = tmp_path.rglob("*.json")
    content = json.loads(path.read_text())
    boxed = [a["image_id"] for a in content["annotations"]]
    crowd = {"bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 1}
    for number, category in enumerate(c["id"] for c in content["categories"]):
        entry = {"id": 900 + number, "image_id": boxed[0], "category_id": category}
        content["annotations"].append({**crowd, **entry})
    path.write_text(json.dumps(content))
    found = read(labels_of_boxes(tmp_path))
    assert {name: (label, len(boxes)) for name, (label, boxes) in found.items()} == {
        name: (boxes[0][4], len(boxes)) for name, boxes in MADE.items() if boxes
    }


def test_images_without_a_box_are_the_detectors_alone(tmp_path):
    TOOLS["yolo"](tmp_path, MADE)
    source = labels_of_boxes(tmp_path)
    assert any("1 image without any box has no class and is left out" in n for n in source.notes)
    records, splits = source.boxed(["val"] * len(source))
    assert len(records) == len(source) + 1
    assert sorted(splits) == ["train", *["val"] * len(source)]


def test_boxes_of_a_file_take_the_place_of_the_annotated(tmp_path):
    csv_pixels(tmp_path / "data", MADE)
    plain = labels_of_boxes(tmp_path / "data")
    first, second = plain.records[:2]
    given = np.array([[1, 2, 30.5, 40], [3, 4, 5, 6]], np.float32)
    path = write(tmp_path / "boxes.csv", boxes_csv([(first, given), (second, given[:1])]))
    source = labels_of_boxes(tmp_path / "data", boxes=path)
    assert source.read(0).boxes.tolist() == given.tolist()
    assert source.read(1).boxes.tolist() == given[:1].tolist()
    assert source.read(2).boxes is None  # which the file does not name
    assert [source.read(i).label for i in range(3)] == [plain.read(i).label for i in range(3)]
    assert source.stamp(0) != plain.stamp(0)
    prints = {scan(one, ignore_label=None, cache=False).fingerprint for one in (source, plain)}
    assert len(prints) == 2
    with pytest.raises(InputError, match=r"boxes.csv, line 2: no sample .* has the id 'other'"):
        labels_of_boxes(
            tmp_path / "data", boxes=write(path, ["id,x1,y1,x2,y2,part", "other,1,2,3,4,"])
        )
    with pytest.raises(InputError, match=r"boxes.csv, line 2: could not convert .*'x'"):
        labels_of_boxes(
            tmp_path / "data", boxes=write(path, ["id,x1,y1,x2,y2", f"{first.id},x,2,3,4"])
        )


def config(path, **options) -> DataConfig:
    schema = facts_of("classification").schema().model_fields["data"].annotation
    return schema(source=Spec(name="labels_of_boxes", path=str(path), **options))


def test_a_config_says_how_boxes_are_read(tmp_path):
    csv_pixels(tmp_path / "data", MADE)
    wanted = read(labels_of_boxes(tmp_path / "data"))
    source = open_configured(config(tmp_path / "data", coordinates="corners", units="pixels"))
    assert read(source) == wanted
    assert read(open_configured(config(tmp_path / "data", reader="box_table"))) == wanted
    with pytest.raises(InputError, match="Unknown argument of source `box_table`: 'colour'"):
        open_configured(config(tmp_path / "data", colour=1))


def test_other_data_is_read_alike_with_or_without_boxes(tmp_path):
    csv_pixels(tmp_path / "data", MADE)
    TOOLS["coco"](tmp_path / "other", MADE)
    save_images(tmp_path / "alone", MADE)
    own = config(tmp_path / "data")
    other = open_beside(own, tmp_path / "other", mask_values=None, white=None)
    assert {name: label for name, (label, _) in read(other).items()} == {
        name: boxes[0][4] for name, boxes in MADE.items() if boxes
    }
    alone = open_beside(own, tmp_path / "alone", mask_values=None, white=None, truth_needed=False)
    assert len(alone) == len(MADE)
    assert not any(record.labelled for record in alone.records)
    assert alone.read(0).boxes is None
    predicted = open_beside(
        own, tmp_path / "other", mask_values=None, white=None, truth_needed=False
    )
    assert len(predicted) == len(MADE)  # also the image without a box
