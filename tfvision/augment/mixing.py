"""Mixing ops: `op(batch, seed) -> batch`, on batches instead of samples.

A batch has the keys of samples with a first axis B. Its boxes are padded: `boxes`
(B, M, 4) and `classes` (B, M) with class -1 in the empty rows. The partner of a row is
the row before it (of the first, the last): a batch comes in a random order already.

What mixing adds for the trainer: `mix` (B,) float32, the share of a row's own image, and
the partner's truth `mask_other` (B, H, W) and `label_other` (B,), both int32. The loss
is mix * loss(own) + (1 - mix) * loss(other). Rows that `p` spared have mix 1 and the
same keys, as a data set needs.

A batch whose truth is boxes alone gains no key: its rows have the boxes of all images that
they show, each at its full weight, so that M grows to the most that there can be. An op that
acts on one kind of truth alone stands in `ACTS_ON` of `tfvision.augment`.
"""

import tensorflow as tf

from tfvision.augment.boxes import area, least_seen
from tfvision.augment.sample import Op, Sample, check_number, check_probability
from tfvision.errors import InputError


def mixup(alpha: float | None = None, p: float = 1.0) -> Op:
    """Blends two images (Zhang et al., 2018, arXiv:1710.09412).

    Adds `mix`, and `mask_other` and `label_other` where the batch has masks and labels;
    masks themselves stay whole. Boxes of both images are kept, (B, 2 M, 4); of a batch whose
    truth is boxes alone there is no `mix` (Zhang et al., 2019, arXiv:1902.04103).

    Args:
        alpha: The share of the own image is Beta(alpha, alpha): small values leave most
            images nearly pure. None: 0.2; where boxes are all the truth, which are learned at
            full weight and so must be seen, 32, which blends about evenly.
        p: Probability that a row is mixed.
    """
    alpha = None if alpha is None else _check_alpha("mixup", alpha)
    p = check_probability("mixup", p)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("mixup", batch)
        image = batch["image"]
        boxes_alone = "boxes" in batch and not {"mask", "label"} & set(batch)
        shape = (32.0 if boxes_alone else 0.2) if alpha is None else alpha
        hit, share = _draw_shares(seed, tf.shape(image)[0], shape, p)
        share = tf.cast(share, tf.float32)
        weight = share[:, None, None, None]
        out = {"image": weight * image + (1 - weight) * partner(image)}
        if not boxes_alone:
            out["mix"] = share
        out |= {f"{key}_other": partner(batch[key]) for key in ("mask", "label") if key in batch}
        if "boxes" in batch:
            own = batch["classes"] != -1
            other = partner(own) & hit[:, None]
            boxes, classes = partner(batch["boxes"]), partner(batch["classes"])
            out |= joined((batch["boxes"], batch["classes"], own), (boxes, classes, other))
        return {**batch, **out}

    return op


def cutmix(alpha: float = 1.0, p: float = 0.5, *, min_visibility: float = 0.25) -> Op:
    """Pastes a rectangle of the partner, image and mask (Yun et al., 2019, arXiv:1905.04899).

    Masks stay hard labels. A batch with labels gains `label_other` and `mix`, the share of
    the pixels that are the row's own. Boxes come out as (B, 2 M, 4): the partner's are
    clipped to the rectangle, and hidden ones of either are dropped.

    Args:
        alpha: The share of the own image is Beta(alpha, alpha), before the rectangle is
            clipped to the image; 1 makes all shares as likely.
        p: Probability that a row is mixed.
        min_visibility: A box stays where at least this share of its area is in view.
    """
    alpha = _check_alpha("cutmix", alpha)
    p = check_probability("cutmix", p)
    min_visibility = check_number("cutmix", "min_visibility", min_visibility, 0.0, high=1.0)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("cutmix", batch)
        image = batch["image"]
        count, height, width = tf.unstack(tf.shape(image)[:3])
        top, bottom, left, right = _draw_rectangles(seed, count, height, width, alpha=alpha, p=p)
        rows, columns = tf.range(height)[None], tf.range(width)[None]
        inside_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
        inside_columns = (columns >= left[:, None]) & (columns < right[:, None])
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        out = {"image": tf.where(inside[..., None], partner(image), image)}
        if "mask" in batch:
            out["mask"] = tf.where(inside, partner(batch["mask"]), batch["mask"])
        if "label" in batch:
            pasted = tf.cast((bottom - top) * (right - left), tf.float32)
            out["mix"] = 1 - pasted / tf.cast(height * width, tf.float32)
            out["label_other"] = partner(batch["label"])
        if "boxes" in batch:
            corners = tf.cast(tf.stack([left, top, right, bottom], axis=-1), tf.float32)
            out |= _cutmix_boxes(batch, corners, min_visibility)
        return {**batch, **out}

    return op


