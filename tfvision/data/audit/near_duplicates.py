"""Pairs of images that are nearly the same, found from 32x32 thumbnails.

All pairs are compared block by block: the correlation of 16 blocks of 8x8, each freed of
its own mean and contrast, so that brightness does not matter and a stain spoils only the
blocks it lies on. Blocks without contrast count for nothing: a blank wall is like any
other. What agrees in enough blocks is then looked at pixel by pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SIDE, BLOCKS = 8, 4  # pixels of a block; blocks a side
CONTRAST = 3.0  # grey levels; the least standard deviation of a block that counts
AGREES = 0.9  # correlation of a block that shows the same
SHARE = 0.36  # of the blocks must agree: a stain over a fifth of the picture may touch 9 of 16
FEWEST = 4  # blocks
ROWS = 512  # images compared with all at a time
SAME = 0.66  # of the picture must be the same
TOLERANCE = (5.0, 0.25)  # grey levels, and standard deviations, that the same may differ by
DETAIL = 0.75  # correlation of what stands out against its surroundings, where both agree


@dataclass(frozen=True)
class Same:
    """How two pictures that show the same differ.

    Attributes:
        gain: Contrast of the second against the first, where they agree.
        altered: (32, 32) bool: the region where they do not.
    """

    gain: float
    altered: np.ndarray


def blocks_of(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of thumbnails (N, 32, 32), each with mean 0 and length 1.

    Returns:
        (16, N, 64) float32, zeros where a block has no contrast; and (N, 16) bool, where
        one has.
    """
    cut = thumbs.reshape(-1, BLOCKS, SIDE, BLOCKS, SIDE).transpose(1, 3, 0, 2, 4)
    cut = cut.reshape(BLOCKS**2, -1, SIDE**2).astype(np.float32)
    cut = cut - cut.mean(axis=2, keepdims=True)
    length = np.linalg.norm(cut, axis=2, keepdims=True)
    counts = length > CONTRAST * SIDE
    return np.where(counts, cut / np.maximum(length, 1e-6), 0), counts[..., 0].T


def candidates(blocks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pairs (P, 2), i < j, that agree in at least `SHARE` of the blocks where either has
    contrast, and in `FEWEST`."""
    number = counts.shape[0]
    solid = counts.astype(np.float32)
    filled = solid.sum(axis=1)
    found = []
    for start in range(0, number, ROWS):
        rows = slice(start, min(start + ROWS, number))
        agreeing = np.zeros((rows.stop - start, number - start), np.uint8)
        for block in blocks:
            agreeing += block[rows] @ block[start:].T > AGREES
        i, j = np.nonzero(agreeing >= FEWEST)
        agree, i, j = agreeing[i, j], i + start, j + start
        either = filled[i] + filled[j] - (solid[i] * solid[j]).sum(axis=1)
        keep = (i < j) & (agree >= SHARE * either)
        found.append(np.stack([i[keep], j[keep]], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def similarity(blocks: np.ndarray, counts: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Mean correlation of the blocks where either image has contrast, (P,), -1..1."""
    total = np.zeros(len(i), np.float32)
    for block in blocks:
        total += (block[i] * block[j]).sum(axis=1)
    return total / np.maximum((counts[i] | counts[j]).sum(axis=1), 1)


def detail_where_alike(
    thumbs: np.ndarray, blocks: np.ndarray, i: np.ndarray, j: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of detail, of what stands out against its 3x3 surroundings.

    Two cells, or two slices, have light spread alike, but not this.

    Returns:
        Over the whole picture, and over the blocks that agree: (P,) each, -1..1.
    """
    detail = np.stack([_detail(thumb) for thumb in thumbs])
    cut = detail.reshape(-1, BLOCKS, SIDE, BLOCKS, SIDE).transpose(1, 3, 0, 2, 4)
    cut = cut.reshape(BLOCKS**2, -1, SIDE**2)
    sums = np.zeros((2, 3, len(i)), np.float32)  # whole, alike; products, squares, squares
    for block, part in zip(blocks, cut, strict=True):
        a, b = part[i], part[j]
        products = np.stack([(a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1)])
        sums[0] += products
        sums[1] += products * ((block[i] * block[j]).sum(axis=1) > AGREES)
    both = sums[:, 0] / np.maximum(np.sqrt(sums[:, 1] * sums[:, 2]), 1e-6)
    return both[0], both[1]


def compare(first: np.ndarray, second: np.ndarray) -> Same | None:
    """How two thumbnails (32, 32) of one picture differ; None where they show two.

    The one must be the other but for gain and offset, in detail too, everywhere except in
    one compact region of at most `1 - SAME` of the picture. So two scenes before one wall,
    which differ here and there, are not the same, nor are two pictures alike only in how
    light is spread.
    """
    agree = np.ones(first.shape, bool)
    for _ in range(8):  # least trimmed squares: fit, keep the two thirds that fit best, again
        a, b = first[agree], second[agree]
        spread = a.std()
        if spread < CONTRAST:
            return None
        gain = float(((a - a.mean()) * (b - b.mean())).mean() / spread**2)
        apart = np.abs(second - b.mean() - gain * (first - a.mean()))
        kept = apart <= np.quantile(apart, SAME)
        if (kept == agree).all():
            break
        agree = kept
    if not 0.2 < gain < 5:
        return None
    limit = max(TOLERANCE[0] * max(gain, 1), TOLERANCE[1] * float(second[agree].std()))
    altered = _opened(apart > limit)
    if altered.mean() > 1 - SAME:
        return None
    if altered.any():
        region = grown(largest(grown(altered)))
        if (altered & region).sum() < 0.9 * altered.sum() or region.mean() > 0.5:
            return None
        altered &= region
    calm = ~grown(altered) if altered.any() else np.ones(first.shape, bool)
    one, other = (_detail(x)[calm] for x in (first, second))
    one, other = one - one.mean(), other - other.mean()
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    if not norm > 0 or float(one @ other) / norm < DETAIL:
        return None
    return Same(gain, altered)


def grown(region: np.ndarray) -> np.ndarray:
    """The region and the pixels that touch it."""
    return cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def largest(region: np.ndarray) -> np.ndarray:
    """Its largest connected part (8 neighbours)."""
    _, numbers, measures, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    return numbers == 1 + measures[1:, cv2.CC_STAT_AREA].argmax()


def _opened(region: np.ndarray) -> np.ndarray:
    """Without lone pixels: those with fewer than two neighbours in the region."""
    around = cv2.boxFilter(
        region.astype(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return region & (around >= 3)


def _detail(values: np.ndarray) -> np.ndarray:
    """What a pixel has over the mean of its 3x3 surroundings."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return values - (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
