import colorsys
import io

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.augment.samples import make_sample
from tfvision.augment import (
    blur,
    brightness,
    channel_gain,
    contrast,
    gamma,
    hsv,
    jpeg_quality,
    negative,
    noise,
    sharpen,
)
from tfvision.augment.smoothing import _mirrored
from tfvision.errors import InputError


def images(op, sample, count=300):
    """The images (count, H, W, C) of as many seeds."""
    pipe = tf.data.Dataset.range(count).map(lambda s: op(sample, tf.stack([s, 11]))["image"])
    return np.stack(list(pipe.as_numpy_iterator()))


def grey(value=0.5):
    return {"image": tf.fill([4, 5, 1], value)}


def test_brightness_adds_one_number_and_clips():
    sample = make_sample(channels=3)
    out = images(brightness(max_delta=0.3), sample)
    delta = np.median(out - sample["image"], axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, np.clip(sample["image"] + delta, 0, 1), atol=1e-6)
    assert -0.3 <= delta.min() < -0.28
    assert 0.28 < delta.max() <= 0.3
    assert (out == 0).any()
    assert (out == 1).any()


def test_contrast_scales_about_the_mean_of_all_channels():
    sample = make_sample(channels=3)
    image = np.asarray(0.4 + 0.2 * sample["image"] * [1.0, 0.5, 0.2], np.float32)
    out = images(contrast(minimum=0.5, maximum=2.0), {"image": tf.constant(image)})
    mean = image.mean()
    factor = out.std(axis=(1, 2, 3), keepdims=True) / image.std()
    np.testing.assert_allclose(out, mean + factor * (image - mean), atol=1e-5)
    assert 0.5 <= factor.min() < 0.53
    assert 1.9 < factor.max() <= 2.0 + 1e-5
    assert abs(np.log(factor).mean()) < 0.1  # flattening as likely as sharpening


def test_contrast_clips():
    image = tf.constant([[[0.0], [1.0]]])
    np.testing.assert_array_equal(contrast(2.0, 2.0)({"image": image}, [0, 0])["image"], image)


def test_gamma_is_a_power_and_keeps_black_and_white():
    sample = make_sample()
    out = images(gamma(minimum=0.5, maximum=2.0), sample)
    exponent = np.log(out[:, 3, 3, 0]) / np.log(sample["image"][3, 3, 0])
    np.testing.assert_allclose(
        out, sample["image"] ** exponent[:, None, None, None], rtol=1e-3, atol=1e-6
    )
    assert 0.5 - 1e-4 <= exponent.min() < 0.53
    assert 1.9 < exponent.max() <= 2.0 + 1e-4
    for value in (0.0, 1.0):
        assert np.all(images(gamma(), grey(value), 5) == value)


def colours():
    """(8, 9, 3): random colours, and black, white, grey, the primaries, one with equal channels."""
    image = np.random.default_rng(4).random((8, 9, 3), dtype=np.float32)
    image[0, :8] = [[0, 0, 0], [1, 1, 1], [0.5] * 3, *np.eye(3), [0.4, 0.4, 0.1], [0.2, 0.9, 0.9]]
    return image


def drawn_hsv(before, after):
    """Turn and factors that a seed drew, read off the random colours by colorsys."""
    one, other = (
        np.array([colorsys.rgb_to_hsv(*pixel) for pixel in image[1:].reshape(-1, 3).tolist()])
        for image in (before, after)
    )
    inside = (other[:, 1:] < 0.999).all(1) & (one[:, 1:] > 0.1).all(1)
    turn = (other[inside, 0] - one[inside, 0] + 0.5) % 1 - 0.5
    return np.median(turn), *np.median(other[inside, 1:] / one[inside, 1:], axis=0)


def test_hsv_against_colorsys_pixel_by_pixel():
    image = colours()
    out = images(hsv(max_hue=0.1, max_saturation=0.5, max_value=0.4), {"image": image}, 60)
    drawn = np.array([drawn_hsv(image, each) for each in out])
    for each, (turn, more, brighter) in zip(out[:12], drawn, strict=False):
        for pixel, found in zip(image.reshape(-1, 3), each.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*pixel.tolist())
            wanted = colorsys.hsv_to_rgb((h + turn) % 1, min(s * more, 1), min(v * brighter, 1))
            np.testing.assert_allclose(found, wanted, atol=2e-5)
    for column, (least, most) in zip(
        drawn.T, ((-0.1, 0.1), (1 / 1.5, 1.5), (1 / 1.4, 1.4)), strict=True
    ):
        spread = most - least
        assert least - 1e-4 <= column.min() < least + 0.2 * spread
        assert most - 0.2 * spread < column.max() <= most + 1e-4
    assert np.all((out >= 0) & (out <= 1))


