"""Double UNet has the wiring of Figure 1 of the paper."""

import keras
import numpy as np
import pytest

from tests.models.wiring import block_size, influence, inputs_of, noise, outputs_of, unit_size
from tfvision.models import DoubleUNet

SHAPE = (16, 32, 1)


def make(shape=SHAPE, classes=5, **arguments):
    keras.utils.set_random_seed(0)
    return DoubleUNet(shape, classes, **{"width": 4, "depth": 2, **arguments})


@pytest.mark.parametrize("channels", [1, 3])
def test_the_second_net_sees_the_image_times_each_classs_probability(channels):
    model, images = make((16, 32, channels)), noise(2, 16, 32, channels)
    logits, attended = outputs_of(model, ["logits_1", "attended"], images)
    odds = np.exp(logits)
    probability = odds / odds.sum(axis=-1, keepdims=True)
    by_hand = images[..., :, None] * probability[..., None, :]
    np.testing.assert_allclose(attended, by_hand.reshape(*attended.shape), rtol=1e-4, atol=1e-6)
    copies = attended.reshape(*images.shape, 5)
    np.testing.assert_allclose(copies.sum(axis=-1), images, rtol=1e-5, atol=1e-6)
    assert inputs_of(model, "encoder2_0_1_conv") == ["attended"]


def test_one_class_is_the_papers_sigmoid():
    model, images = make(classes=1), noise(1, *SHAPE)
    logits, attended = outputs_of(model, ["logits_1", "attended"], images)
    np.testing.assert_allclose(attended, images / (1 + np.exp(-logits)), rtol=1e-5, atol=1e-6)


def test_the_second_decoder_sees_the_skips_of_both_encoders():
    model = make()
    for i in (0, 1):
        first, second = f"encoder1_{i}_2_act", f"encoder2_{i}_se"
        assert inputs_of(model, f"merge1_{i}") == [first, f"up1_{i}"]
        assert inputs_of(model, f"merge2_{i}") == [first, second, f"up2_{i}"]
    assert inputs_of(model, "up1_1") == ["aspp1_act"]
    assert inputs_of(model, "up2_1") == ["aspp2_act"]
    assert inputs_of(model, "up2_0") == ["decoder2_1_se"]
    assert inputs_of(model, "logits_1") == ["decoder1_0_se"]
    assert inputs_of(model, "logits") == ["decoder2_0_se"]


def test_every_branch_of_both_nets_reaches_the_last_logits():
    names = [f"encoder{net}_{i}_2_act" for net in (1, 2) for i in (0, 1)]
    names += ["aspp1_act", "aspp2_act", "aspp1_global", "aspp2_rate18_act", "logits_1", "attended"]
    model = make(activation="gelu")
    assert all(influence(model, names, noise(2, *SHAPE)).values())


def test_both_nets_are_trained_at_once_and_the_last_logits_are_the_models():
    one, two = (make(depth=1, aspp_rates=(1,), deep_supervision=on) for on in (False, True))
    assert [y.shape for y in two.outputs] == [(None, 16, 32, 5)] * 2
    images = noise(4, *SHAPE)
    one.set_weights(two.get_weights())
    np.testing.assert_allclose(one(images), two(images)[1], rtol=1e-5, atol=1e-6)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    two.compile(keras.optimizers.SGD(0.1), loss=[loss, loss])
    masks = (images[..., 0] > 0.5).astype("int32")
    history = two.fit(images, [masks, masks], epochs=2, verbose=0).history
    assert {"logits_1_loss", "logits_2_loss"} <= set(history)
    assert history["loss"][-1] < history["loss"][0]


def test_the_first_net_knows_nothing_of_the_second():
    model = make(deep_supervision=True)
    images = noise(1, *SHAPE)
    before = [np.asarray(y) for y in model(images)]
    layer = model.get_layer("encoder2_0_1_conv")
    layer.set_weights([w + 1 for w in layer.get_weights()])
    after = [np.asarray(y) for y in model(images)]
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 1e-6


def test_two_outputs_of_an_odd_size():
    model = make((13, 30, 3), deep_supervision=True, normalization="group")
    assert [y.shape for y in model(noise(2, 13, 30, 3))] == [(2, 13, 30, 5)] * 2


def test_aspp_is_one_convolution_of_the_stack_of_all_branches():
    """The mean of the map, spread over it, stacked as one branch more: the paper's form."""
    model = make(normalization="none", aspp_rates=(1, 2))
    names = ["bottom1_2_act", "aspp1_1x1_act", "aspp1_rate1_act", "aspp1_rate2_act", "aspp1_act"]
    x, *branches, out = outputs_of(model, names, noise(2, *SHAPE))
    assert inputs_of(model, "aspp1_rate2_conv") == ["bottom1_2_act"]
    assert model.get_layer("aspp1_rate2_conv").dilation_rate == (2, 2)
    kernel, bias = model.get_layer("aspp1_global").get_weights()
    mean = np.maximum(x.mean(axis=(1, 2), keepdims=True) @ kernel[0, 0] + bias, 0)
    stack = np.concatenate([*branches, mean + np.zeros_like(branches[0])], axis=-1)
    kernel, bias = model.get_layer("aspp1_conv").get_weights()
    of_mean = model.get_layer("aspp1_global_conv").get_weights()[0]
    by_hand = stack @ np.concatenate([kernel, of_mean], axis=2)[0, 0] + bias
    np.testing.assert_allclose(out, np.maximum(by_hand, 0), rtol=1e-4, atol=1e-6)


def test_without_rates_and_ratio_two_plain_unets_remain():
    model = make(aspp_rates=(), squeeze_excitation=False)
    assert not any("aspp" in y.name or "_se" in y.name for y in model.layers)
    assert inputs_of(model, "up1_1") == ["bottom1_2_act"]
    assert model.count_params() == plain_size()


def test_parameters_counted_by_hand():
    """Beside the plain nets: ASPP of 8 filters with one rate, blocks reduced twofold."""
    model = make(aspp_rates=(3,), squeeze_excitation=2)
    branches = unit_size(16, 8, kernel=1) + unit_size(16, 8) + (16 * 8 + 8)
    aspp = branches + (2 * 8 * 8 + 8) + 8 * 8 + 4 * 8
    narrower = 9 * (16 - 8) * 8  # both decoders start from 8 channels, not from the bottom's 16
    weighed = [4, 8, *(4, 8, 16), 4, 8]  # first decoder, second encoder, second decoder
    excitation = sum(c * (c // 2) + c // 2 + (c // 2) * c + c for c in weighed)
    assert model.count_params() == plain_size() + 2 * (aspp - narrower) + excitation


def plain_size():
    """Widths 4, 8, 16; the second net takes five copies of the image and twice the skips."""
    first = block_size(1, 4) + block_size(4, 8) + block_size(8, 16)
    first += block_size(16 + 8, 8) + block_size(8 + 4, 4)
    second = block_size(5, 4) + block_size(4, 8) + block_size(8, 16)
    second += block_size(16 + 8 + 8, 8) + block_size(8 + 4 + 4, 4)
    return first + second + 2 * (4 * 5 + 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"aspp_rates": (2, 0)}, r"aspp_rates\[1\] must be a whole number of at least 1"),
        ({"squeeze_excitation": 0}, "squeeze_excitation must be true, false or a ratio"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
