"""`mosaic`, a mixing op: what a batch and a partner are says `mixing`."""

import dataclasses

import tensorflow as tf

from tfvision.augment.boxes import area, least_seen
from tfvision.augment.mixing import check_batch, intersection, joined, partner
from tfvision.augment.sample import Op, Sample, check_number, check_probability
from tfvision.errors import InputError


def mosaic(p: float = 0.5, *, min_visibility: float = 0.25) -> Op:
    """Four images in one (Bochkovskiy et al., 2020, arXiv:2004.10934, section 3.3).

    A point in the middle half of the image, uniform, cuts it into four parts; the row and the
    three rows before it fill one each. A part shows a window of its image, anywhere in it, at a
    scale between the least that fills the part, 0.5 at least, and 1, so that nothing is grey
    that was not. Boxes come out as (B, 4 M, 4), clipped to their part; a `region` is shown as the
    image is, 0 all over where it is so in one of the four.

    Args:
        p: Probability that a row becomes a mosaic.
        min_visibility: A box stays where at least this share of its area is in view.

    Raises:
        InputError: When called, where the batch has no boxes, or other truth beside them.
    """
    p = check_probability("mosaic", p)
    min_visibility = check_number("mosaic", "min_visibility", min_visibility, 0.0, high=1.0)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("mosaic", batch)
        _check_boxes_alone(batch)
        image, fold_in = batch["image"], tf.random.experimental.stateless_fold_in
        # float64: what a graph rounds otherwise than eager code is lost in the cast to float32.
        count, size = tf.shape(image)[0], tf.cast(tf.shape(image)[1:3], tf.float64)
        hit = tf.random.stateless_uniform([count], fold_in(seed, 0)) < p
        cross = tf.random.stateless_uniform([count, 2], fold_in(seed, 1), dtype=tf.float64)
        cross = tf.round((0.25 + 0.5 * cross) * size)
        mixed, boxes = image, []
        region, known = batch.get("region"), True
        for number in range(4):
            behind = tf.constant(divmod(number, 2)) > 0  # the cross: below it, right of it
            start = tf.where(behind, cross, tf.zeros_like(cross))
            end = tf.where(behind, size, cross)
            part = _drawn_part(start, end, size, fold_in(seed, 2 + number))
            shown = part.holds(size) & hit[:, None, None]
            mixed = tf.where(shown[..., None], part.read(partner(image, number)), mixed)
            if region is not None:
                own = partner(batch["region"], number)
                known &= tf.reduce_any(own > 0, axis=[1, 2], keepdims=True)
                region = tf.where(shown, part.read(own[..., None], "NEAREST")[..., 0], region)
            classes = partner(batch["classes"], number)
            least = least_seen(classes, min_visibility)
            moved, keep = part.boxes_of(partner(batch["boxes"], number), least)
            keep &= (classes != -1) & hit[:, None]
            if number == 0:  # a row that `p` spares keeps all it had
                moved = tf.where(hit[:, None, None], moved, batch["boxes"])
                keep |= (classes != -1) & ~hit[:, None]
            boxes.append((moved, classes, keep))
        out = {"image": tf.ensure_shape(mixed, image.shape), **joined(*boxes)}
        if region is not None:
            out["region"] = tf.where(known | ~hit[:, None, None], region, tf.zeros_like(region))
        return {**batch, **out}

    return op


def _check_boxes_alone(batch: Sample) -> None:
    others = [key for key in ("mask", "label") if key in batch]
    if "boxes" not in batch or others:
        found = ", ".join(others) or "none"
        raise InputError(
            "mosaic: shows four images as one, whose truth must be boxes alone, and the batch has "
            f"{found}. Leave it out; cutmix joins two images of any truth."
        )


@dataclasses.dataclass(frozen=True)
class _Part:
    """Where each row of a batch shows which window of its image; all float64, pixels.

    Attributes:
        start, end: (B, 2), rows and columns of the part.
        scale: (B, 1), of what it shows.
        window: (B, 2), where what it shows begins in its image.
    """

    start: tf.Tensor
    end: tf.Tensor
    scale: tf.Tensor
    window: tf.Tensor

    def holds(self, size: tf.Tensor) -> tf.Tensor:
        """(B, H, W) bool: the pixels of the part."""
        rows, columns = (
            (tf.range(size[i]) >= self.start[:, i, None])
            & (tf.range(size[i]) < self.end[:, i, None])
            for i in (0, 1)
        )
        return rows[:, :, None] & columns[:, None, :]

    def read(self, image: tf.Tensor, interpolation: str = "BILINEAR") -> tf.Tensor:
        """(B, H, W, C): what the part shows, in its place; elsewhere anything."""
        # An output pixel i has its middle at i + 0.5.
        offset = (0.5 - self.start) / self.scale + self.window - 0.5
        step, zero = 1 / self.scale[:, 0], tf.zeros_like(self.scale[:, 0])
        rows = [step, zero, offset[:, 1], zero, step, offset[:, 0], zero, zero]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=image,
            transforms=tf.cast(tf.stack(rows, axis=1), tf.float32),
            output_shape=tf.shape(image)[1:3],
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="NEAREST",
        )

    def boxes_of(self, boxes: tf.Tensor, least: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, M, 4) of the image in the part, and which of them are in view (B, M)."""
        scale, start, window = (
            tf.tile(x[:, ::-1], [1, 4 // x.shape[1]])[:, None]
            for x in (self.scale, self.start, self.window)
        )
        moved = tf.cast((tf.cast(boxes, tf.float64) - window) * scale + start, tf.float32)
        edges = tf.concat([self.start[:, ::-1], self.end[:, ::-1]], axis=1)[:, None]
        edges = tf.cast(edges, tf.float32)
        clipped = intersection(moved, edges)
        seen = area(clipped)
        return clipped, (seen > 0) & (seen >= least * area(moved))


def _drawn_part(start: tf.Tensor, end: tf.Tensor, size: tf.Tensor, seed: tf.Tensor) -> _Part:
    """A scale and a window for the part from `start` to `end` (B, 2) of images of `size`."""
    drawn = tf.random.stateless_uniform([tf.shape(start)[0], 3], seed, dtype=tf.float64)
    least = tf.maximum(tf.reduce_max((end - start) / size, axis=1, keepdims=True), 0.5)
    scale = least + drawn[:, :1] * (1 - least)
    return _Part(start, end, scale, drawn[:, 1:] * (size - (end - start) / scale))
