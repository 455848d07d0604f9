"""Gated UNet: VGG's stages, a transformer that reaches every pixel, gates on every skip."""

import keras
import numpy as np
import pytest

from tests.models.wiring import block_size, influence, inputs_of, noise, part, unit_size
from tfvision.models import GatedUNet

SHAPE = (16, 32, 1)


def make(shape=SHAPE, **arguments):
    keras.utils.set_random_seed(0)
    return GatedUNet(shape, 5, **{"width": 4, "depth": 2, **arguments})


def test_stages_have_the_convolutions_and_filters_of_vgg_16():
    model = make((32, 32, 1), width=2, depth=4)
    stages = {f"encoder_{i}": [] for i in range(4)} | {"bottom": []}
    for layer in model.layers:
        if layer.name.endswith("_conv") and layer.name.rsplit("_", 2)[0] in stages:
            stages[layer.name.rsplit("_", 2)[0]].append(layer.filters)
    assert list(stages.values()) == [[2, 2], [4, 4], [8, 8, 8], [16, 16, 16], [16, 16, 16]]


@pytest.mark.parametrize(("i", "coarser"), [(0, "decoder_1_2_act"), (1, "tokens")])
def test_a_gate_sees_its_skip_and_the_coarser_decoder(i, coarser):
    model = make()
    assert inputs_of(model, f"gate_{i}_x") == [f"encoder_{i}_2_act"]
    assert inputs_of(model, f"gate_{i}_g") == inputs_of(model, f"up_{i}") == [coarser]
    assert inputs_of(model, f"gate_{i}") == [f"encoder_{i}_2_act", f"gate_{i}_alpha"]
    assert inputs_of(model, f"merge_{i}") == [f"gate_{i}", f"up_{i}"]


def test_transformer_layers_are_pre_norm_and_residual():
    model = make()
    assert inputs_of(model, "positions") == ["bottom_3_act", "positions_conv"]
    for n, start in ((1, "positions"), (2, "transformer_1_add_2")):
        name = f"transformer_{n}"
        assert inputs_of(model, f"{name}_norm_1") == [start]
        assert inputs_of(model, f"{name}_attention") == [f"{name}_norm_1"] * 2
        assert inputs_of(model, f"{name}_add_1") == [start, f"{name}_attention"]
        assert inputs_of(model, f"{name}_norm_2") == [f"{name}_add_1"]
        assert inputs_of(model, f"{name}_add_2") == [f"{name}_add_1", f"{name}_mlp_2"]
    assert inputs_of(model, "tokens") == ["transformer_2_add_2"]


def test_every_branch_reaches_the_logits():
    names = ["gate_0", "gate_0_psi", "gate_1", "gate_1_psi", "tokens", "bottom_3_act"]
    names += [f"transformer_{n}_{key}" for n in (1, 2) for key in ("attention", "mlp_2")]
    assert all(influence(make(), names, noise(2, *SHAPE)).values())


def test_the_bottom_mixes_far_pixels_and_only_positions_know_where_they_are():
    """Attention and MLP treat pixels alike: shuffle them, and their outputs are shuffled."""
    model = make((64, 64, 1))
    transformer = part(model, "positions", "transformer_1_add_2")
    tokens = noise(1, 16, 16, 16)
    before = np.asarray(transformer(tokens))
    moved = tokens.copy()
    moved[0, 0, 0] = -moved[0, 0, 0, ::-1]
    assert np.abs(np.asarray(transformer(moved)) - before)[0, -1, -1].max() > 1e-5

    order = np.random.default_rng(0).permutation(256)
    shuffled = tokens.reshape(1, 256, 16)[:, order].reshape(tokens.shape)
    np.testing.assert_allclose(
        np.asarray(transformer(shuffled)).reshape(1, 256, 16),
        before.reshape(1, 256, 16)[:, order],
        rtol=1e-4,
        atol=1e-5,
    )
    where = np.asarray(part(model, "bottom_3_act", "positions")(np.ones_like(tokens)))
    np.testing.assert_allclose(where[0, 1:-1, 1:-1], where[0, 5, 5] + np.zeros((14, 14, 16)))
    assert np.abs(where[0, 0, 0] - where[0, 5, 5]).min() > 1e-4


def test_normalization_is_not_that_of_the_tokens():
    for kind in ("group", "none"):
        tokens = [
            layer.name
            for layer in make(normalization=kind).layers
            if isinstance(layer, keras.layers.LayerNormalization)
        ]
        norms = [f"transformer_{n}_norm_{k}" for n in (1, 2) for k in (1, 2)]
        assert tokens == [*norms, "tokens"]


def test_dropout_is_in_the_transformer_too():
    model = make(dropout=0.25, num_layers=1)
    drops = [y for y in model.layers if type(y) is keras.layers.Dropout]
    assert [y.rate for y in drops] == [0.25, 0.25]
    assert model.get_layer("transformer_1_attention").dropout == 0.25


def test_parameters_counted_by_hand():
    """Widths 4, 8, 16; three units at the bottom; one transformer layer of ratio 3."""
    encoder = block_size(1, 4) + block_size(4, 8) + block_size(8, 16) + unit_size(16, 16)
    c = 16
    attention = 4 * (c * c + c)
    mlp = c * 3 * c + 3 * c + 3 * c * c + c
    transformer = 9 * c + 2 * c + attention + 2 * c + mlp + 2 * c
    decoder = sum(4 * (2 * c) * c + c + block_size(2 * c, c) for c in (4, 8))
    gates = sum(4 * c * c + (2 * c) * c + c + c + 1 for c in (4, 8))
    model = make(num_layers=1, mlp_ratio=3, num_heads=2)
    assert model.count_params() == encoder + transformer + decoder + gates + 4 * 5 + 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide the 16 filters of the bottom.*Received: 3"),
        ({"num_heads": 0}, "num_heads must be a whole number of at least 1"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1"),
        ({"mlp_ratio": 1.5}, r"mlp_ratio must be a whole number of at least 1. Received: 1.5"),
    ],
)
def test_bad_arguments_of_the_transformer(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
