"""Targets of all kinds of truth as they are read for a run: at its size, under their names."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.test_truth import BOXES, CLASSES, LABELS, MASKS, source
from tfvision.data.scan.scan import scan
from tfvision.recipe.read import decode, native_scanned


def prepared(kind, size=(8, 12), *, fit="stretch", enlarge=False):
    made = source(kind)
    found = scan(made, cache=False)
    return SimpleNamespace(
        source=made,
        scan=found,
        size=size,
        channels=1,
        num_classes=found.num_classes,
        fit=fit,
        enlarge=enlarge,
    )


@pytest.mark.parametrize("kind", ["masks", "label", "boxes"])
def test_targets_are_the_truth(kind):
    samples = decode(prepared(kind), [3, 0, 5])
    expected = {
        "masks": {"mask": MASKS},
        "label": {"label": LABELS},
        "boxes": {"boxes": BOXES, "classes": CLASSES},
    }[kind]
    assert samples.targets.keys() == expected.keys()
    for name, values in expected.items():
        for read, i in zip(samples.targets[name], [3, 0, 5], strict=True):
            np.testing.assert_array_equal(read, values[i])
    if kind == "masks":
        assert samples.targets["mask"].dtype == np.uint8
    if kind == "label":
        assert samples.targets["label"].dtype == np.int32


def test_targets_follow_the_size_that_images_are_brought_to():
    assert decode(prepared("masks", (16, 24)), [1]).targets["mask"].shape == (1, 16, 24)
    assert decode(prepared("label", (16, 24)), [1]).targets["label"].tolist() == [1]
    samples = decode(prepared("boxes", (16, 6)), range(6))
    assert samples.images.shape == (6, 16, 6, 1)
    for i, boxes in enumerate(samples.targets["boxes"]):
        assert boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, BOXES[i] * [0.5, 2, 0.5, 2])
        np.testing.assert_array_equal(samples.targets["classes"][i], CLASSES[i])


def test_a_map_of_labels_is_what_predictions_are_counted_against():
    np.testing.assert_array_equal(native_scanned(prepared("masks"), 2).labels, MASKS[2])
    assert native_scanned(prepared("label"), 3).labels.tolist() == [[1]]
    assert native_scanned(prepared("boxes"), 3).labels is None


def test_the_place_of_an_object_is_read_beside_a_label():
    sample = native_scanned(prepared("label"), 1)
    assert sample.box.tolist() == [0, 2, 6, 4]
    np.testing.assert_array_equal(sample.region, MASKS[1] > 0)
