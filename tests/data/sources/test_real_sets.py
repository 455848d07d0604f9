"""The real sets that lie beside the repository, where they do."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tfvision.data.scan.scan import scan
from tfvision.data.sources.boxes.given_later import read_boxes_given_later
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.labels_given_later import read_labels_table
from tfvision.data.split.holdout import absent_classes, holdout
from tfvision.recipe.opening import names_of_tasks

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("needs the real data sets in ../shared/data")
    return SHARED


@pytest.mark.parametrize(
    ("name", "labelled", "unlabelled", "classes"),
    [("mars_tiles", 199, 123, 5), ("street_scenes", 468, 233, 5)],
)
def test_mars_shaped(shared, name, labelled, unlabelled, classes):
    path = shared / "mars_shaped" / f"{name}.npz"
    source = open_source(path)
    assert Counter(r.labelled for r in source.records) == {True: labelled, False: unlabelled}
    found = scan(source)
    assert not found.errors
    assert found.num_classes == classes
    with np.load(path) as file:
        stored = file["training_set"][:, 1]
    counts = [(stored == k).sum(axis=(1, 2)) for k in range(classes)]
    np.testing.assert_array_equal(found.class_pixels[:labelled].T, counts)
    splits = holdout(found, source.records, seed=0)
    assert Counter(splits)["test"] == unlabelled
    assert Counter(splits)["val"] == pytest.approx(0.2 * labelled, abs=2)
    assert absent_classes(found, source.records, splits) == {"train": [], "val": []}


def test_brain(shared):
    source = open_source(shared / "brain" / "mni152_axial.npz")
    assert source.notes == ["key z (128,) int64 is not used"]
    found = scan(source)
    assert not found.errors
    assert (len(source), found.num_classes) == (128, 4)
    assert set(zip(found.heights, found.widths, strict=True)) == {(232, 192)}


def test_rgba_microscope_images(shared):
    source = open_source(shared / "blood_cells" / "images")
    found = scan(source)
    assert not found.issues
    assert found.modes == {"RGBA": 100}
    assert set(found.channels) == {3}


def test_images_and_masks_side_by_side(shared):
    source = open_source(shared / "masked_cells" / "train_data")
    assert source.layout.endswith("told apart by their names (img_*, mask_*)")
    assert not source.problems
    assert [record.id for record in source.records] == [f"{i:04}" for i in range(299)]
    assert source.read_raw(7).mask.shape == source.read_raw(7).image.shape[:2]


def test_a_folder_of_two_npz_files_says_what_to_do(shared):
    with pytest.raises(ValueError, match=r"Or give the path of mars_tiles\.npz itself"):
        open_source(shared / "mars_shaped")


@pytest.mark.parametrize("path", ["shifted_signs", "shifted_signs/train.csv"])
def test_signs_of_a_table_with_boxes_and_a_test_folder(shared, path):
    source = open_source(shared / path, truth="label")
    assert source.layout == (
        "train.csv: 1,600 images of 8 classes in train/, with a box each; 800 images without "
        "labels in test/"
    )
    assert not source.problems
    assert (source.class_names[3], source.class_labels[3]) == ("priority_road", "3")
    assert Counter(r.label for r in source.records if r.labelled) == {str(i): 200 for i in range(8)}
    np.testing.assert_array_equal(source.read(0).boxes, [[74, 49, 152, 127]])
    assert source.read(0).label == 3
    given = read_labels_table(
        shared / "shifted_signs" / "dev_test_labels.csv",
        [r.id for r in source.records[1600:]],
        source.class_names,
        class_labels=source.class_labels,
    )
    assert (len(given.missing), given.unknown) == (400, 0)
    assert given.boxes[0] == (35, 4, 118, 87)


@pytest.mark.parametrize("path", ["masked_cells", "masked_cells/train_labels.csv"])
def test_cells_with_regions_beside_them(shared, path):
    source = open_source(shared / path, truth="label")
    assert source.layout == (
        "train_labels.csv: 299 images of 4 classes in train_data/, with a region (a mask file) each"
    )
    assert not source.problems
    found = scan(source)
    assert not found.errors
    np.testing.assert_array_equal(found.class_pixels.sum(axis=0), [22, 53, 48, 176])
    assert source.read(5).region.shape == source.read(5).image.shape[:2]


def test_sets_of_another_task_say_so(shared):
    with pytest.raises(ValueError, match=r"train_seg.py trains on that"), names_of_tasks():
        open_source(shared / "brain" / "mni152_axial.npz", truth="label")
    with pytest.raises(ValueError, match=r"train_cls.py trains on that"), names_of_tasks():
        open_source(shared / "shifted_signs")
    with pytest.raises(ValueError, match=r"train_det.py trains on that"), names_of_tasks():
        open_source(shared / "blood_cells", truth="label")


def test_sets_of_boxes_are_read_with_no_other_option(shared):
    cells = open_source(shared / "blood_cells", truth="boxes")
    assert cells.layout == (
        "blood_cells: CSV annotations.csv, corners in shares, by column names: 100 images, 2,336 "
        "boxes of 2 classes (0 rbc, 1 wbc)"
    )
    conflicts = [(place, box) for place, _, box in cells.listing() if "another label" in box.done]
    assert [Path(place).stem for place, _ in conflicts] == [f"image-{n}" for n in (100, 104, 114)]
    assert {box.label for _, box in conflicts} == {"wbc"}
    assert len(cells.listing()) == 2339
    digits = open_source(shared / "cheque_digits", truth="boxes")
    assert digits.layout.startswith(
        "cheque_digits: COCO train.json, sizes in pixels: 1,080 images (1080 train), 4,898 boxes"
    )
    assert digits.class_names == [str(digit) for digit in range(10)]
    assert sum("numbered anew from 1" in note for note in digits.notes) == 1
    assert {record.split for record in digits.records} == {None}
    for path in ("shifted_signs", "shifted_signs/train.csv"):
        signs = open_source(shared / path, truth="boxes")
        assert signs.layout.startswith(
            f"{Path(path).name}: CSV train.csv, corners in pixels, by column names: 2,400 images "
            "(1600 train, 800 test), 800 of them without boxes, 1,600 boxes of 8 classes (0 speed30"
        )
        labelled = [i for i, record in enumerate(signs.records) if record.labelled]
        assert {signs.records[i].place.split("/")[0] for i in labelled} == {"train"}
        np.testing.assert_array_equal(signs.read(labelled[0]).boxes, [[74, 49, 152, 127]])
        assert signs.class_names[signs.read(labelled[0]).classes[0]] == "priority_road"
    for source in (cells, digits, signs):
        assert not [str(issue) for issue in source.problems if issue.severity == "error"]


def test_boxes_that_are_given_later_of_shifted_signs(shared):
    root = shared / "shifted_signs"
    source = open_source(root, truth="boxes")
    test = [i for i, record in enumerate(source.records) if record.split == "test"]
    path = root / "dev_test_labels.csv"
    given = read_boxes_given_later(path, source, test, source.class_names, {})
    assert sum(truth is not None for truth in given.truths) == 400
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    of_name = {name.removesuffix(".jpg"): list(map(int, cells)) for name, *cells in rows}
    for i, truth in zip(test, given.truths, strict=True):
        label, *box = of_name.get(source.records[i].id, [None])
        assert (truth is None) == (label is None)
        if truth is not None:
            assert truth["classes"].tolist() == [label]
            assert truth["boxes"].tolist() == [box]
