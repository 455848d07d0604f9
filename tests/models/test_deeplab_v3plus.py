"""DeepLabv3+: a pyramid of dilations on the deepest map, one skip into a separable decoder."""

import keras
import numpy as np
import pytest

from tests.models.wiring import block_size, influence, inputs_of, noise, part
from tfvision.models import DeepLabV3Plus

SHAPE = (16, 32, 1)


def make(shape=SHAPE, **arguments):
    keras.utils.set_random_seed(0)
    small = {"width": 4, "depth": 3, "rates": (1, 2), "skip": 1, "features": 8, "reduced": 3}
    return DeepLabV3Plus(shape, 5, **{**small, **arguments})


def separable_size(inputs, filters):
    """Weights of a depth-wise 3x3 and a 1x1 convolution and their normalisation, by hand."""
    return 9 * inputs + inputs * filters + 4 * filters


def test_parameters_counted_by_hand():
    encoder = block_size(1, 4) + block_size(4, 8) + block_size(8, 16) + block_size(16, 32)
    c, f = 32, 8
    pyramid = c * f + 4 * f + 2 * separable_size(c, f)
    joined = 3 * f * f + f + (c * f + f) + f * f + 4 * f  # stack, mean, its 1x1, normalisation
    decoder = 8 * 3 + 4 * 3 + separable_size(f + 3, f) + separable_size(f, f)
    assert make().count_params() == encoder + pyramid + joined + decoder + f * 5 + 5


def test_the_wiring_of_figure_2():
    model = make()
    for branch in ("aspp_1x1_conv", "aspp_rate1_depthwise", "aspp_rate2_depthwise"):
        assert inputs_of(model, branch) == ["encoder_3_2_act"]
    assert inputs_of(model, "aspp_stack") == ["aspp_1x1_act", "aspp_rate1_act", "aspp_rate2_act"]
    assert inputs_of(model, "up") == ["aspp_act"]
    assert inputs_of(model, "reduce_conv") == ["encoder_1_2_act"]
    assert inputs_of(model, "merge") == ["reduce_act", "up"]
    assert inputs_of(model, "decoder_1_depthwise") == ["merge"]
    assert inputs_of(model, "decoder_2_depthwise") == ["decoder_1_act"]
    assert inputs_of(model, "logits") == ["decoder_2_act"]
    assert model.get_layer("logits").output.shape[1:3] == (8, 16)


def test_every_branch_reaches_the_logits():
    names = ["aspp_1x1_act", "aspp_rate1_act", "aspp_rate2_act", "aspp_global", "reduce_act", "up"]
    assert all(influence(make(), names, noise(2, *SHAPE)).values())


def test_a_branch_sees_as_far_as_its_rate():
    model = make((128, 128, 1), rates=(1, 3))
    for rate in (1, 3):
        branch = part(model, "encoder_3_2_act", f"aspp_rate{rate}_depthwise")
        point = np.zeros((1, 16, 16, 32), "float32")
        point[:, 8, 8] = 1
        rows, columns = np.nonzero(np.abs(np.asarray(branch(point))[0]).sum(-1))
        assert set(rows) == set(columns) == {8 - rate, 8, 8 + rate}


def test_the_skip_may_come_from_any_stride_above_the_deepest():
    for skip in (0, 1, 2):
        model = make(skip=skip)
        assert inputs_of(model, "reduce_conv") == [f"encoder_{skip}_2_act"]
        assert model.output.shape == (None, 16, 32, 5)


def test_dropout_is_behind_the_pyramid_too():
    model = make(dropout=0.25)
    assert inputs_of(model, "up") == ["drop"]
    assert model.get_layer("drop").rate == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skip": 3}, "skip must be a whole number from 0 to 2.*stride 8. Received: 3"),
        ({"skip": -1}, "skip must be a whole number from 0 to 2"),
        ({"rates": (1, 0)}, r"rates\[1\] must be a whole number of at least 1. Received: 0"),
        ({"features": 0}, "features must be a whole number of at least 1"),
        (
            {"encoder": {"name": "MobileNetV2"}, "skip": 0},
            "no map at the image's stride 1, which skip 0 asks for.*encoder.stem",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make((64, 64, 1), **arguments)
