"""Baselines without a network, against counting by hand."""

import numpy as np

from tfvision.metrics.baselines import LEVELS, IntensityLookup, level_counts, majority

CLASSES = 3


def sample(seed=0, channels=1):
    """(3, 5, 7, C) images in [0, 1] and masks with labels 0, 1, 2 and 255."""
    rng = np.random.default_rng(seed)
    images = rng.random((3, 5, 7, channels), dtype=np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0.0, 1.0  # both ends of the range
    masks = rng.choice([0, 1, 2, 255], (3, 5, 7), p=[0.2, 0.5, 0.2, 0.1]).astype(np.uint8)
    return images, masks


def by_hand(images, masks, ignored):
    counts = np.zeros((LEVELS, CLASSES), int)
    for pixel, label in zip(images.reshape(-1, images.shape[-1]), masks.ravel(), strict=True):
        if label not in ignored:
            counts[min(int(np.float32(pixel.mean()) * LEVELS), LEVELS - 1), label] += 1
    return counts


def test_level_counts_are_those_counted_by_hand():
    for channels in (1, 3):
        images, masks = sample(channels=channels)
        for ignored in ([255], [255, 1]):
            found = level_counts(images, masks, CLASSES, ignored)
            np.testing.assert_array_equal(found, by_hand(images, masks, ignored))


def test_level_counts_of_parts_add_up():
    images, masks = sample()
    parts = [level_counts(images[i : i + 1], masks[i : i + 1], CLASSES, [255]) for i in range(3)]
    np.testing.assert_array_equal(sum(parts), level_counts(images, masks, CLASSES, [255]))


def test_a_lookup_finds_classes_that_grey_levels_tell_apart():
    masks = np.random.default_rng(0).integers(0, CLASSES, (4, 8, 8))
    images = np.array([0.1, 0.5, 0.9], np.float32)[masks][..., None]
    table = IntensityLookup.fit(level_counts(images, masks, CLASSES, []), balanced=False)
    np.testing.assert_array_equal(table.predict(images), masks)


def test_a_balanced_lookup_gives_a_rare_class_its_levels():
    counts = np.zeros((LEVELS, CLASSES), int)
    counts[10] = [90, 4, 0]  # 90 % of the class 0 and all of the class 1 lie here
    counts[20] = [10, 0, 5]
    plain = IntensityLookup.fit(counts, balanced=False).table
    balanced = IntensityLookup.fit(counts, balanced=True).table
    assert (plain[10], balanced[10]) == (0, 1)
    assert (plain[20], balanced[20]) == (0, 2)


def test_a_class_that_never_occurs_is_never_looked_up():
    images, masks = sample()
    masks[masks == 2] = 0
    for balanced in (False, True):
        counts = level_counts(images, masks, CLASSES, [255])
        table = IntensityLookup.fit(counts, balanced=balanced)
        assert 2 not in table.predict(images)


def test_majority_counts_every_pixel_as_the_most_frequent_class():
    _, masks = sample()
    found = majority(np.array([3.0, 9.0, 1.0]), masks, CLASSES, [255])
    assert found.shape == (3, CLASSES, CLASSES)
    assert found[:, :, [0, 2]].sum() == 0
    for cm, mask in zip(found, masks, strict=True):
        assert cm[:, 1].tolist() == [(mask == k).sum() for k in range(CLASSES)]
