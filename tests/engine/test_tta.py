"""Views are un-done exactly, and what has no view does not count."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.engine import VIEWS
from tfvision.engine.inference import Inference
from tfvision.engine.tta import Resized, TestTimeAugmentation, make_views
from tfvision.models import MODELS
from tfvision.registry import Spec, parse_call

SIZES = [(8, 8), (5, 7), (13, 4)]


class Identity:
    """A model whose probabilities are the image."""

    def serve_float(self, image):
        return {"probabilities": tf.identity(image)}


class Counting:
    """A model that says 0 everywhere when first asked, then 1, then 2."""

    def __init__(self):
        self.calls = 0

    def serve_float(self, image):
        self.calls += 1
        return {"probabilities": tf.fill(image.shape, float(self.calls - 1))}


def views(text):
    return make_views([[Spec(**parse_call(one)) for one in text.split("+")]])


def picture(height, width, channels=3, seed=0):
    """Probabilities (2, H, W, C) float32, no two pixels alike."""
    values = np.random.default_rng(seed).uniform(0.1, 1, (2, height, width, channels))
    return (values / values.sum(-1, keepdims=True)).astype(np.float32)


def undone(view, image):
    """What a view gives back of an image, and the weight (H, W) of each pixel."""
    seen = view.apply(tf.constant(image))
    values = tf.concat([seen, tf.ones_like(seen[..., :1])], -1)
    back = view.undo(values, image.shape[1:3]).numpy()
    assert back.shape[:3] == image.shape[:3]
    return back[..., :-1], back[0, ..., -1]


def test_the_table_has_the_four_views():
    assert list(VIEWS) == ["flip_lr", "flip_ud", "shift", "scale"]
    counts = [len(views(f"{name}")) for name in ("flip_lr", "flip_ud", "shift(pixels=2)")]
    assert counts == [1, 1, 4]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "text", ["flip_lr", "flip_ud", "flip_lr+flip_ud", "shift(pixels=3)", "shift(pixels=2)+flip_lr"]
)
def test_flips_and_shifts_are_undone_exactly(text, size):
    image = picture(*size)
    for view in views(text):
        found, weight = undone(view, image)
        known = weight == 1
        np.testing.assert_array_equal(weight[~known], 0)
        np.testing.assert_array_equal(found[:, known], image[:, known])
        lost = size[0] * size[1] - known.sum()
        pixels = {"shift(pixels=3)": 3, "shift(pixels=2)+flip_lr": 2}.get(text, 0)
        assert lost in {pixels * size[0], pixels * size[1]}


def test_views_show_what_their_names_say():
    image = picture(5, 7)
    np.testing.assert_array_equal(views("flip_lr")[0].apply(image), image[:, :, ::-1])
    np.testing.assert_array_equal(views("flip_ud")[0].apply(image), image[:, ::-1])
    wide = np.pad(image, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="symmetric")
    want = [wide[:, 2:-2, 4:], wide[:, 2:-2, :-4], wide[:, 4:, 2:-2], wide[:, :-4, 2:-2]]
    for view, moved in zip(views("shift(pixels=2)"), want, strict=True):
        np.testing.assert_array_equal(view.apply(tf.constant(image)), moved)
    scaled = views("scale(factor=0.75)")[0].apply(tf.constant(image))
    assert scaled.shape == (2, 4, 5, 3)


def test_pixels_without_a_view_do_not_count():
    predictor = TestTimeAugmentation(Counting(), views("shift(pixels=1)"))
    image = tf.zeros((1, 4, 5, 2))
    found = predictor.serve_float(image)["probabilities"].numpy()[0, ..., 0]
    # 0 the image itself; moved left 1, which hides the left column; right 2, up 3, down 4
    seen = np.ones((5, 4, 5))
    seen[1, :, 0] = seen[2, :, -1] = seen[3, 0] = seen[4, -1] = 0
    want = (seen * np.arange(5)[:, None, None]).sum(0) / seen.sum(0)
    np.testing.assert_allclose(found, want, rtol=1e-6)
    assert found[1, 2] == pytest.approx(2)
    assert found[0, 0] == pytest.approx(2)
    assert found[1, 0] == pytest.approx((0 + 2 + 3 + 4) / 4)


@pytest.mark.parametrize("size", [(13, 9), (8, 8), (1, 1), (2, 3)])
@pytest.mark.parametrize("factor", [0.25, 0.75, 1.3, 4.0])
def test_a_constant_image_is_the_same_after_any_scale(size, factor):
    image = np.full((1, *size, 2), 0.3, np.float32)
    found, weight = undone(views(f"scale(factor={factor})")[0], image)
    np.testing.assert_allclose(found, image, atol=1e-6)
    np.testing.assert_allclose(weight, 1, atol=1e-6)


@pytest.mark.parametrize("factor", [0.75, 0.5])
def test_a_smooth_image_survives_a_scale_within_the_error_of_interpolation(factor):
    """Shrinking averages with a triangle of half-width h, growing interpolates at distance h.

    h = 1 / factor pixels; their errors are at most h^2 / 12 and h^2 / 8 of the largest second
    derivative. A grid off by a quarter of a pixel would miss that.
    """
    period = 40
    x = 2 * np.pi * np.arange(120) / period
    image = np.broadcast_to(0.5 + 0.4 * np.sin(x), (1, 24, 120))[..., None].astype(np.float32)
    found, _ = undone(views(f"scale(factor={factor})")[0], image)
    second = 0.4 * (2 * np.pi / period) ** 2
    bound = (1 / 12 + 1 / 8) * second / factor**2
    inner = slice(8, -8)  # at the borders the image is continued by its last value
    assert np.abs(found - image)[:, :, inner].max() < bound
    assert bound < 0.25 * 0.4 * 2 * np.pi / period


@pytest.mark.parametrize("text", ["flip_lr+scale(factor=0.6)", "scale(factor=0.6)+flip_lr"])
def test_chained_views_come_back_at_the_right_size_and_place(text):
    image = picture(11, 14)
    found, weight = undone(views(text)[0], image)
    alone, _ = undone(views("scale(factor=0.6)")[0], image)
    np.testing.assert_allclose(found, alone, atol=1e-6)
    np.testing.assert_allclose(weight, 1, atol=1e-6)


def test_a_chain_has_every_combination_of_its_views():
    assert len(views("shift(pixels=1)+flip_lr")) == 4
    assert len(views("shift(pixels=1)+shift(pixels=2)")) == 16


@pytest.mark.parametrize("size", SIZES)
def test_an_identity_model_stays_the_identity(size):
    image = picture(*size)
    chosen = [*views("flip_lr"), *views("flip_ud"), *views("shift(pixels=3)")]
    predictor = TestTimeAugmentation(Identity(), chosen)
    found = predictor.serve_float(tf.constant(image))["probabilities"].numpy()
    np.testing.assert_allclose(found, image, rtol=3e-7)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return MODELS["unet"]((None, None, 1), 3, width=4, depth=1, normalization="group")


def test_the_average_is_that_of_the_probabilities(model):
    inference = Inference(model, channels=1)
    image = picture(9, 12, channels=1) * 5

    def ask(x):
        return inference.serve_float(tf.constant(x))["probabilities"].numpy()

    chosen = [*views("flip_lr"), *views("flip_ud")]
    predictor = TestTimeAugmentation(inference, chosen)
    found = predictor.serve_float(tf.constant(image))["probabilities"].numpy()
    parts = [ask(image), ask(image[:, :, ::-1])[:, :, ::-1], ask(image[:, ::-1])[:, ::-1]]
    np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-6)
    assert np.abs(parts[0] - parts[1]).max() > 1e-3  # the model does not do it by itself


def test_views_of_a_resized_run_are_made_at_the_size_of_its_model(model):
    image = tf.constant(picture(9, 13, channels=1))
    inside = Inference(model, channels=1)
    whole = Inference(model, channels=1, size=(16, 20)).serve_float(image)["probabilities"]
    without = Resized(TestTimeAugmentation(inside, []), (16, 20)).serve_float(image)
    np.testing.assert_allclose(without["probabilities"], whole, atol=1e-6)
    seen = []

    class Watched:
        def serve_float(self, x):
            seen.append(tuple(x.shape[1:3]))
            return inside.serve_float(x)

    predictor = TestTimeAugmentation(Watched(), views("scale(factor=0.5)"))
    found = Resized(predictor, (16, 20)).serve_float(image)["probabilities"]
    assert seen == [(16, 20), (8, 10)]
    assert found.shape == whole.shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip_rl", "Unknown view: 'flip_rl'. Did you mean 'flip_lr'"),
        ("shift", r"view `shift` needs pixels\. Write shift\(pixels=\.\.\.\)"),
        ("shift(pixel=2)", "Unknown argument of view `shift`: 'pixel'. Did you mean 'pixels'"),
        ("shift(pixels=0)", r"whole number of at least 1\. Received: 0"),
        ("shift(pixels=1.5)", "Received: 1.5"),
        ("scale(factor=1)", r"from 0\.25 to 4, other than 1\. Received: 1\."),
        ("scale(factor=9)", "Received: 9"),
        ("flip_lr(p=1)", "Unknown argument of view `flip_lr`: 'p'"),
    ],
)
def test_a_wrong_view_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        views(text)


def test_a_shift_out_of_sight_is_refused():
    predictor = TestTimeAugmentation(Identity(), views("shift(pixels=5)"))
    with pytest.raises(ValueError, match=r"shift\(pixels=5\) moves an image of 8x5 out of sight"):
        predictor.serve_float(tf.zeros((1, 8, 5, 1)))
