"""Pieces: what a classifier sees at a time of an image, and what makes their answers one.

The builders that say which pieces an image has are in `inputs`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfvision.data.crops.foreground import FAILURES
from tfvision.data.crops.windows import Window, bounding_box, cut_window, window_of
from tfvision.data.files.pixels import white_of
from tfvision.errors import InputError
from tfvision.text import counted

AGGREGATES = ("mean", "area", "log_mean", "median", "max")
FALLBACKS = {
    "no_region": "have no mask; what stands for it is the box, or else the whole image",
    "empty_region": "have a mask that is empty everywhere and are taken whole, or by their box",
    "no_box": "have no box and no mask and are taken whole",
    "undetected": "have no detection; the whole image, or its middle, stands for one (fallback)",
    "all_small": "have only components below min_size; the largest is taken",
    **{name: f"keep their background, as {why}" for name, why in FAILURES.items()},
}
_LEAST = 1e-7  # probability that `log_mean` counts instead of 0


@dataclass(frozen=True)
class Piece:
    """What the network sees at a time of an image.

    Attributes:
        image: (h, w, c) of the dtype that came, not scaled.
        weight: Area in pixels: of the component for `patches`, else of the window. Above 0.
        region: (h, w) uint8, 0 or 1: where the object is in the piece; None where not known.
        window: x1 y1 x2 y2 in pixels of the image: what the piece shows of it.
        fallback: The name in FALLBACKS of what was done instead of what was asked, or "".
        left_out: Components of the image that are in no piece, said by its first piece.
    """

    image: np.ndarray
    weight: float
    region: np.ndarray | None = None
    window: Window = (0, 0, 0, 0)
    fallback: str = ""
    left_out: int = 0


@dataclass(frozen=True)
class Whole:
    """An image with what is known of it, checked: region (H, W) uint8 0/1, box (4,), or None."""

    image: np.ndarray
    region: np.ndarray | None
    box: np.ndarray | None
    white: float

    def window(self, margin: float) -> tuple[Window, str]:
        """Around the box, else around the region, else the whole image; and the fallback."""
        height, width = self.image.shape[:2]
        box = self.box
        if box is None and self.region is not None:
            box = bounding_box(self.region)
            if box is None:
                return (0, 0, width, height), "empty_region"
        if box is None:
            return (0, 0, width, height), "no_box"
        return window_of(box, (height, width), margin), ""

    def piece(self, window=None, **facts) -> Piece:
        """The piece that shows `window`, all of the image by default."""
        height, width = self.image.shape[:2]
        window = window or (0, 0, width, height)
        area = (window[2] - window[0]) * (window[3] - window[1])
        region = None if self.region is None else cut_window(self.region, window)
        facts = {"weight": float(area), "region": region, "window": window, **facts}
        return Piece(cut_window(self.image, window), **facts)


@dataclass(frozen=True)
class Cut:
    """`cut(image, region=None, box=None, *, white=None) -> list[Piece]`, what INPUTS builds.

    Attributes:
        name: In the table.
        needs: Of "region" and "box", those of which the data must have at least one, or every
            image is taken as `full` does; empty: it needs neither.
        margin: Where it cuts around the box and nothing more: what it adds on each side, as a
            fraction of the box's sides; else None.
    """

    name: str
    _pieces: Callable[[Whole], list[Piece]] = field(repr=False)
    needs: frozenset[str] = frozenset()
    _channels: Callable[[int], int] = field(default=lambda channels: channels, repr=False)
    margin: float | None = None

    def __call__(
        self,
        image: np.ndarray,
        region: np.ndarray | None = None,
        box: np.ndarray | None = None,
        *,
        white: float | None = None,
    ) -> list[Piece]:
        """Cuts an image.

        Args:
            image: (H, W, C) uint8, uint16 or float32, not scaled; left alone.
            region: (H, W) where the object is, 0 where it is not; None: not known.
            box: (4,) x1 y1 x2 y2 in pixels; of several, (n, 4), each gives pieces of its own
                where boxes are cut out, and else they count as not known; None: not known.
            white: The pixel value that means 1.0; None: 255, 65535 or 1.0, by the dtype.

        Returns:
            At least one piece.

        Raises:
            InputError: The region has another size, or a box is none.
        """
        image = np.asarray(image)
        if image.ndim != 3:
            raise InputError(f"An image must be (H, W, C); got the shape {image.shape}.")
        if region is not None:
            region = _check_region(np.asarray(region), image.shape)
        boxes = _check_boxes(box, image.shape[:2], several="box" in self.needs)
        white = white_of(image.dtype, white)
        found = (self._pieces(Whole(image, region, one, white)) for one in boxes)
        return [piece for pieces in found for piece in pieces]

    def channels(self, channels: int) -> int:
        """Channels of a piece, for images that have `channels`."""
        return self._channels(channels)

    def require(self, has: frozenset[str] | set[str]) -> None:
        """Raises an `InputError` where `has`, of "region" and "box", has nothing of `needs`."""
        if self.needs and not self.needs & set(has):
            words = {"region": "masks", "box": "boxes"}
            wanted = " or ".join(words[name] for name in sorted(self.needs, reverse=True))
            raise InputError(
                f"data.input `{self.name}` needs {wanted}, and no training image has any. Use "
                "`full`, or give data that has them."
            )

    def notes(self, counter: Mapping[str, int]) -> list[str]:
        """Sentences for the user out of the sum of `count_pieces` over the images."""
        images = counter.get("images", 0)
        said = [
            f"data.input `{self.name}`: {counter[name]} of {counted(images, 'image')} {why}."
            for name, why in FALLBACKS.items()
            if counter.get(name)
        ]
        if counter.get("left_out"):
            said.append(
                f"data.input `{self.name}`: {counted(counter['pieces'], 'piece')} of "
                f"{counted(images, 'image')}; {counter['left_out']} components below min_size "
                f"or beyond max_pieces are left "
                "out."
            )
        return said


def count_pieces(pieces: Sequence[Piece]) -> Counter:
    """What `Cut.notes` reads, of one image: `images`, `pieces`, `left_out`, and the fallback."""
    counter = Counter(images=1, pieces=len(pieces), left_out=pieces[0].left_out)
    counter.update({piece.fallback for piece in pieces if piece.fallback})
    return counter


def aggregate(probabilities: np.ndarray, weights: np.ndarray, how: str = "mean") -> np.ndarray:
    """The probabilities of an image out of those of its pieces.

    Args:
        probabilities: (n, K), n at least 1, each row of sum 1.
        weights: (n,) above 0, `Piece.weight`; used by "area" alone.
        how: "mean"; "area": mean by weight; "log_mean": geometric mean, the product of experts,
            where no probability counts less than 1e-7; "median" of each class; "max" of each
            class. All are divided by their sum. Where the medians are all 0, as of three pieces
            sure of three classes, it is the mean.

    Returns:
        (K,) float64 of sum 1.

    Raises:
        InputError: `how` is none of these, or the numbers do not fit.
    """
    if how not in AGGREGATES:
        raise InputError(f"data.aggregate must be one of {', '.join(AGGREGATES)}; got {how!r}.")
    values, weights = np.asarray(probabilities, np.float64), np.asarray(weights, np.float64)
    if values.ndim != 2 or not len(values) or weights.shape != values.shape[:1]:
        raise InputError(
            "aggregate: probabilities must be (n, K) and weights (n,) with n from 1 up, got "
            f"{values.shape} and {weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise InputError(f"aggregate: weights must be above 0, got {weights.min():g}.")
    if how == "area":
        out = weights @ values
    elif how == "log_mean":
        logs = np.log(np.maximum(values, _LEAST)).mean(axis=0)
        out = np.exp(logs - logs.max())
    else:
        out = {"mean": np.mean, "median": np.median, "max": np.max}[how](values, axis=0)
    if not out.sum() > 0:
        out = values.mean(axis=0)
    return out / out.sum()


def _check_boxes(
    box: np.ndarray | None, size: tuple[int, int], *, several: bool
) -> list[np.ndarray | None]:
    """The boxes (4,) float32 that are cut one by one; [None] where none is known, or which is not.

    Raises:
        InputError: One is none.
    """
    if box is None:
        return [None]
    boxes = np.asarray(box, np.float32)
    if not boxes.size or boxes.shape not in ((4,), (boxes.size // 4, 4)):
        raise InputError(f"Boxes must be (4,) or (n, 4), n from 1 up; got {boxes.shape}.")
    boxes = list(boxes.reshape(-1, 4))
    for one in boxes:
        window_of(one, size)
    return boxes if several or len(boxes) == 1 else [None]


def _check_region(region: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if region.shape != tuple(shape[:2]):
        raise InputError(
            f"A mask must have the size of its image, {shape[0]} x {shape[1]} (height x width); "
            f"got the shape {region.shape}."
        )
    return (region != 0).astype(np.uint8)
