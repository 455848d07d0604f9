"""The embedded boxes: repeatable, disjoint splits, boxes around what is drawn."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from tfvision.data.scan.scan import scan
from tfvision.data.sources import embedded_boxes as module


@pytest.fixture(scope="module")
def scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SPLITS", {"train": 30, "val": 10, "test": 10})
        made = module.build_scenes()
        again = module.build_scenes()
    assert all(made[key].tobytes() == again[key].tobytes() for key in made)
    return made


def test_shapes_types_and_classes(scenes):
    for split, count in {"train": 30, "val": 10, "test": 10}.items():
        images, boxes = scenes[f"{split}_images"], scenes[f"{split}_boxes"]
        numbers = scenes[f"{split}_counts"]
        assert (images.shape, images.dtype) == ((count, 96, 128), np.uint8)
        assert (boxes.dtype, scenes[f"{split}_classes"].dtype) == (np.float32, np.int32)
        assert 1 <= numbers.min() <= numbers.max() <= 6
        assert numbers.sum() == len(boxes) == len(scenes[f"{split}_classes"])
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= [128, 96]).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 4).all()
    assert set(scenes["train_classes"]) == set(range(len(module.CLASS_NAMES)))
    heights = np.diff(scenes["train_boxes"][:, 1::2])
    assert heights.min() < 20 < 35 < heights.max()


def test_boxes_overlap_by_little(scenes):
    ends = np.cumsum(scenes["train_counts"])[:-1]
    pairs = [
        module._overlap(one, other)
        for boxes in np.split(scenes["train_boxes"], ends)
        for one, other in itertools.combinations(boxes, 2)
    ]
    # A digit that is hidden in part has a smaller box than the one it was placed by.
    assert 0 < max(pairs) <= module.MOST_OVERLAP + 0.1


def test_nothing_is_drawn_outside_the_boxes(monkeypatch):
    """On a flat background: outside the boxes, with the soft edge of a stroke, is noise alone."""
    rng, flat = np.random.default_rng(0), np.zeros((96, 128))
    monkeypatch.setattr(module, "background", lambda *args: flat.copy())
    monkeypatch.setattr(module, "DECOY_SHARE", 0)
    stroke = np.zeros((8, 8))
    stroke[1:7, 2:6] = 16
    for _ in range(5):
        image, boxes, _ = module._scene(rng, [], {digit: [stroke] for digit in module.DIGITS})
        inside = np.zeros(image.shape, bool)
        for x1, y1, x2, y2 in boxes.astype(int):
            inside[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = True
        assert (image[~inside] < 60).all()


def test_photo_regions_of_two_splits_do_not_overlap(monkeypatch):
    monkeypatch.setattr(module, "SPLITS", {"train": 1, "val": 1, "test": 1})
    # Instead of grey levels, the photographs hold the number of their column.
    columns = np.tile(np.arange(640), (427, 1))
    monkeypatch.setattr(module, "gray", lambda photo: columns)
    used = []

    def scene(rng, regions, strokes):
        used.append([set(np.unique(region)) for region in regions])
        return np.zeros((1, 1)), np.zeros((0, 4)), np.zeros(0)

    monkeypatch.setattr(module, "_scene", scene)
    module.build_scenes()
    assert [len(regions) for regions in used] == [len(load_sample_images().images)] * 3
    for one, other in itertools.combinations(used, 2):
        assert not any(a & b for a, b in zip(one, other, strict=True))


def test_the_source_holds_these_scenes(scenes, monkeypatch):
    monkeypatch.setattr(module, "SPLITS", {"train": 30, "val": 10, "test": 10})
    monkeypatch.setattr(module, "cached_arrays", lambda name, build: scenes)
    source = module.embedded_boxes()
    assert (source.truth, source.class_names) == ("boxes", module.CLASS_NAMES)
    assert [r.split for r in source.records] == ["train"] * 30 + ["val"] * 10 + ["test"] * 10
    sample = source.read(37)
    start = scenes["val_counts"][:7].sum()
    rows = slice(start, start + scenes["val_counts"][7])
    np.testing.assert_array_equal(sample.image[..., 0], scenes["val_images"][7])
    np.testing.assert_array_equal(sample.boxes, scenes["val_boxes"][rows])
    np.testing.assert_array_equal(sample.classes, scenes["val_classes"][rows])
    found = scan(source, cache=False)
    assert not found.errors
    assert found.class_pixels.sum() == sum(len(scenes[f"{s}_boxes"]) for s in module.SPLITS)
