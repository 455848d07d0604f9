"""The tests of wiring can fail: each architecture is built with one deliberate mistake.

The mistake keeps all shapes and weights, so that neither a shape, a count of parameters nor a
gradient would tell. The architecture's own test, run on such a model, must.
"""

import keras
import pytest

from tests.models import (
    test_attention_unet,
    test_deeplab_v3plus,
    test_double_unet,
    test_gated_unet,
    test_pan,
    test_segformer,
    test_specialists,
    test_unet,
    test_unetpp,
)
from tfvision.losses import BinaryCrossEntropy
from tfvision.models import MODELS

CASES = {
    "unet": (
        *(test_unet, "UNet", "test_decoder_merges_the_skip_of_its_stride_with_what_comes_up"),
        *({"i": 1}, "merge_1", 0, "up_1"),
    ),
    "unetpp": (
        *(test_unetpp, "UNetPlusPlus"),
        "test_node_sees_its_row_and_the_node_below_its_left_neighbour",
        *({"i": 0, "j": 2}, "merge_0_2", 0, "x_0_1_2_act"),
    ),
    "attention_unet": (
        *(test_attention_unet, "make", "test_a_gate_sees_its_skip_and_the_coarser_decoder"),
        *({"i": 1, "coarser": "decoder_2_2_act"}, "gate_1_g", 0, "encoder_2_2_act"),
    ),
    "pan": (
        *(test_pan, "make", "test_the_pyramid_pools_three_times_and_adds_on_its_way_up"),
        *({}, "fpa_5x5", 1, "fpa_5x5_side_act"),
    ),
    "gated_unet": (
        *(test_gated_unet, "make", "test_a_gate_sees_its_skip_and_the_coarser_decoder"),
        *({"i": 0, "coarser": "decoder_1_2_act"}, "gate_0_g", 0, "encoder_1_2_act"),
    ),
    "double_unet": (
        *(test_double_unet, "make", "test_the_second_decoder_sees_the_skips_of_both_encoders"),
        *({}, "merge2_0", 0, "encoder2_0_se"),
    ),
    "specialists": (
        *(test_specialists, "make"),
        "test_the_loss_of_a_channel_reaches_the_net_of_its_class_and_no_other",
        *({"loss": BinaryCrossEntropy()}, "net1_logits", 0, "net0_decoder_0_2_act"),
    ),
    "deeplab_v3plus": (
        *(test_deeplab_v3plus, "make", "test_the_wiring_of_figure_2"),
        *({}, "aspp_rate2_depthwise", 0, "encoder_3_1_act"),
    ),
    "segformer": (
        *(test_segformer, "make", "test_every_stage_asks_the_map_of_the_deepest_stride"),
        *({}, "layer_1_1_attention", 1, "layer_1_1_norm_1"),
    ),
}


def miswired(model, layer, place, source):
    """The model with the input number `place` of a layer taken from the layer `source`."""
    config = model.get_config()
    (entry,) = (y for y in config["layers"] if y["name"] == layer)
    (node,) = entry["inbound_nodes"]
    tensors = _tensors(node)
    assert tensors[place]["config"]["keras_history"][0] != source
    tensors[place]["config"]["keras_history"] = [source, 0, 0]
    return keras.Model.from_config(config)


def _tensors(node):
    """The descriptions of a node's input tensors, in its order."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            return [node]
        node = list(node.values())
    return [t for part in node for t in _tensors(part)] if isinstance(node, list | tuple) else []


@pytest.mark.parametrize("name", MODELS)
def test_a_deliberate_miswiring_is_caught(name, monkeypatch):
    assert name in CASES, f"give CASES a mistake that the test of {name} catches"
    module, builder, test, arguments, layer, place, source = CASES[name]
    build = getattr(module, builder)
    getattr(module, test)(**arguments)  # passes on the model as it is

    def wrong(*args, **options):
        model = build(*args, **options)
        changed = miswired(model, layer, place, source)
        assert changed.count_params() == model.count_params()
        assert changed.output_shape == model.output_shape
        return changed

    monkeypatch.setattr(module, builder, wrong)
    with pytest.raises(AssertionError):
        getattr(module, test)(**arguments)
