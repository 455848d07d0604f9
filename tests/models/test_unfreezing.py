"""Blocks of a backbone told by names, or by the size of the map; stages that release them."""

import keras
import pytest
from keras import layers

from tfvision.errors import InputError
from tfvision.models import ResNet18
from tfvision.models.unfreezing import blocks_of, progressive_stages


def chain(names, *, trainable=True):
    """A model whose backbone has 1x1 convolutions, batch norms and dropouts of these names."""
    x = image = keras.Input((8, 8, 2), name="image")
    for name in names:
        kind, name = name.split(":") if ":" in name else ("conv", name)
        if kind == "halve":
            x = layers.MaxPooling2D(name=f"encoder_{name}")(x)
        elif kind == "drop":
            x = layers.Dropout(0.1, name=f"encoder_{name}")(x)
        elif kind == "nested":
            inner = [keras.Input(x.shape[1:]), layers.Conv2D(2, 1, name="inside")]
            x = keras.Sequential(inner, name=f"encoder_{name}")(x)
        else:
            x = layers.Conv2D(2, 1, name=f"encoder_{name}")(x)
    for layer in keras.Model(image, x).layers:
        layer.trainable = trainable
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = layers.Dropout(0.5, name="head_drop")(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x))


@pytest.mark.parametrize(
    "expected",
    [
        [["conv1"], ["conv_dw_1", "conv_pw_1"], ["conv_dw_12", "conv_pw_12"]],
        [["Conv1"], ["expanded_conv_project"], ["block_1_expand", "block_1_BN"], ["block_11_a"]],
        [["conv"], ["expanded_conv_squeeze_excite_conv_1"], ["expanded_conv_1_a", "conv_1"]],
        [["stem_conv"], ["block1a_se_reduce"], ["block1b_a"], ["block2a_a", "top_conv"]],
        [["conv1_conv"], ["conv2_block1_1_conv"], ["conv2_block10_a"], ["pool2", "conv3_block1_a"]],
        [["_conv_stem"], ["_blocks_0__bn1"], ["_blocks_10__a"], ["_blocks_11__a", "_conv_head"]],
        [["block1_conv1", "block1_conv2"], ["block2_conv1"]],
    ],
    ids=["mobilenet", "mobilenet-v2", "mobilenet-v3", "efficientnet", "resnet", "lite0", "vgg"],
)
def test_blocks_are_told_by_the_names_of_layers(expected):
    model = chain([name for block in expected for name in block])
    assert blocks_of(model) == [[f"encoder_{name}" for name in block] for block in expected]


def test_blocks_of_a_convnext_have_models_inside():
    name = "convnext_tiny_stage_{}_block_{}_depthwise_conv"
    model = chain(
        [
            "nested:convnext_tiny_stem",
            name.format(0, 0),
            name.format(0, 1),
            "nested:convnext_tiny_downsampling_block_0",
            name.format(1, 0),
            "layer_normalization",
        ]
    )
    assert blocks_of(model) == [
        ["encoder_convnext_tiny_stem/*"],
        ["encoder_" + name.format(0, 0)],
        ["encoder_" + name.format(0, 1)],
        [
            "encoder_convnext_tiny_downsampling_block_0/*",
            "encoder_" + name.format(1, 0),
            "encoder_layer_normalization",
        ],
    ]


def test_without_such_names_a_block_is_a_size_of_the_map():
    model = chain(["conv2d", "conv2d_1", "halve:pool", "conv2d_2", "halve:pool_1", "conv2d_3"])
    assert blocks_of(model) == [
        ["encoder_conv2d", "encoder_conv2d_1"],
        ["encoder_conv2d_2"],
        ["encoder_conv2d_3"],
    ]


def test_a_resnet_of_ours_has_its_eight_blocks_and_a_stem():
    found = blocks_of(ResNet18((32, 32, 1), 3, width=2))
    assert len(found) == 9
    assert found[0] == ["stem_conv", "stem_norm"]
    assert "stage2_block1_0_conv" in found[3]  # the projection of its shortcut
    assert not {"logits", "head_pool"} & {name for block in found for name in block}


def test_stages_release_blocks_from_the_head_to_the_image():
    names = ["stem", "block1_a", "drop:block1_drop", "block2_a", "block3_a", "block4_a"]
    stages = progressive_stages(chain(names), blocks=2, every=5, head_epochs=3)
    head = ["head_drop", "logits"]
    last = ["encoder_block3_a", "encoder_block4_a"]
    middle = ["encoder_block1_a", "encoder_block1_drop", "encoder_block2_a"]
    assert stages == [
        {"epochs": 3, "trainable": head},
        {"epochs": 5, "trainable": [*head, *last], "keep_slots": True},
        {"epochs": 5, "trainable": [*head, *last, *middle], "keep_slots": True},
        {"trainable": ["*"], "keep_slots": True},
    ]
    assert progressive_stages(chain(names), blocks=9, every=4) == [
        {"epochs": 4, "trainable": head},
        {"trainable": ["*"], "keep_slots": True},
    ]


def test_what_cannot_be_unfrozen_is_refused():
    model = chain(["block1_a", "block2_a"])
    with pytest.raises(InputError, match="blocks must be a whole number of at least 1"):
        progressive_stages(model, blocks=0)
    with pytest.raises(InputError, match=r"Set model\.backbone\.trainable to true"):
        progressive_stages(chain(["block1_a", "block2_a"], trainable=False))
    with pytest.raises(InputError, match="no head behind its backbone"):
        progressive_stages(keras.Model(model.input, model.get_layer("encoder_block2_a").output))
