"""The signals by themselves: sketches, near pairs, stains, fits."""

import numpy as np
import pytest
from PIL import Image

from tests.data.audit.planted import again, moved, scenes, stain
from tfvision.data.audit.near_duplicates import blocks_of, candidates, compare
from tfvision.data.audit.stains import stained
from tfvision.data.scan.mask_fit import Fit, calibrate, measure_fit
from tfvision.data.scan.sketch import (
    decode,
    hash_distance,
    make_sketch,
    pack_map,
    perceptual_hash,
    read_thumb,
    unpack_map,
)
from tfvision.data.split.groups import connected


def thumbs_of(images):
    return np.stack([read_thumb(make_sketch(image[..., None], None).thumb) for image in images])


def test_thumbnail_is_the_mean_of_areas_whatever_the_dtype():
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 1), dtype=np.uint8)
    image[0, 0], image[0, 1] = 0, 255  # so that stretching changes nothing
    means = image.reshape(32, 2, 32, 4).mean(axis=(1, 3))
    for same in (image, image.astype(np.uint16) * 200, image.astype(np.float32) / 255):
        thumb = read_thumb(make_sketch(same, None).thumb)
        np.testing.assert_allclose(thumb, means, atol=1)


def test_perceptual_hash_survives_a_change_of_light_and_tells_pictures_apart():
    first, second = thumbs_of(scenes(0, 2).images)
    assert len(perceptual_hash(first)) == 16
    kept = hash_distance(perceptual_hash(first), perceptual_hash(0.5 * first + 20))
    other = hash_distance(perceptual_hash(first), perceptual_hash(second))
    assert kept <= 2 < 15 < other


@pytest.mark.parametrize("shape", [(3, 4), (5, 5), (64, 64)])
def test_maps_survive_packing(shape):
    codes = np.random.default_rng(0).integers(0, 15, shape, dtype=np.uint8)
    np.testing.assert_array_equal(unpack_map(pack_map(codes)), decode(codes))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 3), (5, 7, 1), (300, 40, 3)])
def test_a_sketch_of_any_size(shape):
    rng = np.random.default_rng(0)
    sketch = make_sketch(
        rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 3, shape[:2], dtype=np.int32)
    )
    assert read_thumb(sketch.thumb).shape == (32, 32)


@pytest.mark.parametrize("scale", [1, 4])
def test_a_mask_fits_where_it_was_drawn_and_says_how_far_it_slipped(scale):
    """At four times the size too, where maps are smaller than the image."""
    planted = scenes(1, 1)
    image = Image.fromarray(planted.images[0]).resize((128 * scale, 64 * scale))
    for dy, dx in ((0, 0), (5, -6), (-4, 8)):
        mask = moved(planted.masks[0], dy, dx).repeat(scale, 0).repeat(scale, 1)
        fit = make_sketch(np.array(image)[..., None], mask).fit
        assert (fit.dy, fit.dx) == pytest.approx((-dy * scale, -dx * scale), abs=scale)
        assert fit.best > 8
        assert (fit.here == fit.best) == (dy == 0)
    assert make_sketch(np.array(image)[..., None], np.ones_like(mask)).fit is None


def test_stripes_have_many_peaks_and_so_no_high_one():
    stripes = ((np.arange(128) // 4 % 2) * 200).astype(np.uint8)[None].repeat(64, 0)
    fit = make_sketch(stripes[..., None], (stripes > 0).astype(np.int32)).fit
    assert fit.best < 5  # own masks of scenes reach 14, other masks 5


def test_an_empty_map_has_no_fit():
    edges = decode(np.ones((40, 40), np.uint8))
    assert measure_fit(edges, np.zeros((40, 40), np.complex64)) is None
    assert measure_fit(np.zeros((40, 40), np.complex64), edges) is None


def test_ratio_grows_with_the_fit_and_bears_wrong_pairs():
    rng = np.random.default_rng(0)
    own = [Fit(value, value, 0.0, 0.0) for value in rng.normal(10, 1.5, 90)]
    other = [Fit(value, 3.0, 9.0, 9.0) for value in rng.normal(0, 1, 100)]
    usual = calibrate(own + other[:10], other)
    ratios = [usual.ratio(Fit(value, value, 0, 0)) for value in (-5, 0, 3, 6, 10, 20)]
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.01 < 100 < ratios[-1]
    assert usual.informative
    assert usual.sharp
    assert not calibrate(other, other).informative
    assert calibrate(own[:15], other) is None


def test_pairs_survive_stains_noise_jpeg_and_light():
    planted = scenes(2, 40)
    images = planted.images
    copies = [stain(image, planted.rng) for image in images[:20]]
    copies += [again(image, planted.rng) for image in images[20:]]
    thumbs = thumbs_of(images + copies)
    pairs = candidates(*blocks_of(thumbs)).tolist()
    near = [(i, j) for i, j in pairs if compare(thumbs[i], thumbs[j]) is not None]
    assert sorted(near) == [(i, i + 40) for i in range(40)]


def test_flat_pictures_and_different_crops_are_no_pairs():
    flat = [np.full((64, 128), tone, np.uint8) for tone in (0, 90, 91, 255)]
    texture = np.random.default_rng(0).normal(size=(200, 300))
    texture = sum(texture[k : k + 150, k : k + 250] for k in range(6)) * 25 + 128
    windows = [(0, 0), (0, 40), (30, 10), (60, 100), (80, 20)]
    crops = [np.clip(texture[y : y + 64, x : x + 128], 0, 255).astype(np.uint8) for y, x in windows]
    assert len(candidates(*blocks_of(thumbs_of(flat + crops)))) == 0


def test_two_scenes_that_differ_in_several_places_are_not_one_picture():
    image = scenes(3, 1).images[0]
    other = image.copy()
    for y, x in ((4, 4), (40, 30), (6, 70), (36, 100)):
        other[y : y + 18, x : x + 18] = 255 - other[y : y + 18, x : x + 18]
    one, two = thumbs_of([image, other])
    assert compare(one, two) is None
    assert compare(one, 0.7 * one + 30) is not None


def test_the_stain_is_held_against_the_picture_that_has_it():
    planted = scenes(5, 80)
    answers = []
    for image in planted.images:
        covered = image.copy()
        covered[12:44, 30:70] = planted.rng.choice([0, 255])
        clean, dirty = thumbs_of([image, covered])
        there, back = compare(clean, dirty), compare(dirty, clean)
        if there and back:
            answers.append((stained(clean, dirty, there)[0], stained(dirty, clean, back)[0]))
    assert len(answers) > 60
    assert sum(first == 0 for first, _ in answers) <= 1
    assert sum(second == 1 for _, second in answers) <= 1
    assert sum(first == 1 for first, _ in answers) > 15
    assert sum(second == 0 for _, second in answers) > 15


def test_connected_groups():
    assert connected([(5, 1), (2, 3), (1, 9), (3, 4)]) == [[1, 5, 9], [2, 3, 4]]
    assert connected([]) == []
