"""Geometric ops as matrices: any run of them is one matrix and one resampling.

Resampling blurs an image and roughens a mask a little each time, and costs more than all
the rest of an augmentation. So an op here only tells its matrix, and `apply_run`
multiplies the matrices of neighbours and resamples once.

The matrices are 3x3 float64, take column vectors (x, y, 1) in pixels *with the origin in
the middle of the image*, and map a place in the output to the place in the input that it
is read from. With that origin a flip, a rotation or a scaling needs no shift. float64, as
a GPU may multiply float32 matrices in reduced precision (TF32). The last row is (0, 0, 1)
but for perspective, where x and y are divided by its result w.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfvision.augment.boxes import clip_to_window, keep_boxes, least_seen, visible
from tfvision.augment.sample import (
    Sample,
    Size,
    check_fill_label,
    check_number,
    draw,
    image_size,
    pixel_maps,
)
from tfvision.errors import InputError

ROWS, COLUMNS = 0, 1


@dataclasses.dataclass(frozen=True)
class Border:
    """What comes in from beyond the border, and which boxes stay.

    Attributes:
        mode: "constant", or "reflect": the image mirrored at its edge (c b a | a b c),
            image and mask alike.
        fill: Image value in [0, 1] for "constant".
        fill_label: Mask label for "constant".
        min_visibility: A moved box stays where at least this share of its area is in view.
    """

    mode: str
    fill: float
    fill_label: int
    min_visibility: float


@dataclasses.dataclass(frozen=True)
class Affine:
    """A geometric op: call it like any op, or merge its `matrix(seed, size)` with others.

    Attributes:
        matrix: `matrix(seed, (height, width))`, (3, 3) float64; see the module.
        border: What comes in from beyond the border.
        projective: Whether the matrix may have another last row than (0, 0, 1).
    """

    matrix: Callable[[tf.Tensor, Size], tf.Tensor]
    border: Border
    projective: bool = False

    def __call__(self, sample: Sample, seed: tf.Tensor) -> Sample:
        return apply_run([self], sample, [seed])


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirrors along `axis` (ROWS or COLUMNS) with probability `p`; see `Affine`."""

    axis: int
    p: float

    def happens(self, seed: tf.Tensor) -> tf.Tensor:
        """() bool: whether `seed` draws a flip."""
        return draw(seed, 1)[0] < self.p

    def matrix(self, seed: tf.Tensor, size: Size) -> tf.Tensor:
        """The matrix, see the module; the size of the image does not enter."""
        sign = 1 - 2 * tf.cast(self.happens(seed), tf.float64)
        one = tf.ones([], tf.float64)
        return tf.linalg.diag(tf.stack([one, sign, one] if self.axis == ROWS else [sign, one, one]))

    def __call__(self, sample: Sample, seed: tf.Tensor) -> Sample:
        return apply_run([self], sample, [seed])


def make_border(
    op: str, *, mode: str, fill: float, fill_label: int, min_visibility: float
) -> Border:
    """Checks the arguments that all ops with a border share; see `Border`."""
    if mode not in ("constant", "reflect"):
        raise InputError(f"{op}: mode must be 'constant' or 'reflect', got {mode!r}.")
    fill = check_number(op, "fill", fill, 0.0, high=1.0)
    fill_label = check_fill_label(op, fill_label)
    min_visibility = check_number(op, "min_visibility", min_visibility, 0.0, high=1.0)
    if mode == "reflect":
        fill, fill_label = 0.0, 0  # not used: two reflecting ops agree whatever was written
    return Border(mode, fill, fill_label, min_visibility)


def common_border(run: Sequence[Affine | Flip]) -> Border | None:
    """The border of neighbours that are resampled together; None where all are flips.

    Raises:
        InputError: Where they declare different ones.
    """
    borders = {op.border: None for op in run if isinstance(op, Affine)}
    if len(borders) > 1:
        raise InputError(
            "Geometric ops that follow each other are merged into one resampling, so they "
            "must declare the same mode, fill, fill_label and min_visibility, got "
            f"{' and '.join(str(border) for border in borders)}. Write the same values in "
            "each, or put another op between them."
        )
    return next(iter(borders), None)