@pytest.mark.parametrize(
    ("argument", "moved"), [("max_hue", 0), ("max_saturation", 1), ("max_value", 2)]
)
def test_each_argument_of_hsv_moves_its_own_part(argument, moved):
    still = {"max_hue": 0, "max_saturation": 0, "max_value": 0}
    image = colours()
    out = images(hsv(**{**still, argument: 0.3}), {"image": image}, 5)
    for each in out:
        drawn = np.array(drawn_hsv(image, each)) - [0, 1, 1]
        assert abs(drawn[moved]) > 1e-3
        np.testing.assert_allclose(np.delete(drawn, moved), 0, atol=1e-5)


def test_grey_pixels_have_no_hue_and_grey_images_are_refused():
    image = np.repeat(colours()[..., :1], 3, -1)
    out = images(hsv(max_hue=0.5, max_saturation=1.0, max_value=0), {"image": image}, 5)
    np.testing.assert_allclose(out, np.broadcast_to(image, out.shape), atol=1e-6)
    with pytest.raises(InputError, match=r"hsv: changes colours, .* 3 channels, this one has 1"):
        hsv()(make_sample(channels=1), [0, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_channel_gain_multiplies_each_channel_by_one_factor(channels):
    image = 0.1 + 0.3 * colours()[..., :channels]
    out = images(channel_gain(minimum=0.5, maximum=2.0), {"image": image})
    factors = out / image
    np.testing.assert_allclose(factors, factors[:, :1, :1] + 0 * factors, rtol=1e-5)
    factors = factors[:, 0, 0]
    assert 0.5 - 1e-5 <= factors.min() < 0.53
    assert 1.9 < factors.max() <= 2.0 + 1e-5
    if channels == 3:
        assert abs(np.corrcoef(np.log(factors).T)[0, 1]) < 0.2
    bright = channel_gain(2.0, 2.0)({"image": colours()}, [0, 0])["image"]
    np.testing.assert_array_equal(bright, np.minimum(2 * colours(), 1))


def test_noise_has_its_deviation_and_is_fresh_for_every_pixel_and_seed():
    added = images(noise(stddev=0.1), grey()) - 0.5
    assert added.std() == pytest.approx(0.1, rel=0.05)
    assert abs(added.mean()) < 0.005
    assert len(np.unique(added)) > 0.99 * added.size


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_against_opencv(channels):
    """A blurred impulse tells the sigma that was drawn; OpenCV must agree on an image."""
    op = blur(max_sigma=1.5)  # reaches 5 pixels
    impulse = np.zeros([13, 17, channels], np.float32)
    impulse[6, 8] = 1.0
    # The weights at 1 and 3 pixels differ by exp((9 - 1) / (2 sigma^2)).
    spread = images(op, {"image": tf.constant(impulse)}, 200)[:, 6, :, 0]
    clear = np.flatnonzero(spread[:, 11] > 1e-6)
    sigmas = 2 / np.sqrt(np.log(spread[clear, 9] / spread[clear, 11]))
    assert 1.4 < sigmas.max() <= 1.5 + 1e-3
    sample = make_sample(13, 17, channels=channels)
    image = sample["image"].numpy()
    for s, sigma in zip(clear[:5], sigmas, strict=False):
        expected = cv2.GaussianBlur(image, (11, 11), sigma, borderType=cv2.BORDER_REFLECT_101)
        out = op(sample, tf.constant([s, 11]))["image"]
        np.testing.assert_allclose(out, expected.reshape(image.shape), atol=2e-5)


def test_blur_of_a_fixed_kernel_against_opencv():
    """The kernel of digit readers: 3 pixels, a deviation of 0.3 to 0.8."""
    op = blur(max_sigma=0.8, min_sigma=0.3, kernel=3)
    impulse = np.zeros([5, 5, 1], np.float32)
    impulse[2, 2] = 1.0
    spread = images(op, {"image": tf.constant(impulse)}, 200)[..., 0]
    assert np.all(spread[:, [0, 4]] == 0)
    sigmas = np.sqrt(0.5 / np.log(spread[:, 2, 2] / spread[:, 2, 1]))
    assert 0.3 - 1e-4 <= sigmas.min() < 0.31
    assert 0.79 < sigmas.max() <= 0.8 + 1e-4
    sample = make_sample(13, 17, channels=3)
    for s, sigma in enumerate(sigmas[:5]):
        expected = cv2.GaussianBlur(
            sample["image"].numpy(), (3, 3), float(sigma), borderType=cv2.BORDER_REFLECT_101
        )
        out = op(sample, tf.constant([s, 11], tf.int64))["image"]
        np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (2, 3), (7, 5)])