def _check_alpha(op: str, alpha: float) -> float:
    if check_number(op, "alpha", alpha, 0.0) == 0.0:
        raise InputError(f"{op}: alpha must be above 0, got {alpha!r}. For no mixing set p=0.")
    return float(alpha)


def check_batch(op: str, batch: Sample) -> None:
    """Raises an `InputError` where `batch` is a sample, or mixed by shares already."""
    if batch["image"].shape.rank != 4:
        raise InputError(
            f"{op}: mixes batches, so image must be (B, H, W, C), got shape "
            f"{batch['image'].shape}. Apply it after batching."
        )
    if "mix" in batch:
        raise InputError(
            f"{op}: the batch is mixed already (it has the key 'mix'), and a row has room for "
            "one partner. Use one mixing op; copy_paste may stand before it."
        )


def partner(x: tf.Tensor, number: int = 1) -> tf.Tensor:
    """Each row's partner, the row before it; or the `number`-th before it."""
    return tf.roll(x, shift=number, axis=0)


def _draw_shares(
    seed: tf.Tensor, count: tf.Tensor, alpha: float, p: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """(B,) bool and (B,) float64: is the row mixed; the share of its own image, else 1."""
    fold_in = tf.random.experimental.stateless_fold_in
    hit = tf.random.stateless_uniform([count], fold_in(seed, 0)) < p
    # Two gamma variables give a beta variable. float64, as for a small alpha both may be
    # too small for float32; where even float64 cannot hold them, the image stays its own.
    parts = tf.random.stateless_gamma([count, 2], fold_in(seed, 1), alpha, dtype=tf.float64)
    total = tf.reduce_sum(parts, axis=1)
    share = tf.where(total > 0, parts[:, 0] / tf.where(total > 0, total, 1.0), 1.0)
    return hit, tf.where(hit, share, 1.0)


def _draw_rectangles(
    seed: tf.Tensor, count: tf.Tensor, height: tf.Tensor, width: tf.Tensor, alpha: float, p: float
) -> tuple[tf.Tensor, ...]:
    """Four (B,) int32: top, bottom, left, right in pixels; empty where `p` spares the row."""
    _, share = _draw_shares(seed, count, alpha, p)
    own = tf.random.experimental.stateless_fold_in(seed, 2)
    places = tf.random.stateless_uniform([2, count], own, dtype=tf.float64)
    edges = []
    for place, side in zip(tf.unstack(places), (height, width), strict=True):
        length = tf.cast(tf.round(tf.sqrt(1 - share) * tf.cast(side, tf.float64)), tf.int32)
        middle = tf.cast(tf.floor(place * tf.cast(side, tf.float64)), tf.int32)
        start = middle - length // 2
        edges += [tf.maximum(start, 0), tf.minimum(start + length, side)]
    return tuple(edges)


def _cutmix_boxes(batch: Sample, rectangle: tf.Tensor, min_visibility: float) -> Sample:
    """Boxes after a paste into `rectangle` (B, 4)."""
    own = batch["boxes"]
    other = partner(own)
    window = rectangle[:, None]
    hidden = area(intersection(own, window))
    left_over = area(own) - hidden
    least = least_seen(batch["classes"], min_visibility)
    keep_own = (left_over > 0) & (left_over >= least * area(own))
    # Rows that nothing was pasted over keep all they had, empty boxes too.
    keep_own = (keep_own | (hidden == 0)) & (batch["classes"] != -1)
    clipped = intersection(other, window)
    seen = area(clipped)
    classes = partner(batch["classes"])
    keep_other = (seen > 0) & (seen >= partner(least) * area(other)) & (classes != -1)
    return joined((own, batch["classes"], keep_own), (clipped, classes, keep_other))


def intersection(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """The part of boxes (B, M, 4) in windows (B, 1, 4); empty or turned over where none is."""
    first = tf.maximum(boxes[..., :2], window[..., :2])
    last = tf.minimum(boxes[..., 2:], window[..., 2:])
    return tf.concat([first, last], axis=-1)


def joined(*parts: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> Sample:
    """Several batches of boxes side by side: those to keep first, then empty rows.

    Args:
        parts: Each (boxes (B, M, 4), classes (B, M), whether to keep them (B, M)).

    Returns:
        `boxes` (B, n M, 4) and `classes` (B, n M) of n parts.
    """
    boxes, classes, keep = (tf.concat(each, axis=1) for each in zip(*parts, strict=True))
    order = tf.argsort(tf.cast(keep, tf.int32), axis=1, direction="DESCENDING", stable=True)
    boxes = tf.where(keep[..., None], boxes, 0.0)
    classes = tf.where(keep, classes, -1)
    return {
        "boxes": tf.gather(boxes, order, batch_dims=1),
        "classes": tf.gather(classes, order, batch_dims=1),
    }
