"""Images of several sizes brought to one size by one factor, and their boxes with them.

An image is scaled as a whole until it goes into the size, lies at the top left, and the rest, at
the right and below, is grey. So objects keep their shapes, and a box of the image is the box
times the factor. Training arrays and predictors have it from here. Boxes are `x1 y1 x2 y2` in
pixels; an own size is (height, width), in numbers or in an int32 tensor (2,).
"""

import tensorflow as tf

PAD_VALUE = 114 / 255  # of pixels in [0, 1]; near the mean of photographs, and a level of 8 bits


def letterbox_scale(own_size, size: tuple[int, int], *, enlarge: bool = False) -> tf.Tensor:
    """() float32: the factor by which an image of `own_size` goes into `size`.

    Args:
        own_size: Of the image.
        size: (height, width).
        enlarge: Whether a small image grows until it fills one side; else the factor is 1 at
            most.
    """
    factor = tf.reduce_min(tf.cast(size, tf.float32) / tf.cast(own_size, tf.float32))
    return factor if enlarge else tf.minimum(factor, 1.0)


def letterbox_image(
    image: tf.Tensor, size: tuple[int, int], *, enlarge: bool = False, pad: float = PAD_VALUE
) -> tf.Tensor:
    """(B, H, W, C) float32 -> (B, *size, C): bilinear, antialiased where it shrinks.

    An image that needs no scaling is copied bit by bit.

    Args:
        image: Of any size, static or not.
        size: (height, width).
        enlarge: As `letterbox_scale` has it.
        pad: The value of pixels that are not the image's.
    """
    scale = letterbox_scale(tf.shape(image)[1:3], size, enlarge=enlarge)
    # What `tf.image.resize` calls, but with one factor instead of two that are nearly equal, and
    # 0 beyond the image. So the channel of ones tells what is image.
    moved = tf.raw_ops.ScaleAndTranslate(
        images=tf.concat([image, tf.ones_like(image[..., :1])], -1),
        size=size,
        scale=tf.stack([scale, scale]),
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )
    out = tf.where(moved[..., -1:] > 0.5, moved[..., :-1], pad)
    return tf.ensure_shape(out, [image.shape[0], *size, image.shape[-1]])


def boxes_to_letterbox(
    boxes: tf.Tensor, own_size, size: tuple[int, int], *, enlarge: bool = False
) -> tf.Tensor:
    """Boxes (..., 4) float32 of an image, in pixels of `letterbox_image`."""
    return boxes * letterbox_scale(own_size, size, enlarge=enlarge)


def boxes_from_letterbox(
    boxes: tf.Tensor, own_size, size: tuple[int, int], *, enlarge: bool = False
) -> tf.Tensor:
    """Boxes (..., 4) float32 of `letterbox_image`, in pixels of the image, clipped to it."""
    height, width = tf.unstack(tf.cast(own_size, tf.float32))
    own = boxes / letterbox_scale(own_size, size, enlarge=enlarge)
    return tf.clip_by_value(own, 0.0, tf.stack([width, height, width, height]))