def test_blur_mirrors_images_of_any_size(height, width):
    image = make_sample(height, width)["image"].numpy()
    padded = np.pad(image, [(9, 9), (9, 9), (0, 0)], mode="reflect")
    rows = tf.gather(image, _mirrored(height, 9), axis=0)
    np.testing.assert_array_equal(tf.gather(rows, _mirrored(width, 9), axis=1), padded)
    constant = {"image": tf.fill([height, width, 2], 0.25)}
    np.testing.assert_allclose(images(blur(max_sigma=3), constant, 5), 0.25, atol=1e-6)


def test_negative_twice_is_the_image_again():
    sample = {"image": tf.constant([[[0.0], [0.25], [1.0]]])}
    out = negative(p=1.0)(sample, [0, 0])
    np.testing.assert_array_equal(out["image"][0, :, 0], [1.0, 0.75, 0.0])
    np.testing.assert_array_equal(negative(p=1.0)(out, [0, 0])["image"], sample["image"])


@pytest.mark.parametrize("op", [brightness(), contrast(), gamma(), noise(), blur(), negative(1.0)])
def test_mask_and_boxes_are_not_touched(op):
    sample = make_sample()
    out = op(sample, [0, 0])
    for key in set(sample) - {"image"}:
        assert out[key] is sample[key]


def test_sharpen_is_the_unsharp_mask_of_opencv():
    """image + amount * (image - blurred), its amount solved for from one pixel."""
    sample = make_sample(20, 24, channels=3)
    sample["image"] = 0.3 + 0.4 * sample["image"]
    image = sample["image"].numpy()
    blurred = cv2.GaussianBlur(image, (7, 7), 1.0, borderType=cv2.BORDER_REFLECT_101)
    detail = image - blurred
    place = np.unravel_index(np.abs(detail).argmax(), detail.shape)
    out = images(sharpen(max_amount=0.8, sigma=1.0, p=1.0), sample, 60)
    amounts = (out[(..., *place)] - image[place]) / detail[place]
    for sharp, amount in zip(out, amounts, strict=True):
        np.testing.assert_allclose(sharp, np.clip(image + amount * detail, 0, 1), atol=1e-5)
    assert 0 <= amounts.min() < 0.1
    assert 0.7 < amounts.max() <= 0.8 + 1e-4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [5, 40, 90])
def test_jpeg_quality_is_that_of_pillow(channels, quality):
    """Both use libjpeg-turbo, maybe of two versions: at most two of 255 levels apart."""
    smooth = cv2.resize(make_sample(5, 6, channels)["image"].numpy(), (37, 29))
    smooth = smooth.reshape(29, 37, channels)
    levels = np.rint(smooth * 255).astype(np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(levels[..., 0] if channels == 1 else levels)
    picture.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(buffer), np.float32).reshape(29, 37, channels)
    op = jpeg_quality(minimum=quality, maximum=quality, p=1.0)
    out = op({"image": tf.constant(smooth)}, [0, 1])["image"].numpy() * 255
    np.testing.assert_allclose(out, np.rint(out), atol=1e-4)  # 256 levels
    assert np.abs(out - expected).max() <= 2
    assert np.abs(out - levels).mean() > 0.2  # something was lost


def test_jpeg_qualities_are_whole_numbers_of_the_range():
    sample = make_sample(16, 16)
    all_of_them = {
        images(jpeg_quality(minimum=q, maximum=q, p=1.0), sample, 1).tobytes() for q in (40, 41, 42)
    }
    assert len(all_of_them) == 3
    drawn = images(jpeg_quality(minimum=40, maximum=42, p=1.0), sample, 40)
    assert {image.tobytes() for image in drawn} == all_of_them


def test_jpeg_holds_one_or_three_channels():
    with pytest.raises(InputError, match="1 or 3 channels, this one has 4"):
        jpeg_quality(p=1.0)({"image": tf.zeros([4, 4, 4])}, [0, 0])
