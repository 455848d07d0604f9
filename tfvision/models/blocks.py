"""Building blocks shared by the models: functions from tensor to tensor.

A block is a plain function so that every model is a flat graph of stock Keras
layers: it saves, loads and exports without custom objects, and any inner tensor
can be reached with `model.get_layer(...)` (Grad-CAM, frozen stages, ...).

Shapes in comments: B batch, H height, W width, C channels.
"""

import math
from collections.abc import Callable, Sequence

import keras
from keras import layers, ops

from tfvision.errors import InputError
from tfvision.registry import unknown

NORMALIZATIONS = ("batch", "sync_batch", "group", "frozen", "none")


def conv_block(
    x,
    filters: int,
    *,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str,
):
    """Two 3x3 conv-normalisation-activation units. (B, H, W, C) -> (B, H, W, filters)."""
    style = {"normalization": normalization, "activation": activation}
    x = conv_unit(x, filters, **style, name=f"{name}_1")
    if dropout:
        x = layers.SpatialDropout2D(dropout, name=f"{name}_drop")(x)
    return conv_unit(x, filters, **style, name=f"{name}_2")


def small_encoder(x, width: int, depth: int, *, ratio: int = 0, **style) -> list:
    """A block, and another after each halving. (B, H, W, C) -> maps at strides 1 ... `2**depth`.

    Args:
        x: (B, H, W, C), H and W multiples of `2**depth`.
        width: Filters at stride 1; doubled at every coarser stride.
        depth: Number of 2x downsamplings.
        ratio: Of `squeeze_excite` behind every block; 0 for none.
        **style: Of `conv_block`.
    """
    maps = []
    for i in range(depth + 1):
        x = layers.MaxPooling2D(name=f"down_{i}")(x) if i else x
        x = conv_block(x, width * 2**i, **style, name=f"encoder_{i}")
        if ratio:
            x = squeeze_excite(x, ratio, activation=style["activation"], name=f"encoder_{i}_se")
        maps.append(x)
    return maps


def conv_unit(
    x,
    filters: int,
    *,
    kernel: int = 3,
    dilation: int = 1,
    normalization: str,
    activation: str,
    name: str,
):
    """Convolution, normalisation, activation. (B, H, W, C) -> (B, H, W, filters)."""
    x = layers.Conv2D(
        filters,
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=normalization == "none",
        name=f"{name}_conv",
    )(x)
    x = normalize(x, normalization, name=f"{name}_norm")
    return layers.Activation(activation, name=f"{name}_act")(x)


def normalize(x, kind: str, *, name: str):
    """The normalisation layer called `kind`; the shape stays.

    `batch` uses the statistics of one replica's part of the batch, `sync_batch` those of
    the whole batch over all replicas, `group` those of one image (Wu and He, 2018,
    https://arxiv.org/abs/1803.08494), in at most 8 groups of equal size. `frozen` is batch
    normalisation whose weights and statistics stay what they began as: for weights from
    elsewhere, since with initial ones it normalises nothing.
    """
    if kind == "none":
        return x
    if kind == "group":
        return layers.GroupNormalization(math.gcd(8, x.shape[-1]), name=name)(x)
    if kind == "frozen":
        return layers.BatchNormalization(trainable=False, name=name)(x)
    if kind in ("batch", "sync_batch"):
        # Keras' momentum of 0.99 needs hundreds of steps, many epochs of a small data set,
        # before the statistics of inference mean anything.
        return layers.BatchNormalization(
            momentum=0.9, synchronized=kind == "sync_batch", name=name
        )(x)
    raise InputError(unknown("normalization", kind, NORMALIZATIONS))


