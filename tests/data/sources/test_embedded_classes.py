"""The embedded images of a classification: repeatable, disjoint, label and region of one truth."""

import itertools

import numpy as np
import pytest

from tfvision.data.scan.scan import scan
from tfvision.data.sources import embedded_classes


@pytest.fixture(scope="module")
def made():
    return embedded_classes.build_images()


def test_shapes_types_and_classes(made):
    for split, count in {"train": 600, "val": 150, "test": 200}.items():
        images, regions = made[f"{split}_images"], made[f"{split}_regions"]
        assert (images.shape, images.dtype) == ((count, 48, 48, 3), np.uint8)
        assert (regions.shape, set(np.unique(regions))) == ((count, 48, 48), {0, 1})
        counts = np.bincount(made[f"{split}_labels"])
        assert len(counts) == 6
        assert counts.max() - counts.min() <= 1
        assert len({image.tobytes() for image in images}) == count


def test_two_builds_are_equal_whatever_the_global_random_state(monkeypatch):
    monkeypatch.setattr(embedded_classes, "SPLITS", {"train": 12})
    first = embedded_classes.build_images()
    np.random.seed(99)
    again = embedded_classes.build_images()
    for key, value in again.items():
        np.testing.assert_array_equal(value, first[key], err_msg=key)


def test_boxes_are_the_hulls_of_regions(made):
    for split in ("train", "val", "test"):
        for box, region in zip(made[f"{split}_boxes"], made[f"{split}_regions"], strict=True):
            left, top, right, bottom = (int(side) for side in box)
            inside = region[top:bottom, left:right]
            assert inside.sum() == region.sum() > 0
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()


def test_digits_and_photo_regions_of_two_splits_are_others(monkeypatch):
    monkeypatch.setattr(embedded_classes, "SPLITS", dict.fromkeys(("train", "val", "test"), 1))
    used = []

    def draw(rng, regions, strokes, digit):
        assert digit in embedded_classes.DIGITS
        digits = {image.tobytes() for images in strokes.values() for image in images}
        columns = {column.tobytes() for region in regions for column in region.swapaxes(0, 1)}
        used.append((digits, columns))
        return np.zeros((1, 1, 3)), np.ones((1, 1))

    monkeypatch.setattr(embedded_classes, "_image", draw)
    embedded_classes.build_images()
    for one, other in itertools.combinations(used, 2):
        assert not one[0] & other[0]
        assert not one[1] & other[1]


def test_the_source_is_a_classification_with_regions_and_boxes(made, tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path))
    few = {key: value[:30] for key, value in made.items()}
    monkeypatch.setattr(embedded_classes, "build_images", lambda: few)
    source = embedded_classes.embedded_classes()
    assert source.truth == "label"
    assert source.class_names == embedded_classes.CLASS_NAMES
    assert [r.split for r in source.records[::15]] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    sample = source.read(37)
    assert (source.records[37].part, source.records[37].id) == ("val", "7")
    assert sample.label == made["val_labels"][7] == sample.classes[0]
    np.testing.assert_array_equal(sample.image, made["val_images"][7])
    np.testing.assert_array_equal(sample.region, made["val_regions"][7])
    np.testing.assert_array_equal(sample.boxes, made["val_boxes"][7:8])
    assert source.records[37].label == source.class_names[sample.label]
    monkeypatch.setattr(embedded_classes, "build_images", lambda: pytest.fail("built again"))
    np.testing.assert_array_equal(embedded_classes.embedded_classes().read(37).image, sample.image)
    assert not scan(source, cache=False).issues
