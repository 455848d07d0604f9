"""Regions of a picture that are one colour throughout, as a stain or a pen stroke is.

Two kinds are looked for: *flat* ones, whose pixels are all equal, and *noisy* ones, which are
constant but for white noise: means over 5x5 pixels vary no more than those of white noise would,
in each place and over the whole region, and neighbouring pixels do not go together. What is
photographed varies at every scale, so it seldom has either, but for what
is over- or underexposed, or an empty background.
"""

from dataclasses import dataclass

import cv2
import numpy as np

AREA = 160 * 160  # pixels of the picture that is looked at, at most
SMALLEST = 16  # pixels a side, below which nothing is looked for
MOST = 4  # patches of a kind that are kept, the largest ones
LEAST = 0.01  # share of the picture; half of it for noisy ones, whose rims are not seen
WINDOW = 5  # pixels a side, over which noise is measured
WHITE = 0.2  # variance of 3x3 means against that of the rest; white noise has about 0.1
ROUNDING = 0.15  # variance of 3x3 means that whole grey levels may have by themselves
NOISE = 9.0  # grey levels; more is no patch
FEWEST = 80  # pixels looked at, from which noise is told from fine texture
SMALL = 25 * FEWEST  # pixels of a picture, below which only large regions of noise could be told
LOOKED_AT = 8  # regions of noise that are measured, the largest ones
MEANS, TOGETHER = (0.55, 1.9), 0.25  # of noise that may be white, see `_whiteness`
WHITE_MEANS, WHITE_TOGETHER = (0.7, 1.3), 0.13  # of noise that surely is
FAINTEST, STRONGEST = 0.4, 6.4  # grey levels of it; what was rounded or made smaller has less


@dataclass(frozen=True)
class Patch:
    """Attributes:
    noisy: Whether it is constant but for noise; else all its pixels are equal.
    share: Of the picture's pixels.
    colour: Mean red, green, blue, 0..255; three times the grey level where there is one channel.
    contrast: Median difference of the pixels about it from its colour, in the channel where
        it is largest: low where the patch fades out, as overexposed places do.
    row, column: Its centre, in pixels of the image.
    white: Whether it is surely white noise; of a flat one False.
    across: Whether it reaches from one side of the picture to the opposite one, and fills more than
        half of one side, as ground, sky and padding do.
    """

    noisy: bool
    share: float
    colour: tuple[int, int, int]
    contrast: float
    row: int
    column: int
    across: bool
    white: bool = False


def find_patches(image: np.ndarray) -> tuple[Patch, ...]:
    """The largest patches of an image (H, W, C) as it is stored; of C the first three."""
    picture, exact = _working(image)
    if min(picture.shape[:2]) < SMALLEST:
        return ()
    scale = image.shape[0] / picture.shape[0], image.shape[1] / picture.shape[1]
    flat = _measured(picture, _flat(exact), noisy=False, scale=scale)
    noisy = _measured(picture, _noisy(picture), noisy=True, scale=scale)
    return (*flat, *noisy)


