"""Large images in tiles: cut, predicted, blended where they overlap.

Tiles begin at multiples of the model's stride, so that pooling falls on the same pixels as in
the whole image. In the overlap of two tiles the outer quarter of each is thrown away, and over
the half between one fades linearly into the other; the weights of a pixel sum to 1. So the
result is that of the whole image where a model sees no further than a quarter of the overlap in
each direction, and has no seam where it sees further. A model that looks at the whole image
(PAN's pooled branch, a transformer, group normalisation) looks at the whole tile instead: its
predictions differ by nature.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfvision.engine.inference import Wrapped
from tfvision.engine.predict import as_float, batches_of_one_size
from tfvision.errors import InputError

Span = tuple[int, int]


class Tiles(Wrapped):
    """What predicts, tile by tile; it stands in for `Inference`.

    Args:
        predictor: Has `serve_float`, for images of any size.
        tile: (height, width) of a tile.
        overlap: Pixels that neighbours share at least; None: a quarter of the shorter side.
        stride: Of the model: tiles begin at its multiples.
        batch_size: Tiles predicted at a time.

    Raises:
        InputError: The overlap is more than half a tile, or leaves less than a stride to go on.
    """

    def __init__(
        self,
        predictor,
        *,
        tile: tuple[int, int],
        overlap: int | None = None,
        stride: int = 1,
        batch_size: int = 1,
    ):
        self.tile = tile
        self.overlap = default_overlap(tile) if overlap is None else overlap
        if not 0 <= self.overlap <= min(tile) // 2:
            raise InputError(
                f"--overlap must be 0 to {min(tile) // 2}, half of the tile of "
                f"{tile[0]}x{tile[1]}. Received: {self.overlap}."
            )
        if min(tile) - self.overlap < stride:
            raise InputError(
                f"--tile {tile[0]}x{tile[1]} with --overlap {self.overlap}: tiles must go on by at "
                f"least {stride} pixels, the stride of this model. Take larger tiles."
            )
        super().__init__(predictor)
        self._stride, self._batch_size = stride, batch_size

    def serve_float(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, C) float32 in [0, 1] -> probabilities (B, H, W, K) float32.

        All of it is held at once: B * H * W * K * 4 bytes. Who needs less uses `bands`.
        """
        if self.fits(image.shape[1:3]):
            return self._predictor.serve_float(image)
        found = np.stack([self.whole(one) for one in image.numpy()])
        return {"probabilities": tf.convert_to_tensor(found)}

    def fits(self, size) -> bool:
        """Whether an image of (height, width) is not cut at all."""
        return size[0] <= self.tile[0] and size[1] <= self.tile[1]

    def whole(self, image: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """The `bands` of an image put together: (H, W, K) float32, held once."""
        found = None
        for first, band in self.bands(image, scale):
            if found is None:
                found = np.empty((*image.shape[:2], band.shape[-1]), np.float32)
            found[first : first + len(band)] = band
        return found

    def bands(self, image: np.ndarray, scale: float = 1.0) -> Iterator[tuple[int, np.ndarray]]:
        """The probabilities of an image in bands of rows, from top to bottom.

        No more than a row of tiles is held, whatever the height.

        Args:
            image: (H, W, C), of any dtype.
            scale: What makes its values [0, 1].

        Yields:
            (first row, (rows, W, K) float32); every row of the image once.
        """
        height, width = image.shape[:2]
        rows = spans(height, self.tile[0], self.overlap, self._stride)
        columns = spans(width, self.tile[1], self.overlap, self._stride)
        down, across = fades(rows), fades(columns)
        kept = None  # rows that the tiles above have begun
        for i, (top, bottom) in enumerate(rows):
            found = None
            for j, tile in self._predicted(image, (top, bottom), columns, scale):
                if found is None:
                    found = np.zeros((bottom - top, width, tile.shape[-1]), np.float32)
                weight = down[i][:, None] * across[j]
                found[:, slice(*columns[j])] += tile * weight[..., None]
            if kept is not None:
                found[: len(kept)] += kept
            end = rows[i + 1][0] if i + 1 < len(rows) else bottom
            kept = found[end - top :].copy()  # a copy, so that the band can be forgotten
            yield top, found[: end - top]

    def _predicted(self, image, row: Span, columns: list[Span], scale: float):
        """(number of the column, (h, w, K)) of each tile of a row."""
        cut = ((j, image[slice(*row), slice(*column)]) for j, column in enumerate(columns))
        for group in batches_of_one_size(cut, self._batch_size):
            numbers, pictures = zip(*group, strict=True)
            images = tf.constant(as_float(pictures, [scale] * len(pictures)))
            found = self._predictor.serve_float(images)["probabilities"].numpy()
            yield from zip(numbers, found, strict=True)


def default_overlap(tile: tuple[int, int]) -> int:
    """A quarter of the shorter side: 1.8 times the work, context of 1/16 on each side."""
    return min(tile) // 4


def spans(length: int, tile: int, overlap: int, stride: int) -> list[Span]:
    """Where tiles begin and end along one side: as few as can be, spread evenly.

    Args:
        length: Of the side.
        tile: Of a tile; the last may be shorter by less than `stride`.
        overlap: What neighbours share at least.
        stride: Every tile begins at a multiple of it.

    Returns:
        (begin, end) each; the first begins at 0, the last ends at `length`.
    """
    if length <= tile:
        return [(0, length)]
    step = (tile - overlap) // stride * stride
    last = -(-(length - tile) // stride) * stride
    gaps = -(-last // step)
    starts = [last * i // (gaps * stride) * stride for i in range(gaps + 1)]
    return [(start, min(start + tile, length)) for start in starts]


def fades(of: list[Span]) -> list[np.ndarray]:
    """The weights (end - begin,) float32 of tiles along one side; at each pixel they sum to 1.

    With u_i the ramp from 0 to 1 over the middle half of the overlap of tiles i - 1 and i,
    tile i weighs u_i - u_(i + 1): the sum telescopes to 1, even where three tiles overlap.
    """
    weights = []
    for i, (begin, end) in enumerate(of):
        x = np.arange(begin, end) + 0.5
        comes = _ramp(x, begin, of[i - 1][1]) if i else np.ones(len(x))
        goes = _ramp(x, of[i + 1][0], end) if i + 1 < len(of) else np.zeros(len(x))
        weights.append((comes - goes).astype(np.float32))
    return weights


def _ramp(x: np.ndarray, begin: int, end: int) -> np.ndarray:
    """0 up to a quarter of [begin, end], 1 from three quarters on; a step where it is empty."""
    width = end - begin
    return np.clip((x - begin - width / 4) / max(width / 2, 1e-9), 0, 1)
