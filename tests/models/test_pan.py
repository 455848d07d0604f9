"""PAN has the attention of Figures 3b and 4 of its paper, its variant the pyramid of FPN."""

import keras
import numpy as np
import pytest

from tests.checks import check_segmentation_model
from tests.models.wiring import block_size, influence, inputs_of, noise, outputs_of, unit_size
from tfvision.models import PAN

SHAPE = (32, 64, 1)


def make(shape=SHAPE, **arguments):
    keras.utils.set_random_seed(0)
    return PAN(shape, 5, **{"width": 4, "depth": 2, **arguments})


def test_the_pyramid_pools_three_times_and_adds_on_its_way_up():
    model = make()
    deepest = "encoder_2_2_act"
    assert inputs_of(model, "fpa_7x7_pool") == inputs_of(model, "fpa_main_conv") == [deepest]
    assert inputs_of(model, "fpa_5x5_pool") == ["fpa_7x7_down_act"]
    assert inputs_of(model, "fpa_3x3_pool") == ["fpa_5x5_down_act"]
    for k in (7, 5, 3):
        assert inputs_of(model, f"fpa_{k}x{k}_side_conv") == [f"fpa_{k}x{k}_down_act"]
        assert model.get_layer(f"fpa_{k}x{k}_down_conv").kernel_size == (k, k)
    assert inputs_of(model, "fpa_3x3_up") == ["fpa_3x3_side_act"]
    assert inputs_of(model, "fpa_5x5") == ["fpa_5x5_side_act", "fpa_3x3_up"]
    assert inputs_of(model, "fpa_7x7") == ["fpa_7x7_side_act", "fpa_5x5_up"]
    assert inputs_of(model, "fpa_7x7_up") == ["fpa_7x7"]
    assert inputs_of(model, "fpa_attention") == ["fpa_main_act", "fpa_7x7_up"]
    assert inputs_of(model, "fpa_global_mean") == [deepest]
    assert inputs_of(model, "fpa") == ["fpa_attention", "fpa_global"]


@pytest.mark.parametrize(("i", "high"), [(0, "gau_1"), (1, "fpa")])
def test_global_attention_upsample_is_figure_4(i, high):
    model = make()
    assert inputs_of(model, f"gau_{i}_context_mean") == inputs_of(model, f"gau_{i}_up") == [high]
    assert inputs_of(model, f"gau_{i}_low_conv") == [f"encoder_{i}_2_act"]
    assert inputs_of(model, f"gau_{i}_weight") == [f"gau_{i}_low_act", f"gau_{i}_context"]
    assert inputs_of(model, f"gau_{i}") == [f"gau_{i}_up", f"gau_{i}_weight"]


