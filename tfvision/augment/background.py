"""Ops that replace what is around the object, so that a network cannot learn the class from it.

Where each class was photographed before its own background, a network learns the background and
fails where it changes. These ops need to know where the object is: the sample's `region` (H, W)
uint8, 1 there. A region of 0 all over says that it is not known, and the image stays as it is (0
and not 1: geometric ops bring in 0, so that it is 0 all over after them). An image of 2 or 4
channels has its region as the last of them (`data.input: mask_channel`), which is never replaced.
Masks and labels stay.
"""

from collections.abc import Sequence

import tensorflow as tf

from tfvision.augment.mixing import check_batch, partner
from tfvision.augment.sample import Op, Sample, check_probability, draw, image_size
from tfvision.augment.smoothing import fixed_gaussian, smooth_image
from tfvision.errors import InputError

KINDS = ("colour", "noise", "clouds", "blur")
_CELLS = 6  # of the grid that `clouds` interpolates
_SIGMA = 8.0  # pixels, of `blur`


def random_background(p: float = 0.5, kinds: Sequence[str] = ("colour", "noise", "clouds")) -> Op:
    """Replaces the pixels outside the sample's region; the edge is hard.

    Args:
        p: Probability that the op happens.
        kinds: Which backgrounds, each as likely: "colour", one colour; "noise", every pixel a
            colour; "clouds", smooth colours, interpolated between 6 x 6 random ones; "blur", the
            image's own, so strongly smoothed that colours alone stay. These may still tell the
            class, so that "blur" must be asked for.

    Raises:
        InputError: When called, where the sample has no `region`.
    """
    p = check_probability("random_background", p)
    kinds = _check_kinds(kinds)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        region = region_of("random_background", sample) > 0
        image = sample["image"]
        u_hit, u_kind = draw(seed, 2)
        own = tf.random.experimental.stateless_fold_in(seed, 1)
        makers = [lambda make=_MAKERS[kind]: make(image, own) for kind in kinds]
        chosen = tf.cast(tf.floor(u_kind * len(kinds)), tf.int32)
        new = tf.switch_case(chosen, makers) if len(makers) > 1 else makers[0]()
        hit = (u_hit < p) & tf.reduce_any(region)
        replaced = (~region & hit)[..., None] & _is_colour(image)
        out = tf.where(replaced, new, image)
        out.set_shape(image.shape)
        return {**sample, "image": out}

    return op


def paste_on_background(p: float = 0.5) -> Op:
    """A mixing op: the row's object on its partner's background.

    Pixels outside the row's region become those of the partner (what that is says `mixing`).
    Where the partner's own object would show they become the mean colour of its background, so
    that no second object comes in. The label stays the row's own: of two classes that each had a
    background of their own, both are now seen before both. `mixup` or `cutmix` may follow.

    Args:
        p: Probability that a row is pasted.

    Raises:
        InputError: When called, where the batch has no `region`, or is mixed.
    """
    p = check_probability("paste_on_background", p)

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("paste_on_background", batch)
        image = batch["image"]
        region = region_of("paste_on_background", batch) > 0
        known = tf.reduce_any(region, axis=[1, 2]) & tf.reduce_any(~region, axis=[1, 2])
        hit = tf.random.stateless_uniform([tf.shape(image)[0]], seed) < p
        hit &= known & partner(known)
        clean = tf.where(region[..., None], _mean_outside(image, region), image)
        replaced = ~region & hit[:, None, None]
        replaced = replaced[..., None] & _is_colour(image)
        out = tf.where(replaced, partner(clean), image)
        out.set_shape(image.shape)
        return {**batch, "image": out}

    return op


def _check_kinds(kinds: Sequence[str]) -> list[str]:
    given = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(given, list | tuple) or not given or any(k not in KINDS for k in given):
        raise InputError(
            "random_background: kinds must be a list with one or more of "
            f"{', '.join(KINDS)}, got {kinds!r}."
        )
    return list(dict.fromkeys(given))


def region_of(op: str, sample: Sample) -> tf.Tensor:
    """The region of a sample or a batch; an `InputError` where there is none."""
    if "region" not in sample:
        raise InputError(
            f"{op}: must know where the object is, and the sample has no region. Give data with "
            "masks, or boxes with data.input full(find='grabcut') or crop(find='grabcut'), or "
            "leave the op out."
        )
    return sample["region"]


def _is_colour(image: tf.Tensor) -> tf.Tensor:
    """(C,) bool: False for the region that an image of 2 or 4 channels carries last."""
    channels = tf.shape(image)[-1]
    return (tf.range(channels) < channels - 1) | (channels % 2 == 1)


def _mean_outside(image: tf.Tensor, region: tf.Tensor) -> tf.Tensor:
    """(B, 1, 1, C): the mean colour of the pixels outside the region (B, H, W); 0 of none."""
    outside = tf.cast(~region, image.dtype)[..., None]
    count = tf.maximum(tf.reduce_sum(outside, axis=[1, 2], keepdims=True), 1.0)
    return tf.reduce_sum(image * outside, axis=[1, 2], keepdims=True) / count


def _colour(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    colour = tf.random.stateless_uniform([1, 1, image.shape[-1]], seed)
    return tf.broadcast_to(colour, tf.shape(image))


def _noise(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(tf.shape(image), seed)


def _clouds(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    colours = tf.random.stateless_uniform([_CELLS, _CELLS, image.shape[-1]], seed)
    smooth = tf.image.resize(colours, tf.stack(image_size(image)))
    # Weights that sum to 1 but for rounding may leave [0, 1] by a bit in the last place.
    return tf.clip_by_value(smooth, 0.0, 1.0)


def _blur(image: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(smooth_image(image, fixed_gaussian(_SIGMA)), 0.0, 1.0)


_MAKERS = {"colour": _colour, "noise": _noise, "clouds": _clouds, "blur": _blur}