def apply_run(run: Sequence[Affine | Flip], sample: Sample, seeds: Sequence[tf.Tensor]) -> Sample:
    """Applies geometric ops, each with its seed, in one step: one copy or one resampling."""
    border = common_border(run)
    if border is None:
        return _mirror(run, sample, seeds)
    size = image_size(sample["image"])
    matrices = [op.matrix(seed, size) for op, seed in zip(run, seeds, strict=True)]
    # Output to input: the last op is undone first, so it stands rightmost.
    matrix = functools.reduce(tf.linalg.matmul, matrices)
    projective = any(isinstance(op, Affine) and op.projective for op in run)
    return _resample(sample, matrix, border, projective)


def _mirror(run: Sequence[Flip], sample: Sample, seeds: Sequence[tf.Tensor]) -> Sample:
    """Flips only: a copy, without any arithmetic on pixels."""
    flipped = [tf.constant(False), tf.constant(False)]
    for op, seed in zip(run, seeds, strict=True):
        flipped[op.axis] = tf.math.logical_xor(flipped[op.axis], op.happens(seed))
    image = sample["image"]
    # The first version of Reverse takes one truth value an axis, which spares a tf.cond.
    out = {"image": tf.raw_ops.Reverse(tensor=image, dims=tf.stack([*flipped, False]))}
    for key in pixel_maps(sample, 0):
        out[key] = tf.raw_ops.Reverse(tensor=sample[key], dims=tf.stack(flipped))
    if "boxes" in sample:
        height, width = (tf.cast(side, tf.float32) for side in image_size(image))
        x1, y1, x2, y2 = tf.unstack(sample["boxes"], axis=-1)
        x1, x2 = _where_pair(flipped[COLUMNS], (width - x2, width - x1), (x1, x2))
        y1, y2 = _where_pair(flipped[ROWS], (height - y2, height - y1), (y1, y2))
        out["boxes"] = tf.stack([x1, y1, x2, y2], axis=-1)
    return {**sample, **out}


def _where_pair(condition, then, otherwise):
    return [tf.where(condition, a, b) for a, b in zip(then, otherwise, strict=True)]


def _resample(sample: Sample, matrix: tf.Tensor, border: Border, projective: bool) -> Sample:
    """Reads the output through `matrix`: the image bilinear, mask and region nearest."""
    image = sample["image"]
    size = image_size(image)
    settings = {
        "transforms": _between_pixel_indices(matrix, size),
        "output_shape": tf.stack(size),
        "fill_mode": border.mode.upper(),
    }
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None], fill_value=border.fill, interpolation="BILINEAR", **settings
    )[0]
    moved.set_shape(image.shape)
    out = {"image": moved}
    for key, fill in pixel_maps(sample, border.fill_label).items():
        out[key] = tf.raw_ops.ImageProjectiveTransformV3(
            images=sample[key][None, :, :, None],
            fill_value=float(fill),
            interpolation="NEAREST",
            **settings,
        )[0, :, :, 0]
        out[key].set_shape(sample[key].shape)
    if projective and border.mode == "constant":
        out = _hide_behind_horizon(out, matrix, size, border)
    if "boxes" in sample:
        out |= _move_boxes(sample, matrix, size, border.min_visibility)
    return {**sample, **out}


