"""Exports of annotation tools given as `--data`: recognised, told from boxes alone, named."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, mask, save
from tests.data.sources.exports import (
    test_cityscapes,
    test_class_colours,
    test_coco,
    test_labelme,
    test_nnunet,
    test_object_masks,
    test_voc_export,
    test_yolo_polygons,
)
from tfvision.curation.clean import check_target
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import OtherTruth, open_source, truth_in
from tfvision.errors import InputError

EXPORTS = {
    "coco_masks": test_coco.shop,
    "labelme": test_labelme.plants,
    "yolo_polygons": test_yolo_polygons.plants,
    "voc_masks": test_voc_export.export,
    "nnunet": test_nnunet.raw,
    "cityscapes": test_cityscapes.city,
    "object_masks": test_object_masks.cells,
    "colour_masks": test_class_colours.town,
}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_folder_is_read_as_what_it_is(tmp_path, name):
    root = EXPORTS[name](tmp_path / "data")
    assert truth_in(root) == "masks"
    source = open_source(root)
    assert source.name == name
    assert source.layout.startswith("data: ")
    assert not scan(source, cache=False).errors
    with pytest.raises(InputError, match=r"looks like data with masks|in two ways"):
        open_source(root, truth="label")


@pytest.mark.parametrize("name", EXPORTS)
def test_a_cleaned_copy_is_refused_since_it_would_be_read_otherwise(tmp_path, name):
    source = open_source(EXPORTS[name](tmp_path / "data"))
    with pytest.raises(InputError, match=r"--clean does not write that. Leave samples out by data"):
        check_target(source, tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coco_masks", "annotations.json"),
        ("yolo_polygons", "data.yaml"),
        ("nnunet", "dataset.json"),
    ],
)
def test_the_file_of_annotations_may_be_given(tmp_path, name, file):
    root = EXPORTS[name](tmp_path / "data")
    source = open_source(root / file)
    assert source.name == name
    assert len(source) == len(open_source(root))


def boxes_of_coco(root: Path) -> Path:
    def box(content):
        for entry in content["annotations"]:
            entry["segmentation"] = []

    return test_coco.changed(test_coco.shop(root), box)


def boxes_of_yolo(root: Path) -> Path:
    test_yolo_polygons.plants(root)
    for k in range(3):
        test_yolo_polygons.write(root / "labels" / f"a{k}.txt", test_yolo_polygons.BOX)
    return root


def boxes_of_voc(root: Path) -> Path:
    save(root / "JPEGImages" / "a.jpg", image(1))
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    return root


BOXES = {"coco": boxes_of_coco, "yolo": boxes_of_yolo, "voc": boxes_of_voc}


@pytest.mark.parametrize("tool", BOXES)
def test_boxes_alone_are_read_as_boxes_and_are_no_masks(tmp_path, tool):
    root = BOXES[tool](tmp_path / "data")
    assert truth_in(root) == "boxes"
    assert open_source(root, truth=None).name == f"{tool}_boxes"
    with pytest.raises(OtherTruth, match=r"data looks like data with boxes \((COCO|YOLO|Pascal)"):
        open_source(root, truth="masks")


@pytest.mark.parametrize("tool", ["coco", "yolo"])
def test_masks_beside_boxes_are_read(tmp_path, tool):
    root = BOXES[tool](tmp_path / "data")
    for file in (root / "images").iterdir():
        save(root / "masks" / file.name, mask(int(file.stem[1:])))
    source = open_source(root)
    assert source.name == "folder"
    assert truth_in(root) == "masks"
    np.testing.assert_array_equal(source.read(2).mask, mask(2))


def test_two_files_of_annotations_are_both_named(tmp_path):
    root = test_coco.shop(tmp_path / "data")
    for k in range(6):
        test_labelme.write(root / "images" / f"a{k}.json", [test_labelme.LEAF], file=f"a{k}.png")
    with pytest.raises(
        InputError,
        match=r"COCO annotations in annotations.json\) or masks \(6 LabelMe files .*"
        r"data.source.name=coco_masks or --set data.source.name=labelme",
    ):
        open_source(root)


def test_options_of_an_export_are_passed_on(tmp_path):
    root = test_coco.shop(tmp_path / "data")
    source = open_source(root, overlap="first", undrawn="no_label")
    assert source.class_names == ["leaf", "stem"]
    assert source.read(2).mask[3, 3] == 0  # the leaf, which the stem lies over
    for k in range(6):
        save(root / "frames" / f"a{k}.png", image(20 + k))
    assert open_source(root, image_folder="frames").records[1].place == "frames/a1.png"
    city = test_cityscapes.city(tmp_path / "city")
    assert len(open_source(city, classes="ids").class_names) == 34


def test_what_nothing_reads_is_counted(tmp_path):
    root = test_coco.shop(tmp_path / "data")
    (root / "readme.md").write_text("x")
    (root / "images" / "b1.heic").write_bytes(b"x")
    (root / "other.json").write_text(json.dumps({"a": 1}))
    source = open_source(root)
    assert {
        "1 .md file in the folder itself is not read",
        "1 .json file in the folder itself is not read",
    } <= {*source.notes}
    (issue,) = source.problems
    assert "1 .heic file in images/ is not read" in issue.problem
    assert issue.severity == "warning"
