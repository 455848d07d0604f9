"""UNet++ has the wiring of Figure 1a of the paper, and can be pruned."""

import keras
import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.models import MODELS, UNetPlusPlus, prune

SHAPE = (16, 32, 1)  # smallest image with two pixels left at stride 8


def test_node_shapes_halve_with_stride_and_double_in_width():
    model = UNetPlusPlus(SHAPE, 5, width=4, depth=3)
    assert node_shape(model, "x_0_0") == (None, 16, 32, 4)
    assert node_shape(model, "x_2_0") == (None, 4, 8, 16)
    assert node_shape(model, "x_3_0") == (None, 2, 4, 32)
    assert node_shape(model, "x_0_3") == (None, 16, 32, 4)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 2), (0, 3), (1, 2), (2, 1)])
def test_node_sees_its_row_and_the_node_below_its_left_neighbour(i, j):
    model = UNetPlusPlus(SHAPE, 5, width=4, depth=3)
    row = [f"x_{i}_{k}_2_act" for k in range(j)]
    assert inputs_of(model, f"merge_{i}_{j}") == [*row, f"up_{i}_{j}"]
    assert inputs_of(model, f"up_{i}_{j}") == [f"x_{i + 1}_{j - 1}_2_act"]


def test_depth_one_is_the_smallest_triangle():
    model = UNetPlusPlus(SHAPE, 2, width=4, depth=1)
    assert [layer.name for layer in model.layers if "merge" in layer.name] == ["merge_0_1"]


def test_deep_supervision_gives_one_output_a_depth():
    model = UNetPlusPlus((13, 30, 1), 5, width=4, depth=3, deep_supervision=True)
    assert [output.shape for output in model.outputs] == [(None, 13, 30, 5)] * 3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pruned_model_gives_the_output_of_its_depth_from_fewer_weights(depth):
    model = UNetPlusPlus(SHAPE, 5, width=4, depth=3, deep_supervision=True)
    images = np.random.default_rng(0).random((2, *SHAPE), dtype="float32")
    pruned = prune(model, depth)
    np.testing.assert_allclose(pruned(images), model(images)[depth - 1], atol=1e-6)
    assert pruned.count_params() < model.count_params()
    assert max(int(y.name.split("_")[1]) for y in pruned.layers if y.name[:2] == "x_") == depth


def test_each_output_gets_its_own_loss_in_plain_keras():
    model = UNetPlusPlus(SHAPE, 3, width=4, depth=2, deep_supervision=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=[loss, loss])
    images = np.random.default_rng(0).random((4, *SHAPE), dtype="float32")
    masks = (images[..., 0] > 0.5).astype("int32")
    history = model.fit(images, [masks, masks], epochs=2, verbose=0).history
    assert {"logits_1_loss", "logits_2_loss"} <= set(history)
    assert history["loss"][-1] < history["loss"][0]


def test_pruning_needs_deep_supervision_and_an_existing_depth():
    with pytest.raises(ValueError, match="trained with deep_supervision=True"):
        prune(UNetPlusPlus(SHAPE, 5, width=4, depth=2), 1)
    model = UNetPlusPlus(SHAPE, 5, width=4, depth=2, deep_supervision=True)
    with pytest.raises(ValueError, match=r"depth must be 1 to 2. Received: 3"):
        prune(model, 3)


def node_shape(model, node):
    return model.get_layer(f"{node}_2_act").output.shape


def inputs_of(model, name):
    tensors = keras.tree.flatten(model.get_layer(name).input)
    return [t._keras_history.operation.name for t in tensors]


def test_only_a_unetpp_is_pruned():
    model = MODELS["double_unet"]((16, 16, 1), 3, width=4, depth=2, deep_supervision=True)
    with pytest.raises(InputError, match="Only a UNet\\+\\+ can be pruned"):
        prune(model, 1)


def test_without_deep_supervision_nothing_is_pruned():
    model = UNetPlusPlus(SHAPE, 3, width=4, depth=2, deep_supervision=False)
    with pytest.raises(InputError, match=r"has one output\. Train it with --set model\.deep"):
        prune(model, 1)
