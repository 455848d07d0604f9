r"""Specialists: one UNet a class, each of which tells its class from all others.

Project's own rule for the «FiveNets» of the Mars report, which does not say how its five
one-class nets were combined. One-vs-rest scores on one scale, by a fit of two numbers a net
after the training: Platt, "Probabilistic Outputs for Support Vector Machines", 1999.

    image -+- net0_encoder_0 ... net0_decoder_0 - net0_logits -+
           +- net1_encoder_0 ... net1_decoder_0 - net1_logits -+- scores - calibration
           +- ...                                              +

The nets share the image and nothing else. A channel of the output is a logit of its own, of
class k against the rest: `model.one_vs_rest` says so, and inference takes sigmoids and divides
them by their sum, where other models have a softmax.

Background as the complement has no net: its logit is minus the largest of the others, so that
it wins where no specialist sees more than 0.5. No gradient flows through it, since at a pixel
of class 1 where net 2 is the surest, it would make net 2 surer still.
"""

import keras
from keras import layers, ops

from tfvision.errors import InputError
from tfvision.models.blocks import as_model
from tfvision.models.unet import UNet
from tfvision.registry import unknown

BACKGROUNDS = ("own", "complement")


def Specialists(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 16,
    depth: int = 4,
    background: str = "own",
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "specialists",
) -> keras.Model:
    """Builds one UNet a class, in one model.

    The layers of the net of class k are named `netK_...`, as those of `UNet` with a number
    before. `calibration` multiplies each logit by a number and adds one; it is not trained,
    and does nothing until it is fitted.

    Args:
        input_shape: As `UNet` has it.
        num_classes: Number of classes, background, which is class 0, included; at least 2.
        width, depth, dropout, normalization, activation: Of each net, as `UNet` has them.
        background: `own`, a net like the others, or `complement`, what no net claims.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 one-vs-rest logits
        (B, H, W, num_classes); its attribute `one_vs_rest` is true.

    Raises:
        InputError: Fewer than two classes, an unknown background, or what `UNet` refuses.
    """
    if background not in BACKGROUNDS:
        raise InputError(unknown("background", background, BACKGROUNDS))
    if not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(
            "num_classes of specialists must be a whole number of at least 2, background "
            f"included. Received: {num_classes!r}."
        )
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    image = keras.Input(input_shape, name="image")
    own = background == "own"
    pattern = UNet(input_shape, 1, width=width, depth=depth, **style)
    nets = [_copy(pattern, image, f"net{k}_") for k in range(0 if own else 1, num_classes)]

    # Logits stay float32 under mixed precision, here as in the nets.
    scores = _stack([net.outputs[0] for net in nets], name="scores")
    logits = layers.DepthwiseConv2D(
        1, depthwise_initializer="ones", trainable=False, dtype="float32", name="calibration"
    )(scores)
    if not own:
        surest = ops.max(ops.stop_gradient(logits), axis=-1, keepdims=True)
        logits = _stack([ops.negative(surest), logits], name="logits")
    model = as_model(image, logits, stride=2**depth, name=name)
    model.one_vs_rest = True
    return model


def _stack(maps: list, *, name: str):
    if len(maps) == 1:  # one specialist, of two classes
        return maps[0]
    return layers.Concatenate(dtype="float32", name=name)(maps)


def _copy(net: keras.Model, image, prefix: str) -> keras.Model:
    """`net` on `image`, of new layers with new weights, whose names begin with `prefix`."""

    def renamed(layer):
        return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

    return keras.models.clone_model(net, input_tensors=image, clone_function=renamed)
