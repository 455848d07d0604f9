"""Classification beside the sources: the scan, npz files, what a path is, contradictions."""

import numpy as np
import pytest

from tests.data.make import arrays, image, pairs, save
from tests.data.sources.folders.test_class_folder import classes, texts
from tfvision.data.scan.scan import scan
from tfvision.data.scan.subset import subset
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.class_files import settle_labels, to_region
from tfvision.data.sources.folders.class_folder import class_folder
from tfvision.data.sources.npz import npz
from tfvision.data.sources.recognise import open_source, truth_in
from tfvision.data.sources.source import RawSample, Source
from tfvision.data.split.exclude import read_exclude
from tfvision.data.split.holdout import holdout, read_splits, write_splits
from tfvision.data.truth import TRUTHS
from tfvision.errors import InputError
from tfvision.recipe.opening import names_of_tasks


def write(path, **content):
    np.savez(path, **content)
    return path


def source_of(labels, names=("a", "b"), **part):
    images = np.stack([image(seed, channels=1) for seed in range(len(labels))])
    content = {"images": images, "labels": np.array(labels), **part}
    return ArraySource({"": content}, class_names=list(names))


# ---------------------------------------------------------------- scan


def test_the_scan_keeps_and_caches_regions_and_boxes(tmp_path):
    regions = np.zeros((2, 8, 12), np.uint8)
    regions[:, 2:4, :6] = 1
    boxes, numbers = np.float32([[[0, 2, 6, 4]], [[1, 2, 6, 4]]]), np.array([[0], [1]])
    part = {"regions": regions, "boxes": boxes, "classes": numbers}
    first = scan(source_of([0, 1], **part)).facts
    assert first[0].region_sha256 == first[1].region_sha256 != ""
    assert first[0].truth_sha256 != first[1].truth_sha256
    assert first[0].region_share == 12 / 96
    assert first[1].boxes == ((1, 2, 6, 4),)
    assert first[0].sketch.borders  # of the region: the audit tells intruders by them
    stored = write(tmp_path / "a.npz", x=np.zeros((2, 8, 12)), y=[0, 1], masks=regions)
    looked, kept = scan(npz(stored)), scan(npz(stored))
    assert looked.facts == kept.facts
    assert looked.fingerprint == kept.fingerprint


def test_the_fingerprint_follows_region_and_box():
    regions = np.ones((2, 8, 12), np.uint8)
    other = regions.copy()
    other[1, 0, 0] = 0
    boxes, numbers = np.float32([[[0, 2, 6, 4]], [[1, 2, 6, 4]]]), np.array([[0], [1]])
    prints = {
        scan(source_of([0, 1], **part)).fingerprint
        for part in (
            {},
            {"regions": regions},
            {"regions": other},
            {"boxes": boxes, "classes": numbers},
            {"boxes": boxes + 1, "classes": numbers},
        )
    }
    assert len(prints) == 5


def test_a_label_that_is_no_single_pixel_of_a_segmentation_is_still_refused():
    class Wrong(Source):
        def read_raw(self, index):
            return RawSample(image(0), np.zeros((1, 1), np.int32))

        def stamp(self, index):
            return ""

    records = source_of([0, 1]).records
    wrong = Wrong(records, name="x", layout="x", class_names=["a", "b"])
    assert "the image has 8 x 12 pixels, its mask 1 x 1" in texts(scan(wrong).errors)


def test_nothing_is_said_of_masks_where_labels_are_meant():
    found = scan(source_of([0] * 9 + [1]))
    assert "mask" not in texts(found.issues)
    assert "the class 'b' has one image" in texts(found.warnings)


@pytest.mark.parametrize("declared", [["x", "y"], None])
def test_declared_names_name_numbers_only(declared):
    found = scan(source_of([0, 1], ["0", "1"]), class_names=declared)
    assert found.class_names == (declared or ["0", "1"])
    with pytest.raises(InputError, match=r"class_names is \['b', 'a'\], but the data has"):
        scan(source_of([0, 1]), class_names=["b", "a"])


def test_a_subset_stays_a_classification(tmp_path):
    source = class_folder(classes(tmp_path))
    part, found = subset(source, scan(source), [1, 2])
    assert (part.truth, found.truth, part.class_labels) == ("label",) * 2 + (["cat", "dog"],)
    assert part.read(1).label == 1


# ---------------------------------------------------------------- copies with two labels


@pytest.fixture
def conflict(tmp_path):
    """Two copies of one picture, in the folders of two classes."""
    classes(tmp_path, count=5)
    save(tmp_path / "dog" / "copy.png", image(3))
    return tmp_path