def squeeze_excite(x, ratio: int, *, activation: str, name: str):
    """Weighs each channel by a sigmoid of all channels' means; the shape stays.

    Hu, Shen, Sun, "Squeeze-and-Excitation Networks", 2018, Equations 2 to 4.
    https://arxiv.org/abs/1709.01507

    Args:
        x: (B, H, W, C).
        ratio: The two dense layers meet in C / ratio units, at least one.
        activation: That of the first of them; the paper's is `relu`.
        name: Of the block and its last layer.
    """
    filters = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    y = layers.Dense(max(1, filters // ratio), activation=activation, name=f"{name}_reduce")(y)
    y = layers.Dense(filters, activation="sigmoid", name=f"{name}_excite")(y)
    return layers.Multiply(name=name)([x, y])


def global_context(x, filters: int, *, activation: str, name: str):
    """What a map says as a whole. (B, H, W, C) -> (B, 1, 1, filters), to be broadcast.

    Not normalised: one value an image and channel has no statistics of its own.
    """
    x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    return layers.Conv2D(filters, 1, activation=activation, name=name)(x)


def separable_unit(
    x,
    filters: int,
    *,
    dilation: int = 1,
    normalization: str,
    activation: str,
    name: str,
):
    """Depth-wise 3x3, then 1x1 convolution, then as `conv_unit`. (B, H, W, C) -> (B, H, W,
    filters).

    Chen et al., 2018, Figure 3, https://arxiv.org/abs/1802.02611: nine multiplications a pixel
    and channel for the space, and a 1x1 convolution for the channels.
    """
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=dilation, use_bias=False, name=f"{name}_depthwise"
    )(x)
    return conv_unit(
        x, filters, kernel=1, normalization=normalization, activation=activation, name=name
    )


def aspp(
    x,
    filters: int,
    rates: Sequence[int],
    *,
    unit: Callable = conv_unit,
    normalization: str,
    activation: str,
    name: str,
):
    """Atrous spatial pyramid pooling. (B, H, W, C) -> (B, H, W, filters).

    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
    https://arxiv.org/abs/1706.05587, Figure 5: a 1x1 convolution, a dilated 3x3 one a rate,
    the mean of the map, stacked and brought together by a 1x1 convolution.

    Args:
        x: (B, H, W, C).
        filters: Of every branch and of the result.
        rates: Dilations, in pixels of `x`.
        unit: What a dilated branch is, `conv_unit` or `separable_unit`.
        normalization: As `normalize` has it.
        activation: Name of a Keras activation.
        name: Of the block.
    """
    style = {"normalization": normalization, "activation": activation}
    branches = [conv_unit(x, filters, kernel=1, **style, name=f"{name}_1x1")]
    for rate in rates:
        branches.append(unit(x, filters, dilation=rate, **style, name=f"{name}_rate{rate}"))
    stacked = layers.Concatenate(name=f"{name}_stack")(branches)
    y = layers.Conv2D(filters, 1, name=f"{name}_conv")(stacked)
    # A 1x1 convolution of a stack is a sum of one a branch: so the mean, one pixel, joins
    # maps of any size.
    mean = global_context(x, filters, activation=activation, name=f"{name}_global")
    mean = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_global_conv")(mean)
    y = layers.Add(name=f"{name}_add")([y, mean])
    y = normalize(y, normalization, name=f"{name}_norm")
    return layers.Activation(activation, name=f"{name}_act")(y)


def attention_gate(skip, gating, *, activation: str, name: str):
    """Lets a skip through where the coarser map asks for it; the skip's shape stays.

    Oktay et al., 2018, Figure 2 and Equations 1 and 2. https://arxiv.org/abs/1804.03999

        skip ----+--------------------------------------------- (*) -> output
                 + x: 2x2, stride 2 --+                          |
                                     add - act - psi: sigmoid - alpha: bilinear, in [0, 1]
        gating --- g: 1x1 -----------+

    Args:
        skip: (B, 2H, 2W, C).
        gating: (B, H, W, G).
        activation: Sigma 1 of Equation 1; the paper's is `relu`.
        name: Of the block and its last layer.
    """
    filters = skip.shape[-1]
    x = layers.Conv2D(filters, 2, strides=2, use_bias=False, name=f"{name}_x")(skip)
    g = layers.Conv2D(filters, 1, name=f"{name}_g")(gating)
    q = layers.Add(name=f"{name}_add")([x, g])
    q = layers.Activation(activation, name=f"{name}_act")(q)
    alpha = layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_psi")(q)
    alpha = enlarge(alpha, 2, name=f"{name}_alpha")
    return layers.Multiply(name=name)([skip, alpha])


def upsample(x, filters: int, *, name: str):
    """Learned 2x upsampling. (B, H, W, C) -> (B, 2H, 2W, filters)."""
    return layers.Conv2DTranspose(filters, 2, strides=2, name=name)(x)


def enlarge(x, factor: int, *, name: str, dtype=None):
    """Bilinear upsampling. (B, H, W, C) -> (B, factor * H, factor * W, C).

    The layer of Keras fails in a graph whose height and width are open (3.15 asks whether a
    size that is not known yet is positive), and a graph of open size is what predicts. There
    the same values are made of repeated pixels and two means: for an even factor s, the filter
    of s + 1 taps that turns steps into straight lines is a mean of s and one of 2.

    Args:
        x: (B, H, W, C).
        factor: 2, 4, 8, ...
        name: Of the last layer.
        dtype: Of the layers; None: the policy's.
    """
    if None not in x.shape[1:3]:
        # As deep as the other graph: Keras orders layers, and so weights, by their depth.
        for step in ("repeat", "pad", "mean"):
            x = layers.Identity(dtype=dtype, name=f"{name}_{step}")(x)
        return layers.UpSampling2D(factor, interpolation="bilinear", dtype=dtype, name=name)(x)
    half = factor // 2
    x = layers.UpSampling2D(factor, dtype=dtype, name=f"{name}_repeat")(x)
    x = ops.pad(x, [[0, 0], [half, half], [half, half], [0, 0]], mode="symmetric")
    x = layers.AveragePooling2D(factor, strides=1, dtype=dtype, name=f"{name}_mean")(x)
    return layers.AveragePooling2D(2, strides=1, dtype=dtype, name=name)(x)


def pad_to_stride(x, stride: int):
    """Zero-pads below and to the right to multiples of `stride`; sizes of None pass."""
    pads = [(-size) % stride if size else 0 for size in x.shape[1:3]]
    return layers.ZeroPadding2D([(0, pads[0]), (0, pads[1])])(x) if any(pads) else x


def crop_to(x, size: tuple[int | None, int | None]):
    """Undoes `pad_to_stride`. (B, >=H, >=W, C) -> (B, H, W, C)."""
    cuts = [have - want if want else 0 for have, want in zip(x.shape[1:3], size, strict=True)]
    # Of the type of `x`: under mixed precision a layer casts what it is given, logits too.
    return layers.Cropping2D([(0, cuts[0]), (0, cuts[1])], dtype=x.dtype)(x) if any(cuts) else x


def as_model(image, logits, *, stride: int, name: str) -> keras.Model:
    """The model from `image` to `logits`, which remembers in `model.stride` what height and
    width must be multiples of where the input's size is open."""
    model = keras.Model(image, logits, name=name)
    model.stride = stride
    return model


def check_builder(width: int, depth: int, dropout: float, num_classes: int) -> None:
    """Raises an `InputError` for arguments that no model of this package can have."""
    check_counts(width=width, depth=depth, num_classes=num_classes)
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be at least 0 and below 1. Received: {dropout!r}.")


def check_counts(**counts: int) -> None:
    """Raises an `InputError` for an argument that is no whole number of at least 1."""
    for key, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{key} must be a whole number of at least 1. Received: {value!r}.")


def squeeze_ratio(value: bool | int) -> int:
    """The `ratio` of `squeeze_excite` that an argument asks for, 0 for none.

    True is the paper's 16.
    """
    if value is True:
        return 16
    if value is False:
        return 0
    if not isinstance(value, int) or value < 1:
        raise InputError(
            "squeeze_excitation must be true, false or a ratio, a whole number of at least 1. "
            f"Received: {value!r}."
        )
    return value
