"""Transfer: a backbone from elsewhere, the mean of its last map, a new classifier.

    image -+- colours - preprocessing - backbone ----- last map - mean - [dense] - logits
           |                            | stem's map
           +- region --- region_stem ---+ (only of images with one channel more)

The backbone is a section like `encoder` of the segmentation models, and its weights enter in the
same way: by `encoder_weights.load_encoder`, when a training begins. Building reads none.
"""

from typing import Any

import keras
from keras import layers, ops

from tfvision.errors import InputError
from tfvision.models import blocks, heads
from tfvision.models.encoder_graph import feature_maps, input_channels, last_map
from tfvision.models.encoder_pixels import prepare
from tfvision.models.encoders import Encoder, parse_encoder, resolve_architecture


def Transfer(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str | dict[str, Any] | Encoder,
    units: int = 0,
    dropout: float = 0.2,
    activation: str = "relu",
    name: str = "transfer",
) -> keras.Model:
    """Builds a classifier on the last feature map of any Keras model.

    The layers of the backbone are named `encoder_` and their name. Images of one channel are
    repeated as often as the backbone takes channels. A channel more than it takes, or a second
    one, is a region: see `backbone_map`.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        backbone: Keys of `models.encoders.Encoder`: `name` of a builder of keras.applications,
            or `path` of a .keras file with its `preprocessing`; `weights`, `arguments`,
            `upsample`, `trainable`, `batch_norm`, and `taps: [LAYER]` for another map than the
            last.
        units: Of a hidden dense layer; 0 for none.
        dropout: Before the last layer.
        activation: Of the hidden layer.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An argument has an impossible value; the backbone is unknown or cannot be
            made, or takes other channels.
    """
    backbone = parse_backbone(backbone)
    heads.check_classifier(input_shape, num_classes, dropout, halvings=0, name=name)
    if units:
        blocks.check_counts(units=units)
    image = keras.Input(input_shape, name="image")
    x = heads.pool(backbone_map(image, backbone))
    logits = heads.logits_from(x, num_classes, units=units, dropout=dropout, activation=activation)
    return blocks.as_model(image, logits, stride=1, name=name)


def parse_backbone(section: str | dict[str, Any] | Encoder) -> Encoder:
    """The section `backbone` of a classifier, checked.

    Raises:
        InputError: As `parse_encoder`; a stem, or several taps, which only a decoder can use.
    """
    backbone = parse_encoder(section, called="backbone")
    if backbone.stem:
        raise InputError("backbone.stem is a skip of a decoder; a classifier has none.")
    if backbone.taps is not None and len(backbone.taps) != 1:
        raise InputError(
            f"backbone.taps must name one layer, whose map is classified. Received: "
            f"{', '.join(map(str, backbone.taps))}."
        )
    return backbone


def backbone_map(image, backbone: Encoder):
    """The last map of a backbone, or the one of its tap. (B, H, W, C) -> (B, h, w, F).

    Where an image has one channel more than the backbone takes, or two, the last is a region, 1
    where the object is. It goes through a convolution of its own, `region_stem`, whose result is
    added to what the first convolution of the backbone makes of the colours. It begins as zero,
    so that at the start the model is the pretrained one and the region may gain influence as it
    helps; a pretrained first convolution widened by a random channel would disturb all that
    follows.

    Raises:
        InputError: The backbone takes other channels, has no map, or cannot be made.
    """
    architecture = resolve_architecture(backbone)
    tap = backbone.taps[0] if backbone.taps else last_map(architecture)
    channels = input_channels(architecture)
    colours, stem = image, None
    if channels is not None and image.shape[-1] in {2, channels + 1} - {channels}:
        colours, region = ops.split(image, [image.shape[-1] - 1], axis=-1)
        if backbone.upsample > 1:
            region = blocks.enlarge(region, backbone.upsample, dtype="float32", name="region_large")

        def stem(x):
            return _with_region(x, region)

    x = prepare(
        colours,
        name=backbone.name,
        preprocessing=backbone.preprocessing,
        channels=channels,
        upsample=backbone.upsample,
    )
    return feature_maps(
        architecture,
        x,
        [tap],
        trainable=backbone.trainable,
        frozen=backbone.frozen,
        stem=stem,
    )[0]


def _with_region(x, region):
    """A stem's map plus a convolution of the region, of the same stride, that is zero at first."""
    stride = round(region.shape[1] / x.shape[1])
    y = layers.Conv2D(
        x.shape[-1],
        max(3, stride),
        strides=stride,
        padding="same",
        kernel_initializer="zeros",
        use_bias=False,
        name="region_stem",
    )(region)
    # A stem without padding gives a map smaller by a pixel or two.
    y = blocks.crop_to(y, x.shape[1:3])
    return layers.Add(name="region_add")([x, y])
