"""Rules on components against scipy's labelling, and against what they promise."""

import numpy as np
import pytest
from scipy import ndimage

from tfvision.errors import InputError
from tfvision.postprocess import ON_COMPONENTS, POSTPROCESS
from tfvision.postprocess.components import decode_images, fill_holes, smallest_component
from tfvision.postprocess.pixelwise import drop_class
from tfvision.registry import Spec

K = 4
CORNERS = np.ones((3, 3))


def noise(seed, *, height=24, width=31, smooth=1.0):
    """Labels (H, W) uint8 in patches of many sizes, specks and holes among them."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(K, height, width)), (0, smooth, smooth))
    return np.argmax(fields, axis=0).astype(np.uint8)


def small_pixels(labels, pixels, classes):
    """Where components below the size are, by scipy."""
    found = np.zeros(labels.shape, bool)
    for k in classes:
        numbers, _ = ndimage.label(labels == k, CORNERS)
        areas = np.bincount(numbers.ravel())
        found |= (areas[numbers] < pixels) & (numbers > 0)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [None, [1], [3, 0]])
def test_no_small_component_is_left_and_the_others_stay(seed, classes):
    labels = noise(seed, smooth=[0.0, 0.6, 1.0, 1.5, 2.0, 1.0][seed])
    pixels = [2, 5, 9, 20, 60, 10][seed]
    chosen = range(K) if classes is None else classes
    small = small_pixels(labels, pixels, chosen)
    assert small.any()
    assert not small.all()
    before = labels.copy()
    found = smallest_component(num_classes=K, pixels=pixels, classes=classes)(labels)
    np.testing.assert_array_equal(labels, before)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[~small], labels[~small])
    assert not small_pixels(found, pixels, chosen).any()
    again = smallest_component(num_classes=K, pixels=pixels, classes=classes)(found)
    np.testing.assert_array_equal(again, found)


def test_a_small_component_gets_the_label_of_most_of_its_border():
    labels = np.zeros((6, 9), np.uint8)
    labels[:, 5:] = 2
    labels[2, 4:6] = 1  # sides: 0 above, left, below; 2 above, right, below: the lower wins
    found = smallest_component(num_classes=K, pixels=3)(labels)
    assert (found[2, 4:6] == 0).all()
    labels[2, 4:7] = 1  # three sides against five
    found = smallest_component(num_classes=K, pixels=4)(labels)
    assert (found[2, 4:7] == 2).all()
    np.testing.assert_array_equal(smallest_component(num_classes=K, pixels=3)(labels), labels)


def test_small_components_do_not_vote_before_they_have_a_label():
    labels = np.zeros((7, 7), np.uint8)
    labels[2:5, 2:5] = 1  # eight pixels of 1 about one of 3
    labels[3, 3] = 3
    found = smallest_component(num_classes=K, pixels=9)(labels)
    assert not found.any()
    # Where 1 may stay, the speck gets it.
    found = smallest_component(num_classes=K, pixels=9, classes=[3])(labels)
    assert (found[2:5, 2:5] == 1).all()


def test_pixels_that_touch_by_a_corner_are_one_component():
    labels = np.eye(5, dtype=np.uint8)
    np.testing.assert_array_equal(smallest_component(num_classes=2, pixels=5)(labels), labels)
    assert not smallest_component(num_classes=2, pixels=6)(labels).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 4)])
def test_an_image_of_nothing_but_small_components_stays(shape):
    labels = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(np.uint8)
    np.testing.assert_array_equal(smallest_component(num_classes=3, pixels=99)(labels), labels)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pixels", [2, 6, 10_000])
def test_filled_holes_are_those_of_scipy(seed, pixels):
    labels = noise(seed, smooth=0.8)
    rng = np.random.default_rng(seed)
    labels[rng.random(labels.shape) < 0.6] = 1  # a class with holes
    mask = labels == 1
    numbers, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    areas = np.bincount(numbers.ravel())
    hole = (numbers > 0) & (areas[numbers] < pixels)
    assert hole.any()
    found = fill_holes(num_classes=K, pixels=pixels, classes=[1])(labels)
    np.testing.assert_array_equal(found, np.where(hole, 1, labels))


def test_a_hole_may_hold_several_labels_and_ends_not_at_the_border():
    labels = np.ones((6, 8), np.uint8)
    labels[2, 2:4] = [0, 3]  # a hole of two labels
    labels[0, 5] = 2  # touches the border of the image
    want = labels.copy()
    want[2, 2:4] = 1
    np.testing.assert_array_equal(fill_holes(num_classes=K, pixels=3)(labels), want)
    np.testing.assert_array_equal(fill_holes(num_classes=K, pixels=2)(labels), labels)
    np.testing.assert_array_equal(
        fill_holes(num_classes=K, pixels=9, classes=[0, 2, 3])(labels), labels
    )


def test_classes_are_filled_in_the_order_given():
    labels = np.full((9, 9), 2, np.uint8)
    labels[2:7, 2:7] = 0
    labels[3:6, 3:6] = 1
    labels[4, 4] = 3
    rule = fill_holes(num_classes=K, pixels=10)
    want = labels.copy()
    want[2:7, 2:7] = 0  # 9 pixels inside the ring of 0, which itself holds 25
    np.testing.assert_array_equal(rule(labels), want)
    want[4, 4], want[3:6, 3:6] = 1, 1
    np.testing.assert_array_equal(fill_holes(num_classes=K, pixels=9)(labels), want)


def test_decoding_images_is_pixels_first_then_components_in_order():
    probabilities = np.full((2, 5, 5, K), 0.1, np.float32)
    probabilities[..., 0] = 0.7
    probabilities[..., 1] = 0.2
    probabilities[1, 2, 2] = [0.1, 0.1, 0.1, 0.7]
    dropped = [drop_class(num_classes=K, index=0)]
    cleaning = [smallest_component(num_classes=K, pixels=2)]
    found = decode_images(dropped, cleaning)(probabilities)
    assert found.dtype == np.uint8
    assert (found == 1).all()
    assert decode_images(dropped, [])(probabilities)[1, 2, 2] == 3
    calls = []

    def named(name):
        def rule(labels):
            calls.append((name, labels.shape))
            return labels

        return rule

    decode_images([], [named("a"), named("b")])(probabilities)
    assert calls == [("a", (5, 5))] * 2 + [("b", (5, 5))] * 2


@pytest.mark.parametrize("name", sorted(ON_COMPONENTS))
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": 1}, r"whole number of at least 2: what has fewer goes. Received: 1"),
        ({"pixels": 2.0}, "Received: 2.0"),
        ({"pixels": True}, "Received: True"),
        ({"pixels": 5, "classes": [4]}, r"classes of 0 to 3, each once.*Received: \[4\]"),
        ({"pixels": 5, "classes": []}, r"Received: \[\]"),
        ({"pixels": 5, "classes": [1, 1]}, r"Received: \[1, 1\]"),
        ({"pixels": 5, "classes": 1}, "Received: 1"),
        ({}, "needs pixels"),
    ],
)
def test_bad_arguments(name, options, message):
    with pytest.raises(InputError, match=message):
        POSTPROCESS.build(Spec(name=name, **options), num_classes=K)


def test_rules_on_components_are_in_the_table():
    pixelwise = {"drop_class", "class_prior_offsets", "class_thresholds"}
    assert set(POSTPROCESS) - pixelwise == ON_COMPONENTS == {"smallest_component", "fill_holes"}
