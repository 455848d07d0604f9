"""`copy_paste`, a mixing op: what a batch and a partner are says `mixing`."""

from collections.abc import Sequence

import tensorflow as tf

from tfvision.augment.mixing import check_batch, partner
from tfvision.augment.sample import (
    Op,
    Sample,
    between,
    check_integer,
    check_number,
    check_probability,
)
from tfvision.errors import InputError


def copy_paste(
    classes: str | Sequence[int] = "rare",
    p: float = 0.5,
    *,
    flip_p: float = 0.5,
    max_shift: float = 0.1,
) -> Op:
    """Pastes the partner's pixels of some classes, image and mask together.

    Simple copy-paste (Ghiasi et al., 2021, arXiv:2012.07177) for masks of classes instead
    of instances: all pixels of the classes are pasted, mirrored left to right and shifted
    at random, with hard edges. Masks stay hard labels; a `label` stays the row's own.

    Args:
        classes: Labels to paste, or "rare": a training run puts in those that
            `tfvision.data.balance.rare_classes` finds in its training set.
        p: Probability that a row is pasted into.
        flip_p: Probability that what is pasted is mirrored left to right.
        max_shift: Of what is pasted, as a fraction of the image's height and of its width,
            0 to 1, in whole pixels; uniform. What leaves the image is lost.

    Raises:
        InputError: When called, where `classes` is still "rare", or the batch has no masks,
            has boxes (which box a pixel of a class belongs to is not known), or is mixed.
    """
    if classes != "rare":
        classes = _check_classes(classes)
    p = check_probability("copy_paste", p)
    flip_p = check_number("copy_paste", "flip_p", flip_p, 0.0, high=1.0)
    max_shift = check_number("copy_paste", "max_shift", max_shift, 0.0, high=1.0)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("copy_paste", batch)
        _check_parts(batch, classes)
        image, mask = batch["image"], batch["mask"]
        count, height, width = tf.unstack(tf.shape(image)[:3])
        u_hit, u_flip, u_y, u_x = tf.unstack(tf.random.stateless_uniform([4, count], seed))
        rows = tf.range(height)[None] - _shift(u_y, max_shift, height)[:, None]
        columns = tf.range(width)[None] - _shift(u_x, max_shift, width)[:, None]
        columns = tf.where((u_flip < flip_p)[:, None], width - 1 - columns, columns)
        in_view = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
        labels = _moved(partner(mask), rows, columns)
        wanted = tf.reduce_any([labels == label for label in classes], axis=0)
        pasted = wanted & in_view & (u_hit < p)[:, None, None]
        pixels = _moved(partner(image), rows, columns)
        out = {
            "image": tf.where(pasted[..., None], pixels, image),
            "mask": tf.where(pasted, labels, mask),
        }
        for key, before in (("image", image), ("mask", mask)):
            out[key].set_shape(before.shape)
        return {**batch, **out}

    return op


def _check_classes(classes) -> list[int]:
    if isinstance(classes, str) or not isinstance(classes, list | tuple) or not classes:
        raise InputError(
            "copy_paste: classes must be 'rare' or a list with at least one label, such as "
            f"[3, 4], got {classes!r}."
        )
    return [check_integer("copy_paste", "a label of classes", label, 0) for label in classes]


def _check_parts(batch: Sample, classes: str | list[int]) -> None:
    if classes == "rare":
        raise InputError(
            "copy_paste: which classes are rare is known only with the training set. Give them "
            "as a list; tfvision.data.balance.rare_classes(class_pixels) finds them."
        )
    if "mask" not in batch:
        raise InputError("copy_paste: pastes by the mask, and the batch has none. Leave it out.")
    if "boxes" in batch:
        raise InputError(
            "copy_paste: the batch has boxes, and which of them the pasted pixels belong to is "
            "not known. Use mixup or cutmix, which move boxes."
        )


def _shift(u: tf.Tensor, max_shift: float, side: tf.Tensor) -> tf.Tensor:
    """(B,) int32: whole pixels, up to that fraction of the side either way."""
    most = tf.floor(max_shift * tf.cast(side, tf.float32) + 1e-4)
    return tf.cast(tf.floor(between(u, -most, most + 1)), tf.int32)


def _inside(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return (index >= 0) & (index < size)


def _moved(pixels: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """(B, H, W, ...) read at the rows (B, H) and columns (B, W), the nearest inside."""
    rows = tf.clip_by_value(rows, 0, tf.shape(pixels)[1] - 1)
    columns = tf.clip_by_value(columns, 0, tf.shape(pixels)[2] - 1)
    return tf.gather(tf.gather(pixels, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
