"""`copy_paste`, a mixing op: what a batch and a partner are says `mixing`."""

from collections.abc import Sequence

import tensorflow as tf

from tfvision.augment.background import region_of
from tfvision.augment.boxes import area, clip_to_window, least_seen
from tfvision.augment.mixing import check_batch, joined, partner
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
    share: float = 0.5,
    cut: str = "box",
    min_visibility: float = 0.25,
) -> Op:
    """Pastes the partner's objects of some classes, image and truth together.

    Simple copy-paste (Ghiasi et al., 2021, arXiv:2012.07177) for masks of classes, and for
    boxes, instead of masks of instances: all pixels of the classes, or the whole pixels that
    boxes touch (Dwibedi et al., 2017, arXiv:1708.01642), are mirrored left to right and
    shifted at random, and pasted with hard edges; where backgrounds are few, pasted boxes teach
    that rectangles are objects, and objects are better cut out of them. Masks stay hard labels; a
    `label` stays the row's own. Boxes come out as (B, 2 M, 4): those of the row that are still
    seen, and those of the partner that what was pasted shows, other objects in a pasted box among
    them.

    Args:
        classes: Labels to paste, "all" of boxes, or "rare": a training run puts in those that
            `tfvision.data.balance.rare_classes` finds in its training set.
        p: Probability that a row is pasted into.
        flip_p: Probability that what is pasted is mirrored left to right.
        max_shift: Of what is pasted, as a fraction of the image's height and of its width,
            0 to 1, in whole pixels; uniform. What leaves the image is lost.
        share: Of boxes: how likely each object is to be pasted, so that not all is covered.
        cut: Of boxes: "box", all that they hold, or "object", their pixels in the `region` alone;
            a row without a region, of which no object was found, is then not pasted.
        min_visibility: A box stays where at least this share of its area is seen.

    Raises:
        InputError: When called, where `classes` is still "rare", or "all" of masks, or `cut` is
            "object" of masks or where there is no region, or the batch has neither masks nor
            boxes, or both (which box a pixel of a class belongs to is not known), or is mixed.
    """
    if classes not in ("rare", "all"):
        classes = _check_classes(classes)
    p = check_probability("copy_paste", p)
    flip_p = check_number("copy_paste", "flip_p", flip_p, 0.0, high=1.0)
    max_shift = check_number("copy_paste", "max_shift", max_shift, 0.0, high=1.0)
    share = check_number("copy_paste", "share", share, 0.0, high=1.0)
    if cut not in ("box", "object"):
        raise InputError(f"copy_paste: cut must be 'box' or 'object', got {cut!r}.")
    min_visibility = check_number("copy_paste", "min_visibility", min_visibility, 0.0, high=1.0)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("copy_paste", batch)
        _check_parts(batch, classes, cut)
        region = region_of("copy_paste", batch) if cut == "object" else None
        image = batch["image"]
        count, height, width = tf.unstack(tf.shape(image)[:3])
        u_hit, u_flip, u_y, u_x = tf.unstack(tf.random.stateless_uniform([4, count], seed))
        down, right = _shift(u_y, max_shift, height), _shift(u_x, max_shift, width)
        flipped = u_flip < flip_p
        rows = tf.range(height)[None] - down[:, None]
        columns = tf.range(width)[None] - right[:, None]
        columns = tf.where(flipped[:, None], width - 1 - columns, columns)
        in_view = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
        in_view &= (u_hit < p)[:, None, None]
        out = {}
        if "mask" in batch:
            labels = _moved(partner(batch["mask"]), rows, columns)
            pasted = in_view & tf.reduce_any([labels == label for label in classes], axis=0)
            out["mask"] = tf.where(pasted, labels, batch["mask"])
        else:
            moved = _moved_boxes(partner(batch["boxes"]), down, right, flipped, width)
            own = tf.random.experimental.stateless_fold_in(seed, 1)
            chosen = tf.random.stateless_uniform(tf.shape(moved)[:2], own) < share
            chosen &= _of_classes(partner(batch["classes"]), classes)
            pasted = in_view & _touched(tf.where(chosen[..., None], moved, 0.0), height, width)
            if region is not None:
                pasted &= _moved(partner(region), rows, columns) > 0
                known = tf.reduce_any(region > 0, axis=[1, 2], keepdims=True)
                out["region"] = tf.where(pasted & known, tf.ones_like(region), region)
            out |= _boxes_seen(batch, moved, pasted, min_visibility)
        pixels = _moved(partner(image), rows, columns)
        out["image"] = tf.where(pasted[..., None], pixels, image)
        for key in {"image", "mask", "region"} & set(out):
            out[key].set_shape(batch[key].shape)
        return {**batch, **out}

    return op