def test_global_branches_are_constant_over_space_and_differ_between_images():
    model = make(activation="gelu")
    names = ["fpa", "fpa_attention", "gau_0_weight", "gau_0_low_act"]
    out, attention, weighted, low = outputs_of(model, names, noise(2, *SHAPE))
    branch = out - attention
    np.testing.assert_allclose(branch, branch[:, :1, :1] + 0 * branch, atol=1e-5)
    assert np.abs(branch[0, 0, 0] - branch[1, 0, 0]).max() > 1e-6
    factor = outputs_of(model, ["gau_0_context"], noise(2, *SHAPE))[0]
    assert factor.shape == (2, 1, 1, 8)
    np.testing.assert_allclose(weighted, low * factor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_every_branch_reaches_the_logits(normalization):
    names = [f"fpa_{k}x{k}_side_act" for k in (7, 5, 3)]
    names += ["fpa_main_act", "fpa_global", "gau_1_weight", "gau_1_context", "gau_0_weight"]
    # GELU has a gradient at both sides of zero; two bottom pixels and two channels a group
    # leave the smallest map something to normalise.
    model = make(activation="gelu", features=16, normalization=normalization)
    assert all(influence(model, names, noise(2, *SHAPE)).values())


def test_images_of_the_mars_size_leave_two_pixels_at_the_bottom_of_the_pyramid():
    model = PAN((64, 128, 1), 5, width=2)
    assert model.stride == 64
    assert model.get_layer("encoder_3_2_act").output.shape == (None, 8, 16, 16)
    assert model.get_layer("fpa_3x3_pool").output.shape == (None, 1, 2, 4)


def test_a_small_image_is_padded_until_the_pyramid_has_one_pixel():
    model = make((8, 9, 1))
    assert model.stride == 32
    assert model.get_layer("fpa_3x3_pool").output.shape == (None, 1, 1, 8)
    logits = np.asarray(model(noise(1, 8, 9, 1)))
    assert logits.shape == (1, 8, 9, 5)
    assert np.isfinite(logits).all()
    assert make((8, 9, 1), levels=1).stride == 8


def test_fewer_levels_keep_the_small_kernels():
    model = make(levels=1)
    assert [y.name for y in model.layers if "_down_conv" in y.name] == ["fpa_3x3_down_conv"]
    assert inputs_of(model, "fpa_attention") == ["fpa_main_act", "fpa_3x3_up"]


def test_squeeze_and_excitation_weighs_the_channels_of_each_encoder_block():
    model = make(squeeze_excitation=2)
    inside, weights, out = outputs_of(
        model, ["encoder_1_2_act", "encoder_1_se_excite", "encoder_1_se"], noise(2, *SHAPE)
    )
    assert weights.shape == (2, 1, 1, 8)
    assert 0 < weights.min() <= weights.max() < 1
    np.testing.assert_allclose(out, inside * weights, rtol=1e-5, atol=1e-7)
    assert inputs_of(model, "down_1") == inputs_of(model, "gau_0_low_conv") == ["encoder_0_se"]
    assert inputs_of(model, "fpa_main_conv") == ["encoder_2_se"]
    units = [model.get_layer(f"encoder_{i}_se_reduce").units for i in range(3)]
    assert units == [2, 4, 8]
    assert make(squeeze_excitation=True).get_layer("encoder_2_se_reduce").units == 1
    assert not any("_se" in y.name for y in make().layers)


def test_parameters_counted_by_hand():
    """Encoder 4, 8, 16; features 8; pyramid 3x3 alone; two convolutions a pyramid level."""
    encoder = block_size(1, 4) + block_size(4, 8) + block_size(8, 16)
    pyramid = unit_size(16, 8) + unit_size(8, 8) + unit_size(16, 8, kernel=1) + (16 * 8 + 8)
    gau = sum(unit_size(c, 8) + 8 * 8 + 8 for c in (4, 8))
    assert make(levels=1).count_params() == encoder + pyramid + gau + 8 * 5 + 5
    wider = unit_size(16, 8, kernel=5) + unit_size(8, 8, kernel=5) + 2 * unit_size(8, 8)
    narrow = unit_size(16, 8) + unit_size(8, 8)
    assert make(levels=2).count_params() == make(levels=1).count_params() + wider - narrow


def test_fpn_is_a_segmentation_model_of_odd_size(tmp_path):
    model = make((13, 30, 2), variant="fpn", normalization="group", dropout=0.2)
    assert model.stride == 4
    check_segmentation_model(model, tmp_path, num_classes=5, image_shape=(13, 30, 2))


def test_fpn_goes_down_from_the_top_and_stacks_every_level():
    model = make(variant="fpn", dropout=0.2)
    for i in range(3):
        assert inputs_of(model, f"lateral_{i}") == [f"encoder_{i}_2_act"]
    assert inputs_of(model, "up_1") == ["lateral_2"]
    assert inputs_of(model, "pyramid_1") == ["lateral_1", "up_1"]
    assert inputs_of(model, "up_0") == ["pyramid_1"]
    assert inputs_of(model, "pyramid_0") == ["lateral_0", "up_0"]
    for i, start in enumerate(("pyramid_0", "pyramid_1", "lateral_2")):
        assert inputs_of(model, f"pyramid_{i}_smooth_conv") == [start]
    assert inputs_of(model, "merge") == ["pyramid_0_smooth_act", "whole_1", "whole_2"]
    assert inputs_of(model, "head_conv") == ["merge"]
    assert inputs_of(model, "logits") == ["head_drop"]
    names = ["pyramid_0_smooth_act", "whole_1", "whole_2", "lateral_1"]
    assert all(influence(model, names, noise(1, *SHAPE)).values())


def test_parameters_of_fpn_counted_by_hand():
    encoder = block_size(1, 4) + block_size(4, 8) + block_size(8, 16)
    lateral = sum(c * 8 + 8 for c in (4, 8, 16))
    head = 3 * unit_size(8, 4) + unit_size(12, 8) + 8 * 5 + 5
    assert make(variant="fpn").count_params() == encoder + lateral + head


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "fpm"}, "Unknown variant: 'fpm'. Did you mean 'fpn'"),
        ({"variant": "fpn", "levels": 2}, "levels belongs to the variant pan; fpn has none"),
        ({"levels": 0}, "levels must be a whole number of at least 1. Received: 0"),
        ({"features": 0}, "features must be a whole number of at least 1. Received: 0"),
        ({"squeeze_excitation": 0.5}, "squeeze_excitation must be true, false or a ratio.*0.5"),
        ({"squeeze_excitation": -1}, "squeeze_excitation must be true, false or a ratio.*-1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
