r"""Double UNet: a second UNet looks again, at what the first one found.

Jha et al., "DoubleU-Net: A Deep Convolutional Neural Network for Medical Image
Segmentation", 2020. https://arxiv.org/abs/2006.04868

Names follow Figure 1 of the paper, read by stride `2**i`; a number before the stride tells
the net:

    image --------------------------------------------------> attended = image * softmax
      |                                                         |       of logits_1
    encoder1_0 ------------> merge1_0 - decoder1_0 - logits_1   |
      | down1_1    \            / up1_0                         |
    bottom1 - aspp1 \----------                                 |
                     \                                          |
                      +----------> merge2_0 - decoder2_0 - logits_2
                     /                / up2_0                   |
                    +- encoder2_0 <--/--------------------------+
                         | down2_1  /
                       bottom2 - aspp2

The paper's only class is a foreground, and its image enters the second net times that
probability. Rule for several classes: one copy of the image a class, each times the
probability of its class, so that the copies add up to the image and no class is told apart
from the others. `logits_2` are `logits` where they are the only output.

Unlike the paper's, both encoders are made from scratch, blocks have two convolutions, and
several classes share one softmax. As in the paper, upsampling is bilinear, the second
decoder sees the skips of both encoders, and squeeze-and-excitation is in the blocks of all
but the first encoder.
"""

import keras
from keras import layers

from tfvision.models.blocks import (
    as_model,
    aspp,
    check_builder,
    check_counts,
    conv_block,
    crop_to,
    enlarge,
    pad_to_stride,
    squeeze_excite,
    squeeze_ratio,
)


def DoubleUNet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 32,
    depth: int = 4,
    aspp_rates: tuple[int, ...] = (6, 12, 18),
    squeeze_excitation: bool | int = True,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    deep_supervision: bool = False,
    name: str = "double_unet",
) -> keras.Model:
    """Builds two UNets in a row, of which the second starts from what the first found.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `2**depth` and cropped back. Where they
            are None, the caller feeds multiples of `2**depth`.
        num_classes: Number of classes, background included. One class is a sigmoid.
        width: Filters at stride 1; doubled at every coarser stride.
        depth: Number of 2x downsamplings of each net.
        aspp_rates: Dilations of the atrous spatial pyramid pooling at both bottoms, in
            pixels at stride `2**depth`; none leaves it out.
        squeeze_excitation: Weigh the channels of each block; true reduces 16-fold, a
            number that many times.
        dropout: Rate of the spatial dropout inside every block, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`.
        activation: Name of a Keras activation.
        deep_supervision: Return the logits of both nets, each to be given a loss, so that
            both are trained at once; the last are the model's.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes), or to two such tensors, the first net's and the second's.

    Raises:
        InputError: A width, depth, dilation or ratio below 1, a dropout outside [0, 1),
            an unknown normalization.
    """
    check_builder(width, depth, dropout, num_classes)
    check_counts(**{f"aspp_rates[{n}]": rate for n, rate in enumerate(aspp_rates)})
    ratio = squeeze_ratio(squeeze_excitation)
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    shape = {"width": width, "depth": depth, "rates": tuple(aspp_rates), "style": style}
    image = keras.Input(input_shape, name="image")
    x = pad_to_stride(image, 2**depth)

    skips_1, bottom = _encoder(x, **shape, ratio=0, net=1)
    decoded = _decoder(bottom, [[s] for s in skips_1], ratio, style, net=1)
    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits_1 = layers.Conv2D(num_classes, 1, dtype="float32", name="logits_1")(decoded)

    attended = _attend(x, logits_1)
    skips_2, bottom = _encoder(attended, **shape, ratio=ratio, net=2)
    pairs = [list(pair) for pair in zip(skips_1, skips_2, strict=True)]
    decoded = _decoder(bottom, pairs, ratio, style, net=2)
    last = "logits_2" if deep_supervision else "logits"
    logits_2 = layers.Conv2D(num_classes, 1, dtype="float32", name=last)(decoded)

    both = [crop_to(y, input_shape[:2]) for y in (logits_1, logits_2)]
    outputs = both if deep_supervision else both[1]
    return as_model(image, outputs, stride=2**depth, name=name)


def _encoder(x, *, width, depth, rates, style, ratio, net: int):
    """Halves `depth` times. (B, H, W, C) -> skips by stride, and the bottom's map."""
    skips = []
    for i in range(depth):
        x = _block(x, width * 2**i, ratio, style, name=f"encoder{net}_{i}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"down{net}_{i + 1}")(x)
    x = _block(x, width * 2**depth, ratio, style, name=f"bottom{net}")
    if rates:
        units = {key: style[key] for key in ("normalization", "activation")}
        x = aspp(x, width * 2 ** (depth - 1), rates, **units, name=f"aspp{net}")
    return skips, x


def _decoder(x, skips: list[list], ratio: int, style: dict, *, net: int):
    """Doubles until stride 1; a block has the filters of its skips."""
    for i in reversed(range(len(skips))):
        up = enlarge(x, 2, name=f"up{net}_{i}")
        merged = layers.Concatenate(name=f"merge{net}_{i}")([*skips[i], up])
        x = _block(merged, skips[i][0].shape[-1], ratio, style, name=f"decoder{net}_{i}")
    return x


def _block(x, filters: int, ratio: int, style: dict, *, name: str):
    x = conv_block(x, filters, **style, name=name)
    if not ratio:
        return x
    return squeeze_excite(x, ratio, activation=style["activation"], name=f"{name}_se")


def _attend(image, logits):
    """A copy of the image for each class, times its probability.

    (B, H, W, C), (B, H, W, K) -> (B, H, W, C * K): channel 0 for every class, channel 1 ...
    """
    channels, classes = image.shape[-1], logits.shape[-1]
    probability = (
        layers.Softmax(dtype="float32", name="probability")
        if classes > 1
        else layers.Activation("sigmoid", dtype="float32", name="probability")
    )(logits)
    if channels > 1:
        # Repeats channels as an upsampling repeats pixels: Keras has no layer for it.
        image = layers.Permute((1, 3, 2), name="copies_in")(image)
        image = layers.UpSampling2D((1, classes), name="copies")(image)
        image = layers.Permute((1, 3, 2), name="copies_out")(image)
        probability = layers.Concatenate(name="probabilities")([probability] * channels)
    return layers.Multiply(name="attended")([image, probability])
