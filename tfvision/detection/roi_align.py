"""RoIAlign: a map of one size for every box, from the pyramid level that suits its size.

| name | shape | dtype | what it is |
|---|---|---|---|
| maps | (B, h_l, w_l, C) a level | any float | feature maps, from the finest on |
| boxes | (B, R, 4) | float32 | in pixels of the image |
| pooled | (B, R, side, side, C) | float32 | each bin the mean of 2x2 points |

Points, bins and borders are those of torchvision's `roi_align(sampling_ratio=2)` (He et al. 2017,
arXiv 1703.06870). A point in the outermost half pixel, or up to half a pixel
outside, has the value at the border; what lies farther out is 0.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from tfvision.detection.boxes import area

POINTS = 2  # a bin and side


def roi_align(
    maps: Sequence[tf.Tensor],
    strides: Sequence[int],
    boxes: tf.Tensor,
    *,
    side: int = 7,
    canonical: float = 224.0,
    aligned: bool = True,
    xla: bool = False,
) -> tf.Tensor:
    """Pools each box from the level of its size; no gradient goes to the boxes.

    Args:
        maps, boxes: As above.
        strides: Of the maps, powers of two that double.
        side: Bins.
        canonical: Side of the boxes that are pooled at stride 16 (Lin et al. 2017, arXiv
            1612.03144, equation 1).
        aligned: Whether the centre of a pixel is half a pixel from its edge, as it is. With False
            points lie half a pixel farther down and right, and a box is at least a pixel of its
            map long: torchvision's detectors have learnt so.
        xla: Gathers points one by one, in ops that XLA compiles; several times slower without.

    Returns:
        (B, R, side, side, C) float32.
    """
    boxes = tf.stop_gradient(boxes)
    maps = [tf.cast(level, tf.float32) for level in maps]
    level = levels_of(boxes, strides, canonical)
    pool = _pool_by_gathering if xla else _pool_by_crops
    return pool(maps, strides, boxes, level, side, aligned)


def levels_of(boxes: tf.Tensor, strides: Sequence[int], canonical: float) -> tf.Tensor:
    """(B, R) int32: which of the maps each box is pooled from."""
    finest, coarsest = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
    ratio = tf.sqrt(tf.maximum(area(boxes), 1e-6)) / canonical
    level = tf.floor(4 + tf.math.log(ratio) / math.log(2.0) + 1e-6)
    return tf.cast(tf.clip_by_value(level, finest, coarsest), tf.int32) - finest


def _pool_by_crops(maps, strides, boxes, level, side: int, aligned: bool) -> tf.Tensor:
    """Level by level: bilinear points by `crop_and_resize`, then their mean.

    One pixel of padding that repeats the border gives the points there their value.
    """
    count = tf.shape(boxes)[1]
    boxes, level = tf.reshape(boxes, [-1, 4]), tf.reshape(level, [-1])
    rows, pooled = [], []
    for i, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        chosen = tf.where(level == i)[:, 0] if len(maps) > 1 else tf.range(tf.size(level))
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        start, step = _points(tf.gather(boxes, chosen), stride, side, aligned)
        ends = tf.concat([start, start + (POINTS * side - 1) * step], -1) + 1.0
        last = tf.cast(tf.shape(x)[1:3] - 1, tf.float32)
        crops = tf.image.crop_and_resize(
            x,
            ends / tf.concat([last, last], 0),
            tf.cast(chosen, tf.int32) // count,
            [POINTS * side] * 2,
        )
        rows.append(tf.cast(chosen, tf.int32))
        pooled.append(tf.nn.avg_pool2d(crops, POINTS, POINTS, "VALID"))
    found = tf.dynamic_stitch(rows, pooled) if len(maps) > 1 else pooled[0]
    return tf.reshape(found, [-1, count, side, side, maps[0].shape[-1]])


def _pool_by_gathering(maps, strides, boxes, level, side: int, aligned: bool) -> tf.Tensor:
    """All levels laid out as one list of pixels; four of them for each point."""
    batch, channels = tf.shape(boxes)[0], maps[0].shape[-1]
    sizes = tf.stack([tf.shape(x)[1:3] for x in maps])  # (levels, 2)
    pixels = tf.concat([tf.reshape(x, [batch, -1, channels]) for x in maps], 1)
    first = tf.cumsum(tf.reduce_prod(sizes, 1), exclusive=True)
    size, first = tf.gather(sizes, level), tf.gather(first, level)
    stride = tf.gather(tf.constant(strides, tf.float32), level)[..., None]
    start, step = _points(boxes, stride, side, aligned)
    places = start[..., None] + tf.range(float(POINTS * side)) * step[..., None]  # (B, R, 2, s)
    end = tf.cast(size, tf.float32)[..., None]
    inside = tf.cast((places >= -1) & (places <= end), tf.float32)
    places = tf.clip_by_value(places, 0.0, end - 1)
    low = tf.floor(places)
    corners = [(low, (1 - places + low) * inside), (tf.minimum(low + 1, end - 1), places - low)]
    corners[1] = (corners[1][0], corners[1][1] * inside)
    found = 0.0
    for y, y_weight in corners:
        for x, x_weight in corners:
            row, column = (tf.cast(v, tf.int32) for v in (y[..., 0, :], x[..., 1, :]))
            index = row[..., :, None] * size[..., 1, None, None] + column[..., None, :]
            index += first[..., None, None]
            weight = y_weight[..., 0, :, None] * x_weight[..., 1, None, :]
            found += tf.gather(pixels, index, batch_dims=1) * weight[..., None]
    bins = tf.reshape(found, [batch, -1, side, POINTS, side, POINTS, channels])
    return tf.reduce_mean(bins, [3, 5])


def _points(boxes: tf.Tensor, stride, side: int, aligned: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """First point and step to the next, `y x` (..., 2) each, in pixels of the map."""
    boxes = boxes / tf.cast(stride, tf.float32)
    low, high = tf.reverse(boxes[..., :2], [-1]), tf.reverse(boxes[..., 2:], [-1])
    if not aligned:
        low, high = low + 0.5, tf.maximum(high, low + 1) + 0.5
    step = (high - low) / (POINTS * side)
    return low - 0.5 + step / 2, step