def _hide_behind_horizon(out: Sample, matrix: tf.Tensor, size: Size, border: Border) -> Sample:
    """Fills where w is not positive: there TensorFlow shows the image a second time.

    A perspective alone never gets there; followed by a strong shrinking it may.
    """
    rows, columns = (tf.range(side, dtype=tf.float64) - (side - 1) / 2 for side in _float64(size))
    w = matrix[2, 0] * columns[None] + matrix[2, 1] * rows[:, None] + matrix[2, 2]
    out = {**out, "image": tf.where((w > 0)[..., None], out["image"], border.fill)}
    for key, fill in pixel_maps(out, border.fill_label).items():
        out[key] = tf.where(w > 0, out[key], tf.cast(fill, out[key].dtype))
    return out


def _float64(size: Size) -> list[tf.Tensor]:
    return [tf.cast(side, tf.float64) for side in size]


def _between_pixel_indices(matrix: tf.Tensor, size: Size) -> tf.Tensor:
    """(1, 8) float32: `matrix` for TensorFlow, whose x and y are the indices of pixels.

    The middle of the image lies at index (W - 1) / 2: between two pixels where W is even.
    So a flip reads column W - 1 - x, in whole numbers throughout.
    """
    height, width = _float64(size)
    x, y = (width - 1) / 2, (height - 1) / 2
    to_middle = tf.reshape(tf.stack([1, 0, -x, 0, 1, -y, 0, 0, 1]), [3, 3])
    from_middle = tf.reshape(tf.stack([1, 0, x, 0, 1, y, 0, 0, 1]), [3, 3])
    whole = from_middle @ matrix @ to_middle
    return tf.cast(tf.reshape(whole / whole[2, 2], [1, 9])[:, :8], tf.float32)


def _move_boxes(sample: Sample, matrix: tf.Tensor, size: Size, min_visibility: float) -> Sample:
    """The upright hull of the ellipse inscribed in each box, moved and clipped to the image.

    Of the hull of the corners, a turn by 10 degrees would make the label of a round object a
    third too large; an ellipse is nearer to what boxes hold. Flips, shifts, zooms and quarter
    turns are the same for both.
    """
    boxes = tf.cast(sample["boxes"], tf.float64)
    height, width = _float64(size)
    origin = tf.stack([width, height]) / 2
    # An ellipse about 0 with half axes a, b is the dual conic diag(a^2, b^2, -1); a homography
    # moves it to H diag H^T, whose tangents x = t solve C22 t^2 - 2 C02 t + C00 = 0 (Hartley and
    # Zisserman, "Multiple View Geometry", 2004, section 2.2.3). About the moved middle C00 is
    # free of large terms that cancel.
    squares = tf.square((boxes[:, 2:] - boxes[:, :2]) / 2)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 - origin
    forward = tf.linalg.inv(matrix)
    at_middle = middles @ tf.transpose(forward[:, :2]) + forward[:, 2]  # (N, 3)
    w, slant = at_middle[:, 2:], forward[2, :2]
    moved = at_middle[:, :2] / w
    slopes = forward[:2, :2] - moved[..., None] * slant  # (N, 2, 2)
    c22 = tf.reduce_sum(squares * tf.square(slant), -1, keepdims=True) - tf.square(w)
    c02 = tf.reduce_sum(squares[:, None] * slopes * slant, -1)
    c00 = tf.reduce_sum(squares[:, None] * tf.square(slopes), -1)
    root = tf.sqrt(tf.maximum(tf.square(c02) - c00 * c22, 0.0))
    hull = tf.concat([(c02 + root) / c22, (c02 - root) / c22], -1) + tf.tile(moved + origin, [1, 2])
    in_front = (w > 0) & (c22 < 0)  # of the horizon, beyond which there is no place
    # Where every draw missed, boxes stay as they came, even those that reach over the edge.
    still = tf.reduce_all(matrix == tf.eye(3, dtype=tf.float64))
    hull = tf.cast(tf.where(in_front, hull, 0.0), tf.float32)
    least = least_seen(sample.get("classes"), min_visibility)
    keep = still | visible(hull, size, least)
    boxes = tf.where(still, sample["boxes"], clip_to_window(hull, size))
    return keep_boxes(sample, boxes, keep)