def _check_classes(classes) -> list[int]:
    if not isinstance(classes, list | tuple) or not classes:
        raise InputError(
            "copy_paste: classes must be 'rare', 'all' or a list with at least one label, such "
            f"as [3, 4], got {classes!r}."
        )
    return [check_integer("copy_paste", "a label of classes", label, 0) for label in classes]


def _check_parts(batch: Sample, classes: str | list[int], cut: str) -> None:
    if classes == "rare":
        raise InputError(
            "copy_paste: which classes are rare is known only with the training set. Give them "
            "as a list; tfvision.data.balance.rare_classes(class_pixels) finds them."
        )
    if "mask" not in batch and "boxes" not in batch:
        raise InputError(
            "copy_paste: pastes by the mask, and the batch has none, nor boxes. Leave it out."
        )
    if "mask" in batch and "boxes" in batch:
        raise InputError(
            "copy_paste: the batch has boxes, and which of them the pasted pixels belong to is "
            "not known beside a mask. Use mixup or cutmix, which move boxes."
        )
    if "mask" in batch and cut == "object":
        raise InputError(
            "copy_paste: cut 'object' is of boxes; a mask tells the outlines of objects by itself. "
            "Leave cut out."
        )
    if "mask" in batch and classes == "all":
        raise InputError(
            "copy_paste: classes 'all' is of boxes; every pixel of a mask has a class, so that the "
            "whole image would be pasted. Give a list of labels."
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


def _of_classes(classes: tf.Tensor, wanted: str | list[int]) -> tf.Tensor:
    """(B, M) bool: which rows are a box of the wanted classes."""
    if wanted == "all":
        return classes >= 0
    return tf.reduce_any([classes == label for label in wanted], axis=0)


def _moved_boxes(
    boxes: tf.Tensor, down: tf.Tensor, right: tf.Tensor, flipped: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Boxes (B, M, 4), mirrored where `flipped` (B,) and then shifted by whole pixels (B,)."""
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    mirror, side = flipped[:, None], tf.cast(width, tf.float32)
    x1, x2 = tf.where(mirror, side - x2, x1), tf.where(mirror, side - x1, x2)
    right, down = (tf.cast(shift, tf.float32)[:, None] for shift in (right, down))
    return tf.stack([x1 + right, y1 + down, x2 + right, y2 + down], axis=-1)


def _lengths(boxes: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(B, M, H) and (B, M, W): how much of each row and column of pixels a box covers, 0 to 1."""

    def along(first: tf.Tensor, last: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
        pixels = tf.range(tf.cast(side, tf.float32))
        end = tf.minimum(pixels + 1, last[..., None])
        return tf.maximum(end - tf.maximum(pixels, first[..., None]), 0.0)

    return along(boxes[..., 1], boxes[..., 3], height), along(boxes[..., 0], boxes[..., 2], width)


def _touched(boxes: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """(B, H, W) bool: the pixels that any of the boxes (B, M, 4) covers in part."""
    rows, columns = (tf.cast(x > 0, tf.float32) for x in _lengths(boxes, height, width))
    return tf.matmul(rows, columns, transpose_a=True) > 0


def _area_in(boxes: tf.Tensor, region: tf.Tensor) -> tf.Tensor:
    """(B, M) float32: the area of each box within the pixels of a region (B, H, W) bool."""
    rows, columns = _lengths(boxes, tf.shape(region)[1], tf.shape(region)[2])
    return tf.reduce_sum(tf.matmul(rows, tf.cast(region, tf.float32)) * columns, axis=-1)


def _boxes_seen(
    batch: Sample, moved: tf.Tensor, pasted: tf.Tensor, min_visibility: float
) -> Sample:
    """The boxes of the row and the `moved` ones of its partner, after `pasted` (B, H, W)."""
    least = max(min_visibility, 1e-4)  # sums of areas are not exact, and none is not seen
    least_own = tf.maximum(least_seen(batch["classes"], least), 1e-4)
    own, classes = batch["boxes"], partner(batch["classes"])
    hidden = _area_in(own, pasted)
    # Rows that nothing was pasted over keep all they had, empty boxes too.
    keep_own = (hidden == 0) | (area(own) - hidden >= least_own * area(own))
    keep_own &= batch["classes"] != -1
    shown = _area_in(moved, pasted)
    keep_other = (shown > 0) & (shown >= least * area(moved)) & (classes != -1)
    size = tf.unstack(tf.shape(pasted)[1:])
    other = clip_to_window(moved, (size[0], size[1]))
    return joined((own, batch["classes"], keep_own), (other, classes, keep_other))
