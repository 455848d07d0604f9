"""Tiles give what the whole image gives, as far as the model sees."""

import itertools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfvision.engine.inference import Inference
from tfvision.engine.tiles import Tiles, fades, spans
from tfvision.engine.tta import TestTimeAugmentation, make_views
from tfvision.registry import Spec

SIDES = [  # length, tile, overlap, stride
    (100, 32, 8, 1),
    (97, 32, 16, 4),
    (160, 100, 50, 1),  # three tiles share pixels
    (33, 32, 8, 8),
    (1000, 64, 0, 16),
    (70, 33, 9, 2),
]


class Recording:
    """A model that says `answer(image)` and keeps the shapes it was given."""

    def __init__(self, answer=tf.identity):
        self.answer, self.shapes = answer, []

    def serve_float(self, image):
        self.shapes.append(tuple(image.shape))
        return {"probabilities": self.answer(image)}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def ask(predictor, image):
    return predictor.serve_float(tf.constant(image))["probabilities"].numpy()


@pytest.mark.parametrize(("length", "tile", "overlap", "stride"), SIDES)
def test_tiles_lie_on_the_stride_and_overlap_enough(length, tile, overlap, stride):
    found = spans(length, tile, overlap, stride)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(begin % stride == 0 for begin, _ in found)
    assert all(end - begin == tile for begin, end in found[:-1])
    assert tile - stride < found[-1][1] - found[-1][0] <= tile
    shared = [one[1] - other[0] for one, other in itertools.pairwise(found)]
    assert min(shared) >= overlap
    step = (tile - overlap) // stride * stride
    assert (len(found) - 2) * step < length - tile <= (len(found) - 1) * step  # no tile too many


def test_an_image_within_a_tile_is_one_tile():
    assert spans(20, 32, 8, 4) == [(0, 20)]
    assert spans(32, 32, 8, 4) == [(0, 32)]


@pytest.mark.parametrize(("length", "tile", "overlap", "stride"), SIDES)
def test_weights_sum_to_one_and_leave_the_outer_quarter_of_the_overlap_out(
    length, tile, overlap, stride
):
    places = spans(length, tile, overlap, stride)
    total = np.zeros(length)
    for i, ((begin, end), weight) in enumerate(zip(places, fades(places), strict=True)):
        assert weight.dtype == np.float32
        assert len(weight) == end - begin
        assert weight.min() >= 0
        total[begin:end] += weight
        margin = overlap // 4
        if i:
            assert not weight[:margin].any()
        if i + 1 < len(places):
            assert not weight[len(weight) - margin :].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def net(*, pooled=False):
    """A net that sees 3 pixels far; pooled: 2 + 4 through a pooling, at a stride of 2."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    if pooled:
        x = layers.MaxPooling2D()(x)
        x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        x = layers.UpSampling2D()(x)
    x = layers.Conv2D(3, 1 if pooled else 3, padding="same")(x)
    model = keras.Model(image, x * 5)
    model.stride = 2 if pooled else 1
    return Inference(model, channels=2)


@pytest.mark.parametrize("size", [(61, 47), (30, 90)])
def test_tiles_agree_with_the_whole_image_where_the_model_sees_no_further(size):
    inference, image = net(), noise(2, *size, 2)
    want = ask(inference, image)
    found = ask(Tiles(inference, tile=(32, 28), overlap=12, batch_size=2), image)  # 12 / 4 = 3
    np.testing.assert_allclose(found, want, atol=2e-6)
    less = ask(Tiles(inference, tile=(32, 28), overlap=4, batch_size=2), image)
    assert np.abs(less - want).max() > 1e-3  # so the model does see that far


def test_tiles_of_a_pooled_model_begin_at_its_stride():
    inference, image = net(pooled=True), noise(1, 63, 75, 2)
    want = ask(inference, image)  # padded below and to the right to the stride
    found = ask(Tiles(inference, tile=(48, 49), overlap=24, stride=2), image)
    np.testing.assert_allclose(found, want, atol=2e-6)
    astray = ask(Tiles(inference, tile=(48, 49), overlap=24, stride=1), image)
    assert np.abs(astray - want).max() > 1e-3


def test_there_is_no_seam_where_tiles_disagree():
    """Every tile says another number: the result goes from one to the other without a jump."""
    numbers = iter(range(100))

    def answer(image):
        return tf.ones_like(image) * tf.constant(
            [float(next(numbers) % 2) for _ in image], shape=(len(image), 1, 1, 1)
        )

    found = ask(Tiles(Recording(answer), tile=(32, 32), overlap=16), noise(1, 32, 120, 1))
    row = found[0, 5, :, 0]
    assert row.min() == 0
    assert row.max() == 1
    assert np.abs(np.diff(row)).max() <= 1 / 8 + 1e-6  # over half of an overlap of 16 or more


def test_bands_have_every_row_once_and_hold_a_row_of_tiles():
    image = np.random.default_rng(0).integers(0, 256, (101, 70, 3), dtype=np.uint8)
    model = Recording()
    tiles = Tiles(model, tile=(32, 24), overlap=10, batch_size=3)
    row, parts = 0, []
    for first, band in tiles.bands(image, 1 / 255):
        assert first == row
        assert 0 < len(band) <= 32
        row += len(band)
        parts.append(band)
    assert row == 101
    np.testing.assert_allclose(np.concatenate(parts), image / np.float32(255), atol=1e-6)
    assert {shape[0] for shape in model.shapes} <= {1, 2, 3}
    assert max(shape[0] for shape in model.shapes) == 3
    assert all(shape[1] <= 32 and shape[2] <= 24 for shape in model.shapes)


def test_an_image_within_a_tile_is_predicted_as_it_is():
    model = Recording()
    image = noise(4, 20, 24, 1)
    np.testing.assert_array_equal(ask(Tiles(model, tile=(24, 24)), image), image)
    assert model.shapes == [(4, 20, 24, 1)]


def test_views_go_inside_the_tiles():
    image = noise(1, 50, 67, 2)
    chains = [[Spec(name="flip_lr")], [Spec(name="shift", pixels=3)]]
    views = TestTimeAugmentation(Recording(), make_views(chains))
    found = ask(Tiles(views, tile=(24, 32), overlap=8), image)
    np.testing.assert_allclose(found, image, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": (32, 64), "overlap": 17}, "--overlap must be 0 to 16, half of the tile of 32x64"),
        ({"tile": (32, 32), "overlap": -1}, "Received: -1"),
        ({"tile": (16, 40), "stride": 16}, "at least 16 pixels, the stride of this model"),
    ],
)
def test_tiles_that_cannot_be_laid_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Tiles(Recording(), **options)


@pytest.mark.slow
def test_an_image_of_4096_pixels_a_side_stays_under_the_bound():
    """The benchmark's own exit code; it measures in a process of its own."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "benchmarks/tiles.py", "--only", "labels"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predict --tile 512 " in done.stdout
