"""Progressive unfreezing: the head learns first, then the backbone, block by block from its end.

Howard, Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, Section 3.3
("gradual unfreezing"), https://arxiv.org/abs/1801.06146; here some blocks at a time.
"""

import re
from typing import Any

import keras

from tfvision.errors import InputError
from tfvision.models.blocks import check_counts
from tfvision.models.encoder_graph import PREFIX

# How blocks are called in names of layers: ConvNeXt, and the ResNet of this package; ResNet and
# DenseNet; EfficientNet, MobileNetV2, VGG, Xception; MobileNetV3; MobileNet.
_BLOCK = re.compile(
    r"(stage_?\d+_block_?\d+|conv\d+_block\d+|blocks?_?\d+[a-z]?(?=_)|expanded_conv(?:_\d+)?(?=_)|"
    r"conv_[dp]w_\d+)"
)


def blocks_of(model: keras.Model) -> list[list[str]]:
    """Names of the layers that can learn in each block of a model's backbone, from the image on.

    The backbone are the layers of an encoder from elsewhere, or, in a model without one, those
    behind which there is still a map. A block is recognised by the names of layers (`block3a_...`,
    `stage_0_block_1_...`); where these say nothing, it is all that works at one size of the map.
    What stands before the first block is one of its own, the stem; what stands between two, such
    as a halving, goes with the later one; what stands behind the last goes with that.

    Args:
        model: Built.

    Returns:
        Names as `train.stages` takes them: those inside a model within the model are `NAME/*`.
        A block has at least one layer with weights; its dropout layers are listed with it.
    """
    outside = [y for y in model.layers if y.name.startswith(PREFIX)]
    backbone = outside or [y for y in model.layers if _side(y)]
    keys = [_key(layer.name.removeprefix(PREFIX)) for layer in backbone]
    if len(set(keys) - {None}) < 2:
        keys = [_side(layer) for layer in backbone]
    groups: dict[Any, list] = {}
    waiting, last = [], None
    for layer, key in zip(backbone, keys, strict=True):
        if key is None:
            waiting.append(layer)
            continue
        if last is None and any(y.trainable_weights for y in waiting):
            groups["stem"], waiting = waiting, []
        groups.setdefault(key, []).extend([*waiting, layer])
        waiting, last = [], key
    groups.setdefault(last, []).extend(waiting)
    named = [[_pattern(layer) for layer in group if _learns(layer)] for group in groups.values()]
    teaching = [any(y.trainable_weights for y in group) for group in groups.values()]
    return [names for names, teaches in zip(named, teaching, strict=True) if teaches]


def progressive_stages(
    model: keras.Model, *, blocks: int = 2, every: int = 20, head_epochs: int | None = None
) -> list[dict[str, Any]]:
    """Stages as `train.stages` has them: the head, then `blocks` blocks more every `every` epochs.

    Args:
        model: Built, with a backbone.
        blocks: How many are released at a time, from the head towards the image.
        every: Epochs between two releases.
        head_epochs: Of the head alone; None: `every`.

    Returns:
        Dicts of `epochs`, `trainable` and `keep_slots`; the last, in which all learn, has no
        `epochs` and lasts to the end. Slots of the optimizer are kept, so that layers that learn
        already go on as they were.

    Raises:
        InputError: A number is below 1, no layer of the backbone can learn, or there is none
            behind it.
    """
    head_epochs = every if head_epochs is None else head_epochs
    check_counts(blocks=blocks, every=every, head_epochs=head_epochs)
    found = blocks_of(model)
    if not found:
        raise InputError(
            "Nothing can be unfrozen: no layer of the backbone may learn. Set "
            "model.backbone.trainable to true; the stages freeze it."
        )
    of_backbone = {name for names in found for name in names}
    learning = [y for y in model.layers if _learns(y) and _pattern(y) not in of_backbone]
    if not any(y.trainable_weights for y in learning):
        raise InputError("Nothing can be unfrozen: the model has no head behind its backbone.")
    opened = [_pattern(y) for y in learning]
    stages = [{"epochs": head_epochs, "trainable": opened}]
    while found:
        found, released = found[:-blocks], found[-blocks:]
        opened = [*opened, *(name for names in released for name in names)]
        stages.append({"epochs": every, "trainable": opened, "keep_slots": True})
    # `*` also has what neither learns nor drops, so that the end is a training of the whole.
    stages[-1] = {"trainable": ["*"], "keep_slots": True}
    return stages


def _key(name: str) -> str | None:
    """What tells the block of a layer, None where its name does not say."""
    match = _BLOCK.search(name)
    # A depth-wise and the 1x1 convolution behind it are one block of MobileNet.
    return match and re.sub(r"conv_[dp]w_", "conv_", match[1])


def _side(layer) -> tuple | None:
    """(height, width) of a layer's map, None where it gives none or more than one."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # called more than once, or gives several tensors
        return None
    return tuple(shape[1:3]) if len(shape) == 4 else None


def _learns(layer) -> bool:
    """Has weights to learn, or drops: a stage that does not name it switches that off."""
    return bool(layer.trainable_weights) or isinstance(layer, keras.layers.Dropout)


def _pattern(layer) -> str:
    return f"{layer.name}/*" if isinstance(layer, keras.Model) else layer.name