def test_copies_with_two_labels_are_an_error(conflict):
    """D25, D26"""
    message = (
        r"dog/copy.png: is the very image of cat/3.png, labelled 'cat', but is itself labelled "
        r"'dog'. Correct a label"
    )
    with pytest.raises(InputError, match=message):
        scan(class_folder(conflict)).raise_for_errors()


@pytest.mark.parametrize("listed", ["dog/copy", "cat/3"])
def test_an_exclude_list_of_either_copy_ends_the_contradiction(conflict, tmp_path, listed):
    from tfvision.recipe.audit_findings import without_issues_of

    source = class_folder(conflict)
    (tmp_path / "out.csv").write_text(f"id,reason\n{listed},wrong label\n")
    out = read_exclude(tmp_path / "out.csv", source.records).reasons
    assert not without_issues_of(scan(source), source.records, out).errors
    assert without_issues_of(scan(source), source.records, {0: ""}).errors


def test_copies_with_one_label_stay_in_one_split(tmp_path):
    classes(tmp_path, count=10)
    for i in range(5):
        save(tmp_path / "cat" / f"copy{i}.png", image(i))
    source = class_folder(tmp_path)
    found = scan(source)
    assert not found.errors
    splits = holdout(found, source.records, seed=1)
    side = {r.id: split for r, split in zip(source.records, splits, strict=True)}
    assert all(side[f"cat/{i}"] == side[f"cat/copy{i}"] for i in range(5))


def test_a_leak_between_given_splits_is_an_error(tmp_path):
    """D26"""
    classes(tmp_path / "train")
    classes(tmp_path / "val", first=50)
    save(tmp_path / "val" / "cat" / "x.png", image(0))
    with pytest.raises(InputError, match=r"in val, is the very image of train/cat/0.png, in train"):
        scan(class_folder(tmp_path)).raise_for_errors()


def test_splits_speak_of_labels(tmp_path):
    source = class_folder(classes(tmp_path))
    write_splits(tmp_path / "s.csv", source.records, ["train", "val", "train", None])
    assert read_splits(tmp_path / "s.csv", source.records) == ["train", "val", "train", None]
    (tmp_path / "s.csv").write_text("id,split\nbird/7,train\n")
    with pytest.raises(InputError, match="no sample with a label has the id 'bird/7'"):
        read_splits(tmp_path / "s.csv", source.records, truth="label")


# ---------------------------------------------------------------- npz


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([3, 10, 3, 3, 10, 3]), ["3", "10"]),
        (np.array([[0], [1], [0], [0], [1], [0]]), ["0", "1"]),
        (np.array(["NA", "01", "NA", "NA", "01", "NA"]), ["01", "NA"]),
        (np.array([0.0, 1, 0, 0, 1, 0]), ["0", "1"]),
        (np.array([False, True, False, False, True, False]), ["0", "1"]),
    ],
)
def test_npz_with_a_label_an_image(tmp_path, labels, names):
    images, _ = arrays()
    path = write(tmp_path / "a.npz", images=images, labels=labels)
    source = open_source(path, truth="label")
    assert (source.truth, source.class_names) == ("label", names)
    assert source.records[1].label == str(labels.ravel()[1].astype(labels.dtype)).removesuffix(
        ".0"
    ).replace("True", "1")
    assert not scan(source).errors


def test_npz_names_parts_and_regions(tmp_path):
    images, masks = arrays()
    names = np.array(["cat", "dog", "emu"])
    content = {"x_train": images, "y_train": [0, 1, 2, 0, 1, 2], "x_test": images[:2] // 2}
    path = write(tmp_path / "a.npz", **content, masks_train=masks, class_names=names)
    source = npz(path)
    assert source.class_names == ["cat", "dog", "emu"]
    assert source.class_labels == ["0", "1", "2"]
    assert [r.label for r in source.records] == [*"012012", None, None]
    np.testing.assert_array_equal(source.read(4).region, masks[4] > 0)
    assert source.read(5).label == 2
    assert source.read(7).label is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 0.5, 0, 1, 0], "hold 0.5 in row 2; they must be whole numbers or text"),
        ([0, 1, np.nan, 0, 1, 0], "hold nan in row 2"),
        ([0, 1], "holds 6 images, its labels have the shape"),
        ([7] * 6, "every sample has the label '7'"),
    ],
)
def test_npz_with_wrong_labels(tmp_path, labels, message):
    path = write(tmp_path / "a.npz", x=arrays()[0], y=np.array(labels))
    with pytest.raises(InputError, match=message):
        scan(npz(path)).raise_for_errors()


