"""Stains: patches of one colour that nothing else in the set has, without a twin and with one."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from tests.data.audit.planted import scenes
from tfvision.data.audit import odd_patches
from tfvision.data.audit.audit import audit
from tfvision.data.scan.patches import find_patches
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource

SIDE = 80
FORMS = ("disc", "bar", "triangle", "stroke")


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """(60, 80, 80, 3) uint8: pieces of two photographs, none like another."""
    pieces = []
    for photo in load_sample_images().images:
        photo = cv2.resize(photo, (6 * SIDE, 5 * SIDE), interpolation=cv2.INTER_AREA)
        tiles = photo.reshape(5, SIDE, 6, SIDE, 3).transpose(0, 2, 1, 3, 4)
        pieces += list(tiles.reshape(-1, SIDE, SIDE, 3))
    return np.stack(pieces)


def form(name: str) -> np.ndarray:
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    if name == "disc":
        cv2.circle(drawn, (50, 28), 14, 1, -1)
    elif name == "bar":
        drawn[34:54, 10:46] = 1
    elif name == "triangle":
        cv2.fillPoly(drawn, [np.array([[12, 62], [58, 70], [38, 20]])], 1)
    else:
        cv2.polylines(drawn, [np.array([[8, 10], [38, 50], [70, 25]])], False, 1, 6)
    return drawn.astype(bool)


def covered(image: np.ndarray, name: str, colour, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    noisy = np.asarray(colour) + np.random.default_rng(seed).normal(0, noise, image.shape)
    mixed = np.where(form(name)[..., None], noisy, image)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def found(images, masks=None):
    part = {"images": np.asarray(images)} | ({} if masks is None else {"masks": np.asarray(masks)})
    source = ArraySource({"": part})
    return [f for f in audit(source, scan(source, cache=False)).findings if f.kind != "chain"]


def test_pieces_of_photographs_raise_no_alarm(photographs):
    assert not any(finding.suspects for finding in found(photographs))


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_stains_are_named_without_a_twin_and_nothing_else_is(photographs, noise):
    images, colours = photographs.copy(), [(250, 0, 200), (0, 240, 60), (90, 20, 250), (128,) * 3]
    names = FORMS if not noise else FORMS[:3]  # strokes are too thin for noise to be measured
    least = len(names) - bool(noise)
    stained = {7 * k + 3: (name, colours[k]) for k, name in enumerate(names)}
    for i, (name, colour) in stained.items():
        images[i] = covered(images[i], name, colour, noise, seed=i)
    findings = [f for f in found(images) if f.suspects]
    assert {f.kind for f in findings} == {"stained_image"}
    assert {f.members for f in findings} == {f.suspects for f in findings}
    named = {i for f in findings for i in f.suspects}
    assert named <= set(stained)
    assert len(named) >= least
    for f in findings:
        assert "no other picture has a patch like it, of 59" in f.reading
        assert ("but for noise" in f.reading) == bool(noise)
        assert f.evidence["false_alarms_at_most"] == pytest.approx(1 / 60, abs=1e-4)


def test_with_a_twin_the_stained_one_is_named_and_not_the_pair(photographs):
    images = list(photographs)
    masks = np.random.default_rng(0).integers(0, 3, (61, SIDE, SIDE))
    images.append(covered(images[20], "bar", (250, 0, 200)))
    masks[60] = masks[20]
    (finding,) = [f for f in found(images, masks) if f.suspects]
    assert (finding.kind, finding.members, finding.suspects) == ("near_duplicates", (20, 60), (60,))
    assert "suspected to be the altered copy" in finding.reading


def test_a_stain_that_lets_through_is_told_from_its_twin_by_what_is_fainter():
    planted = scenes(8, 40)
    for i in range(6):
        inside = np.zeros((64, 128), bool)
        inside[14:50, 30 + 5 * i : 70 + 5 * i] = True
        faint = np.where(inside, 0.3 * planted.images[i] + 0.7 * 128, planted.images[i])
        planted.faulty.add(planted.add(faint.astype(np.uint8), planted.masks[i]))
    named = {i for f in planted.audited().findings for i in f.suspects}
    assert named <= planted.faulty
    assert len(named) >= 5


def test_a_patch_that_others_have_is_none_and_equal_pictures_are_one(photographs):
    images = photographs.copy()
    for i in (2, 12, 22, 32):
        images[i] = covered(images[i], FORMS[i % 4], (250, 0, 200))
    assert not any(f.kind == "stained_image" for f in found(images))
    images = photographs.copy()
    for i in (2, 12, 22, 32):
        images[i] = covered(images[2] if i > 2 else images[i], "bar", (250, 0, 200))
    assert [f.members for f in found(images) if f.kind == "stained_image"] == [
        (2,),
        (12,),
        (22,),
        (32,),
    ]


def test_soft_bars_and_small_sets_are_left_alone(photographs):
    soft, bar = photographs.copy(), photographs.copy()
    y, x = np.mgrid[:SIDE, :SIDE]
    glow = 255 * np.clip(1.6 - np.hypot(y - 30, x - 30) / 14, 0, 1)[..., None]
    soft[5] = np.maximum(soft[5], glow)  # overexposed: it fades out
    bar[5, :9] = (250, 0, 200)  # from side to side: a rim
    few = photographs[: odd_patches.ENOUGH - 1].copy()
    few[5] = covered(few[5], "bar", (250, 0, 200))
    for images in (soft, bar, few):
        assert not any(f.kind == "stained_image" for f in found(images))


def test_where_patches_of_their_own_colour_are_usual_nobody_is_named(photographs):
    images, rng = photographs.copy(), np.random.default_rng(1)
    for i in range(0, 60, 2):
        images[i] = covered(images[i], FORMS[i % 4], rng.uniform(0, 255, 3))
    assert not any(f.kind == "stained_image" for f in found(images))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_patch_is_measured_whatever_the_dtype(photographs, dtype):
    image = covered(photographs[9], "bar", (10, 200, 90))
    image[0, 0], image[0, 1] = 0, 255  # so that stretching changes nothing
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    patch = find_patches((image * np.float64(scale)).astype(dtype))[0]
    assert not patch.noisy
    assert patch.colour == pytest.approx((10, 200, 90), abs=1)
    assert patch.share == pytest.approx(19 * 35 / SIDE**2, abs=1e-4)
    assert (patch.row, patch.column) == pytest.approx((43, 27), abs=1)
    assert patch.contrast > 30


@pytest.mark.parametrize("shape", [(5, 9, 3), (16, 16, 1), (40, 700, 4), (900, 1100, 2)])
def test_pictures_of_any_size(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert not any(patch.contrast > 24 for patch in find_patches(noise))
    flat = find_patches(np.full(shape, 7, np.uint8))
    assert all(patch.across and patch.colour[0] == 7 for patch in flat)
    assert bool(flat) == (min(shape[:2]) >= 16)


# ---------------------------------------------------------------- noise


@pytest.fixture(scope="module")
def grey(photographs) -> np.ndarray:
    """(60, 80, 80, 1) uint8: the pieces in grey."""
    return photographs.mean(axis=3, keepdims=True).astype(np.uint8)


def suspects(images) -> set[int]:
    return {i for f in found(images) if f.kind == "stained_image" for i in f.suspects}


@pytest.mark.parametrize("noise", [1.5, 3.0, 6.0])
def test_stains_with_noise_are_named_in_grey_pictures_too(grey, noise):
    images = grey.copy()
    stained = {5: ("disc", 40), 19: ("bar", 128), 33: ("triangle", 215), 51: ("bar", 170)}
    for i, (name, tone) in stained.items():
        images[i] = covered(images[i], name, (tone,), noise, seed=i)
    assert not suspects(grey)
    named = suspects(images)
    assert named <= set(stained)
    assert len(named) >= 3


def test_shades_and_noise_that_is_not_white_are_no_stains(grey):
    """A patch that grows lighter, one of blurred noise, one of strong noise."""
    images, y = grey.copy(), np.mgrid[:SIDE, :SIDE][0]
    rng = np.random.default_rng(4)
    white = rng.normal(0, 3, (3, SIDE, SIDE))
    patches = [
        100 + 1.5 * (y - 40) + white[0],
        100 + 3 * cv2.GaussianBlur(white[1], (0, 0), 1.0),
        100 + 4 * white[2],
    ]
    for i, patch in zip((5, 19, 33), patches, strict=True):
        mixed = np.where(form("bar"), patch, images[i, ..., 0])
        images[i, ..., 0] = np.clip(np.rint(mixed), 0, 255)
    assert not suspects(images)


def test_where_pictures_have_noise_themselves_it_is_no_sign(grey):
    """Flat tones under noise, as a cheap camera in the dark gives them: any may be alone."""
    rng = np.random.default_rng(0)
    images = grey.copy()
    for i in range(0, 60, 3):
        images[i] = covered(images[i], FORMS[i % 3], (rng.uniform(20, 235),), 4.0, seed=i)
    assert not suspects(images)


def test_what_crosses_the_picture_is_a_stain_unless_it_runs_along_a_side(photographs):
    images = photographs.copy()
    images[11, :, 30:46] = images[23, 36:52] = (250, 0, 200)  # a pen stroke from side to side
    images[23, 36:52, ::7] = (0, 0, 0)
    images[35, -12:] = (20, 250, 20)  # a bar at the rim, as padding is
    assert suspects(images) == {11}


@pytest.mark.parametrize("side", [32, 64])
def test_drawn_objects_of_a_colour_each_raise_no_alarm(side):
    """Discs and boxes under noise, on soft grounds: in small pictures few are large enough."""
    rng, images = np.random.default_rng(2), []
    y, x = np.mgrid[:side, :side]
    for i in range(30):
        coarse = rng.integers(20, 110, (4, 4, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(int)
        radius = rng.integers(side // 6, side // 4)
        row, column = rng.integers(radius, side - radius, 2)
        away = (np.hypot, lambda a, b: np.maximum(abs(a), abs(b)))[i % 2](y - row, x - column)
        base = np.array([(230, 60, 50), (60, 200, 70)][i % 2])
        image[away <= radius] = base + rng.integers(-20, 21, 3)
        images.append(np.clip(image + rng.integers(-8, 9, image.shape), 0, 255).astype(np.uint8))
    assert not suspects(np.stack(images))
