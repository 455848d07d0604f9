"""What an encoder's pixels must be, made of images in [0, 1] by stock layers without weights."""

from typing import Any

from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import enlarge
from tfvision.registry import brief, unknown

# What `preprocess_input` of each family of keras.applications does to pixels in 0..255. Those of
# `none` have the layers for it inside. So have EfficientNetB0 to B7, but their Normalization keeps
# its statistics among the weights and shows them only once it is told to, and one more Rescaling
# is there only with `weights="imagenet"`; together they are `torch`, which takes their place.
FAMILIES = {
    "caffe": ("VGG", "ResNet50", "ResNet101", "ResNet152"),
    "tf": (
        *("ResNet50V2", "ResNet101V2", "ResNet152V2", "Inception", "Xception", "NASNet"),
        *("MobileNet", "MobileNetV2"),
    ),
    "torch": ("DenseNet", "EfficientNetB"),
    "none": ("EfficientNetV2", "MobileNetV3", "ConvNeXt"),
}
PREPROCESSING: dict[str, dict[str, Any]] = {
    "none": {"scale": 255},
    "tf": {"scale": 255, "subtract": 127.5, "divide": 127.5},
    "torch": {"scale": 1, "subtract": [0.485, 0.456, 0.406], "divide": [0.229, 0.224, 0.225]},
    "caffe": {"scale": 255, "subtract": [103.939, 116.779, 123.68], "divide": 1},  # of BGR
}


def prepare(
    image,
    *,
    name: str | None = None,
    preprocessing: str | dict[str, Any] | None = None,
    channels: int | None = 3,
    upsample: int = 1,
):
    """(B, H, W, C) in [0, 1] -> pixels, channels and size as the encoder wants them.

    In float32 under any policy: 255 levels do not fit into half a float's precision. Grey is
    repeated.

    Args:
        image: (B, H, W, C) in [0, 1].
        name: Of a builder of `keras.applications`, whose family says what is not written out.
        preprocessing: As `Encoder` has it.
        channels: What the encoder takes; None is anything.
        upsample: How many times the image is enlarged, after all else.

    Raises:
        InputError: The encoder takes another number of channels; the preprocessing is unknown.
    """
    x, have = image, image.shape[-1]
    scale, subtract, divide = pixels(name, preprocessing)
    if have == 1 and channels not in (None, 1):
        x = layers.Concatenate(dtype="float32", name="pixels_channels")([x] * channels)
    elif channels not in (None, have):
        raise InputError(f"The encoder takes {channels} channels; the images have {have}.")
    elif _preset(name, preprocessing) == "caffe":
        x = _reverse_channels(x)
    if scale != 1:
        x = layers.Rescaling(scale, dtype="float32", name="pixels_scale")(x)
    if subtract != 0 or divide != 1:
        subtract, divide = _one_length(subtract, divide)
        if isinstance(divide, list):
            factor = [1 / d for d in divide]
            offset = [-s / d for s, d in zip(subtract, divide, strict=True)]
        else:
            factor, offset = 1 / divide, -subtract / divide
        x = layers.Rescaling(factor, offset, dtype="float32", name="pixels_shift")(x)
    if upsample > 1:
        x = enlarge(x, upsample, dtype="float32", name="enlarge")
    return x


def _reverse_channels(x):
    """RGB to BGR, by layers that have no weights and take any size."""
    first = {"dtype": "float32"}
    x = layers.Permute((3, 1, 2), **first, name="pixels_first")(x)
    parts = [
        layers.Cropping2D(((k, 2 - k), (0, 0)), **first, name=f"pixels_{'rgb'[k]}")(x)
        for k in (2, 1, 0)
    ]
    x = layers.Concatenate(axis=1, **first, name="pixels_bgr")(parts)
    return layers.Permute((2, 3, 1), **first, name="pixels_last")(x)


def _preset(name: str | None, preprocessing, called: str = "encoder") -> str | None:
    """Name of the preprocessing, None where it is written out."""
    if preprocessing is not None or name is None:
        return preprocessing if isinstance(preprocessing, str) else None
    families = [(family, kind) for kind, names in FAMILIES.items() for family in names]
    fitting = [pair for pair in families if name.startswith(pair[0])]
    if not fitting:
        raise InputError(f"{called} {name}: say its preprocessing, nothing is known of it.")
    return max(fitting, key=lambda pair: len(pair[0]))[1]


def pixels(name: str | None, preprocessing, *, called: str = "encoder") -> tuple:
    """(scale, subtract, divide) of a preprocessing, checked; messages call its section `called`."""
    preset = _preset(name, preprocessing, called)
    if preset is not None:
        if preset not in PREPROCESSING:
            raise InputError(unknown(f"preprocessing of {called}", preset, PREPROCESSING))
        found = PREPROCESSING[preset]
    elif preprocessing is None:
        raise InputError(
            f"{called}.preprocessing is missing: say what pixels the {called} was trained on, such "
            "as {scale: 255, subtract: 127, divide: 128}, {} for [0, 1], or one of "
            f"{', '.join(PREPROCESSING)}."
        )
    else:
        found = preprocessing
    if not isinstance(found, dict):
        raise InputError(f"{called}.preprocessing must be a name or numbers, not {brief(found)}.")
    for key, value in found.items():
        if key not in ("scale", "subtract", "divide"):
            keys = ("scale", "subtract", "divide")
            raise InputError(unknown(f"key of {called}.preprocessing", key, keys))
        numbers = value if isinstance(value, list) else [value]
        wrong = [n for n in numbers if isinstance(n, bool) or not isinstance(n, int | float)]
        if wrong or not numbers or (key == "divide" and 0 in numbers):
            raise InputError(
                f"{called}.preprocessing.{key} must be a number, or one a channel"
                f"{', none of them 0' if key == 'divide' else ''}. Received: {brief(value)}."
            )
    return found.get("scale", 1), found.get("subtract", 0), found.get("divide", 1)


def _one_length(first, second) -> tuple:
    """Two numbers, or two lists of one length."""
    if not isinstance(first, list) and not isinstance(second, list):
        return first, second
    length = max(len(v) for v in (first, second) if isinstance(v, list))
    both = tuple(v if isinstance(v, list) else [v] * length for v in (first, second))
    if {len(v) for v in both} != {length}:
        raise InputError("encoder.preprocessing: subtract and divide have different lengths.")
    return both