def test_objects_are_never_read(tmp_path):
    path = write(tmp_path / "a.npz", x=arrays()[0], y=np.array(["a", 1] * 3, object))
    with pytest.raises(InputError, match=r"y .* holds Python objects, which are never unpickled"):
        npz(path)


def test_arrays_in_memory_are_checked():
    with pytest.raises(InputError, match="labels must be class numbers 0 to 1"):
        source_of([0, 2])
    with pytest.raises(InputError, match="give labels or masks"):
        source_of([0, 1], masks=np.zeros((2, 8, 12), int))
    with pytest.raises(InputError, match=r"masks has the shape \(2, 8, 11\)"):
        source_of([0, 1], regions=np.zeros((2, 8, 11), int))


# ---------------------------------------------------------------- what a path is


@pytest.fixture
def each(tmp_path):
    """A data set of every layout: its path, its kind of truth, and the source that reads it."""
    images, masks = arrays()
    (tmp_path / "table").mkdir()
    for i in range(2):
        save(tmp_path / "table" / "img" / f"{i}.png", image(i))
    (tmp_path / "table" / "y.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    root = pairs(tmp_path / "pairs")
    (root / "list.csv").write_text("image,mask\nimages/s0.png,masks/s0.png\n")
    return {
        "folders": (classes(tmp_path / "folders"), "label", "class_folder"),
        "parts": (classes(tmp_path / "p" / "train").parent, "label", "class_folder"),
        "table": (tmp_path / "table", "label", "label_table"),
        "csv": (tmp_path / "table" / "y.csv", "label", "label_table"),
        "labels": (write(tmp_path / "l.npz", x=images, y=[0, 1] * 3), "label", "npz"),
        "masks": (write(tmp_path / "m.npz", x=images, y=masks), "masks", "npz"),
        "pairs": (root, "masks", "folder"),
        "manifest": (root / "list.csv", "masks", "manifest"),
    }


def test_each_layout_is_recognised(each):
    for path, truth, name in each.values():
        assert truth_in(path) == truth
        for asked in (truth, None):
            source = open_source(path, truth=asked)
            assert (source.truth, source.name) == (truth, name), path


@pytest.mark.parametrize("kind", ["folders", "parts", "table", "csv", "labels", "masks"])
def test_data_of_the_other_task_names_its_script(each, kind):
    path, truth, _ = each[kind]
    other = {"masks": "label", "label": "masks"}[truth]
    task = {"masks": "segmentation", "label": "classification"}[truth]
    script = {"masks": "train_seg.py", "label": "train_cls.py"}[truth]
    sentence = f"looks like data with .*for {task}: {script} trains on"
    with pytest.raises(InputError, match=sentence), names_of_tasks():
        open_source(path, truth=other)


def test_images_alone_are_read_for_any_task(tmp_path):
    path = write(tmp_path / "x.npz", x=arrays()[0])
    save(tmp_path / "f" / "a.png", image(0))
    for truth in TRUTHS:
        assert open_source(path, truth=truth).truth == truth
        assert open_source(tmp_path / "f", truth=truth).truth == truth


def test_an_option_reaches_the_source_that_is_recognised(each):
    path = each["csv"][0]
    source = open_source(path, truth="label", columns={"file": "label", "label": "file"})
    assert "no such file" in texts(source.problems)
    with pytest.raises(InputError, match="Unknown argument of source `class_folder`: 'columns'"):
        open_source(each["folders"][0], truth="label", columns={})


def test_what_is_not_there_says_what_is_known(tmp_path):
    with pytest.raises(InputError, match=r"does not exist.*Known: a folder of images for each"):
        open_source(tmp_path / "gone", truth="label")


# ---------------------------------------------------------------- labels, regions


def test_labels_become_classes():
    assert settle_labels(["b", "a", "b"], None, place="x").names == ["a", "b"]
    assert settle_labels(["10", "-2", "1.5"], None, place="x").names == ["-2", "1.5", "10"]
    settled = settle_labels(["1", "0"], ["zero", "one", "two"], place="x")
    assert (settled.names, settled.labels) == (["zero", "one", "two"], ["0", "1", "2"])
    with pytest.raises(InputError, match=r"label '3' is no name .* 3 classes .* numbered 0 to 2"):
        settle_labels(["3", "0"], ["zero", "one", "two"], place="x")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 1], [0, 1]), ([0, 255], [0, 1]), ([3, 120, 130, 252], [0, 0, 1, 1]), ([0, 2], [0, 1])],
)
def test_which_pixels_are_of_the_region(values, expected):
    region = to_region(np.array([values]))
    assert region.dtype == np.uint8
    assert region.tolist() == [expected]