def _working(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture brought to `AREA`: in 0..255, and in the values it is stored in."""
    height, width = image.shape[:2]
    every = max(1, int(np.sqrt(height * width / (16 * AREA))))  # quick, and finer than needed
    exact = image[::every, ::every, :3]
    if exact.dtype not in (np.uint8, np.uint16):
        exact = exact.astype(np.float32)
    shrink = int(np.ceil(np.sqrt(exact[..., 0].size / AREA)))  # whole, as that is quick too
    if shrink > 1:
        size = max(1, exact.shape[1] // shrink), max(1, exact.shape[0] // shrink)
        exact = exact[: size[1] * shrink, : size[0] * shrink]
        exact = cv2.resize(np.ascontiguousarray(exact), size, interpolation=cv2.INTER_AREA)
    exact = exact.reshape(*exact.shape[:2], -1)
    if exact.dtype == np.uint8:
        return exact, exact
    values = exact.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return (values - low) * np.float32(255 / max(high - low, 1e-12)), exact


def _flat(picture: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 1 at the upper left corner of each 2x2 pixels that are equal."""
    flat = np.ones((picture.shape[0] - 1, picture.shape[1] - 1), bool)
    for channel in cv2.split(picture):
        right, down = channel[:, 1:] == channel[:, :-1], channel[1:] == channel[:-1]
        flat &= right[:-1] & right[1:] & down[:, :-1]
    return np.pad(flat, (0, 1)).astype(np.uint8)


def _noisy(picture: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 1 where the pixels about are constant but for noise."""
    channels, size = picture.shape[2], (WINDOW, WINDOW)
    coarse, fine, between = 0.0, 0.0, 0.0
    for channel in cv2.split(picture.astype(np.float32)):
        smooth = cv2.blur(channel, (3, 3))
        rest, mean = channel - smooth, cv2.blur(smooth, size)
        fine, coarse, between = fine + rest * rest, coarse + smooth * smooth, between + mean * mean
    fine, coarse = cv2.blur(fine, size), cv2.blur(coarse, size) - between
    constant = (coarse < WHITE * fine + ROUNDING * channels) & (fine < NOISE**2 * channels)
    return constant.astype(np.uint8)


def _measured(picture: np.ndarray, where: np.ndarray, *, noisy: bool, scale) -> list[Patch]:
    height, width = where.shape
    reach = WINDOW // 2 if noisy else 1
    least = LEAST * height * width
    if noisy:
        if height * width < SMALL:
            return []
        least = max(least / 2, FEWEST)
    if cv2.countNonZero(where) < least:
        return []
    _, numbers, boxes, centres = cv2.connectedComponentsWithStats(where, connectivity=4)
    found = []
    most = LOOKED_AT if noisy else MOST
    for number in 1 + np.argsort(-boxes[1:, cv2.CC_STAT_AREA], kind="stable")[:most]:
        left, top, wide, high, area = boxes[number]
        if area < least or len(found) == MOST:
            break
        margin = reach + 3
        rows = slice(max(0, top - margin), top + high + margin)
        columns = slice(max(0, left - margin), left + wide + margin)
        inside = (numbers[rows, columns] == number).astype(np.uint8)
        cut = picture[rows, columns]
        whole = _grown(inside, reach)
        across = bool(wide >= width - 2 or high >= height - 2) and _along_a_side(numbers == number)
        maybe, white = _whiteness(cut, whole > 0, inside > 0) if noisy else (True, False)
        if not maybe:
            continue
        about = (_grown(whole, 3) - _grown(whole, 1)) > 0
        colour = cut[inside > 0].mean(axis=0)
        apart = np.abs(cut[about] - colour).max(axis=1)
        contrast = float(np.median(apart)) if len(apart) else 0.0
        colour = np.resize(np.rint(colour), 3) if len(colour) < 3 else np.rint(colour)
        share = float(whole.sum() if noisy else area) / (height * width)
        column, row = centres[number]
        found.append(
            Patch(
                noisy,
                round(share, 4),
                tuple(int(value) for value in colour),
                round(contrast, 1),
                row=round(float(row * scale[0])),
                column=round(float(column * scale[1])),
                across=across,
                white=white,
            )
        )
    return found


def _along_a_side(region: np.ndarray) -> bool:
    """Whether a region (h, w) fills more than half of one side, a few pixels within the picture."""
    margin = WINDOW // 2 + 1
    sides = (
        *(region[margin], region[-1 - margin]),
        *(region[:, margin], region[:, -1 - margin]),
    )
    return any(2 * int(side.sum()) > len(side) for side in sides)


def _whiteness(cut: np.ndarray, whole: np.ndarray, inner: np.ndarray) -> tuple[bool, bool]:
    """Whether pixels (h, w, C) of a region may be constant but for white noise, and surely are.

    Two things tell: means over 5x5 pixels vary as those of independent pixels do (a fifth as much
    as the pixels), and pixels side by side do not go together.

    Args:
        cut: The pixels about the region.
        whole, inner: The region (h, w) bool, and its pixels whose window lies within it.
    """
    grey = cut.astype(np.float32).mean(axis=2)
    noise = float(cut[whole].astype(np.float32).std(axis=0).max())
    spread = float(grey[whole].std())
    if noise < FAINTEST or spread == 0:
        return False, False
    means = float(cv2.blur(grey, (WINDOW, WINDOW))[inner].std()) * WINDOW / spread
    rest = grey - grey[whole].mean()
    sides = ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
    together = max(
        float((rest[a] * rest[b])[whole[a] & whole[b]].mean()) / spread**2 for a, b in sides
    )
    maybe = MEANS[0] <= means <= MEANS[1] and together <= TOGETHER
    white = WHITE_MEANS[0] <= means <= WHITE_MEANS[1] and together <= WHITE_TOGETHER
    return maybe, white and noise <= STRONGEST


def _grown(region: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(region, np.ones((2 * pixels + 1,) * 2, np.uint8))
