"""Faulty boxes: mended, counted and listed; or refused."""

import numpy as np
import pytest

from tests.data.make import image, save
from tests.data.sources.boxes.made import (
    HEIGHT,
    LABELS,
    WIDTH,
    Scenes,
    coco,
    coco_content,
    errors,
    said,
    same,
    save_images,
    scenes,
    write,
    write_json,
)
from tfvision.data.audit.boxes_table import boxes_csv
from tfvision.data.scan.scan import scan
from tfvision.data.sources.boxes.coco import coco_boxes
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError

MADE = scenes(24)


def with_faults(root, spoilt: Scenes):
    """A table of the sound boxes, then the spoilt ones."""
    save_images(root / "images", MADE)
    rows = [
        f"{n},{b[0]},{b[1]},{b[2]},{b[3]},{b[4]}"
        for made in (MADE, spoilt)
        for n, bs in made.items()
        for b in bs
    ]
    write(root / "boxes.csv", ["image,x1,y1,x2,y2,label", *rows])
    return root


X, Y = float(WIDTH), float(HEIGHT)
FAULTS = {  # what stands in the file, what it becomes, what is said to have been done
    "swapped": ((30, 40, 10, 20, "ant"), (10, 20, 30, 40, "ant"), "swapped corners"),
    "one pair swapped": ((30, 20, 10, 40, "ant"), (10, 20, 30, 40, "ant"), "swapped corners"),
    "beyond the right": ((100, 20, X + 9, 40, "ant"), (100, 20, X, 40, "ant"), "clipped"),
    "beyond the top left": ((-3, -4, 20, 40, "ant"), (0, 0, 20, 40, "ant"), "clipped"),
    "swapped and beyond": (
        *((X + 9, 40, 100, 20, "ant"), (100, 20, X, 40, "ant")),
        "swapped corners; clipped",
    ),
    "no width": ((30, 20, 30, 40, "ant"), None, "left out: no area"),
    "a point": ((30, 20, 30, 20, "ant"), None, "left out: no area"),
    "one pixel": ((30, 20, 31, 21, "ant"), None, "left out: one pixel or less"),
    "a sliver once clipped": (
        *((X - 0.05, 20, X + 8, 40, "ant"), None),
        "left out: one pixel or less",
    ),
    "outside": ((X + 5, 20, X + 30, 40, "ant"), None, "left out: outside the image"),
    "outside above": ((5, -40, 30, -10, "ant"), None, "left out: outside the image"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_mended_counted_and_listed(tmp_path, name):
    written, becomes, done = FAULTS[name]
    root = with_faults(tmp_path, {"s03.png": [written]})
    source = open_source(root, truth="boxes")
    assert same(source, {**MADE, "s03.png": [*MADE["s03.png"], *([becomes] if becomes else [])]})
    assert not errors(source)
    line = sum(map(len, MADE.values())) + 2
    assert f"1 box {done} (first: line {line} of boxes.csv)" in source.notes
    listed = [box for _, _, box in source.listing() if box.done]
    assert [(box.done, box.place) for box in listed] == [(done, f"line {line} of boxes.csv")]
    with_error = open_source(root, truth="boxes", faults="refuse")
    found = errors(with_error)
    assert len(found) == 1
    assert f"line {line} of boxes.csv: the box (" in found[0]
    assert f"'ant' would be {done}, and faults: refuse is set. Correct the box." in found[0]


def test_the_edge_itself_and_what_rounding_adds_to_it_are_no_faults(tmp_path):
    root = with_faults(tmp_path, {"s03.png": [(0, 0, X + 0.004, Y, "bee")]})
    source = open_source(root, truth="boxes")
    assert same(source, {**MADE, "s03.png": [*MADE["s03.png"], (0, 0, X, Y, "bee")]})
    assert all(not box.done for _, _, box in source.listing())


REPEATED = MADE["s03.png"][0]
OTHER = (*REPEATED[:4], LABELS[1 - LABELS.index(REPEATED[4])])


def test_a_box_that_repeats_another_is_left_out(tmp_path):
    root = with_faults(tmp_path, {"s03.png": [REPEATED, REPEATED]})
    source = open_source(root, truth="boxes")
    assert same(source, MADE)
    assert any("2 boxes left out: repeats another box (first: " in note for note in source.notes)
    assert len(errors(open_source(root, truth="boxes", faults="refuse"))) == 2


@pytest.mark.parametrize(
    ("conflicts", "kept", "number"),
    [("first", [REPEATED], 1), ("both", [REPEATED, OTHER], 1), ("none", [], 2)],
)
def test_a_box_with_two_labels_is_settled_as_declared(tmp_path, conflicts, kept, number):
    root = with_faults(tmp_path, {"s03.png": [OTHER]})
    source = open_source(root, truth="boxes", conflicts=conflicts)
    assert same(source, {**MADE, "s03.png": [*kept, *MADE["s03.png"][1:]]})
    found = [str(issue) for issue in scan(source, cache=False).warnings if "another" in str(issue)]
    assert len(found) == number
    assert "another label of a box (line " in found[0]
    assert not errors(source)


def test_two_objects_in_one_place_of_two_images_are_no_conflict(tmp_path):
    root = with_faults(tmp_path, {"s07.png": [OTHER]})
    source = open_source(root, truth="boxes")
    assert same(source, {**MADE, "s07.png": [*MADE["s07.png"], OTHER]})


def test_boxes_csv_lists_every_box_as_it_was_read(tmp_path):
    spoilt = {
        "s00.png": [(90, 60, 70, 30, "ant")],
        "s02.png": [(100, 5, 140, 30, "bee"), (9, 9, 9, 20, "ant")],
        "s03.png": [OTHER],
    }
    source = open_source(with_faults(tmp_path, spoilt), truth="boxes")
    lines = boxes_csv(source, scan(source, cache=False)).splitlines()
    assert lines[0] == "image,x1,y1,x2,y2,label,done"
    assert len(lines) == 1 + sum(map(len, MADE.values())) + 4
    assert "images/s00.png,70.0,30.0,90.0,60.0,ant,swapped corners" in lines
    assert "images/s02.png,100.0,5.0,128.0,30.0,bee,clipped" in lines
    assert "images/s02.png,9.0,9.0,9.0,20.0,ant,left out: no area" in lines
    assert sum(line.endswith(",") for line in lines) == sum(map(len, MADE.values()))
    (conflict,) = (line for line in lines if "another label" in line)
    assert conflict.endswith(f": {REPEATED[4]})")
    read = {tuple(line.split(",")[:6]) for line in lines[1:] if "left out" not in line}
    number = sum(len(source.read(i).boxes) for i in range(len(source)))
    assert len(read) == number


def test_boxes_csv_of_boxes_in_memory():
    from tfvision.data.sources.array_source import ArraySource

    part = {
        "images": np.zeros((2, 8, 9), np.uint8),
        "boxes": [np.array([[1, 2, 4, 6.5]], np.float32), np.zeros((0, 4), np.float32)],
        "classes": [np.array([1]), np.zeros(0, int)],
    }
    source = ArraySource({"": part}, class_names=["ant", "bee"], truth="boxes")
    text = boxes_csv(source, scan(source, cache=False))
    assert text.splitlines()[1:] == ["row 0 of images,1.0,2.0,4.0,6.5,bee,"]


def test_an_image_with_many_boxes_and_one_without_any(tmp_path):
    boxes = [(x, y, x + 3, y + 3, "ant") for x in range(0, 120, 6) for y in range(0, 60, 4)]
    made = {"s00.png": boxes, "s01.png": []}
    coco(tmp_path, made)
    source = coco_boxes(tmp_path)
    assert same(source, made)
    assert len(source.read(0).boxes) == 300
    assert "300 boxes of 2 classes (0 ant, 1 bee), 1 without any" in source.layout


def test_no_box_at_all_is_said(tmp_path):
    coco(tmp_path, {name: [] for name in MADE})
    assert "boxes: no image has a box. There is nothing to learn" in said(coco_boxes(tmp_path))


def test_options_are_checked(tmp_path):
    coco(tmp_path, MADE)
    for key, value, message in (
        ("faults", "drop", "faults must be one of mend, refuse; got 'drop'"),
        ("coordinates", "xyxy", "coordinates must be one of corners, sizes, centres"),
        ("units", "percent", "units must be one of pixels, shares; got 'percent'"),
        ("annotated_size", [480], r"annotated_size must be \[height, width\], e.g. \[480,640\]"),
        ("annotated_size", "half", r"or written, or file; got 'half'"),
    ):
        with pytest.raises(InputError, match=message):
            coco_boxes(tmp_path, **{key: value})


def test_a_damaged_image_is_an_error_of_its_own(tmp_path):
    coco(tmp_path, MADE)
    write(tmp_path / "images" / "s04.png", "no image")
    found = errors(coco_boxes(tmp_path))
    assert len(found) == 1
    assert "images/s04.png: is not an image that can be read" in found[0]


def test_a_link_that_leaves_the_data_is_refused(tmp_path):
    root = tmp_path / "data"
    coco(root, MADE)
    save(tmp_path / "outside.png", image(1, HEIGHT, WIDTH))
    (root / "images" / "s04.png").unlink()
    (root / "images" / "s04.png").symlink_to(tmp_path / "outside.png")
    assert "leaves the data set" in errors(coco_boxes(root))[0]
    assert same(coco_boxes(root, allow_outside_root=True), MADE)


def test_stamps_differ_where_a_box_does(tmp_path):
    coco(tmp_path, MADE)
    before = coco_boxes(tmp_path)
    content = coco_content(MADE)
    content["annotations"][0]["bbox"][0] += 1
    write_json(tmp_path / "annotations.json", content)
    after = coco_boxes(tmp_path)
    differ = [i for i in range(len(before)) if before.stamp(i) != after.stamp(i)]
    assert differ == [0]
