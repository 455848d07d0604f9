"""Attention UNet has the gates of Figure 2 of the paper on the skips of Figure 1."""

import keras
import numpy as np
import pytest

from tests.models.wiring import block_size, influence, inputs_of, noise, outputs_of
from tfvision.models import AttentionUNet

SHAPE = (16, 32, 1)


def make(**arguments):
    keras.utils.set_random_seed(0)
    return AttentionUNet(SHAPE, 5, **{"width": 4, "depth": 3, **arguments})


@pytest.mark.parametrize(("i", "coarser"), [(1, "decoder_2_2_act"), (2, "bottom_2_act")])
def test_a_gate_sees_its_skip_and_the_coarser_decoder(i, coarser):
    model = make()
    skip = f"encoder_{i}_2_act"
    assert inputs_of(model, f"gate_{i}_x") == [skip]
    assert inputs_of(model, f"gate_{i}_g") == inputs_of(model, f"up_{i}") == [coarser]
    assert inputs_of(model, f"gate_{i}_add") == [f"gate_{i}_x", f"gate_{i}_g"]
    assert inputs_of(model, f"gate_{i}") == [skip, f"gate_{i}_alpha"]
    assert inputs_of(model, f"merge_{i}") == [f"gate_{i}", f"up_{i}"]


def test_the_finest_skip_is_gated_only_when_asked():
    assert inputs_of(make(), "merge_0") == ["encoder_0_2_act", "up_0"]
    assert "gate_0" not in {layer.name for layer in make().layers}
    assert inputs_of(make(gate_finest=True), "merge_0") == ["gate_0", "up_0"]


def test_the_gate_is_equations_1_and_2():
    model = make()
    names = ["encoder_1_2_act", "decoder_2_2_act", "gate_1_psi", "gate_1_alpha", "gate_1"]
    skip, gating, psi, alpha, gated = outputs_of(model, names, noise(2, *SHAPE))
    (w_x,), (w_g, b_g), (w_psi, b_psi) = (
        model.get_layer(f"gate_1_{key}").get_weights() for key in ("x", "g", "psi")
    )
    x = sum(skip[:, r::2, c::2] @ w_x[r, c] for r in (0, 1) for c in (0, 1))
    q = np.maximum(x + gating @ w_g[0, 0] + b_g, 0) @ w_psi[0, 0] + b_psi
    np.testing.assert_allclose(psi, 1 / (1 + np.exp(-q)), rtol=1e-4, atol=1e-6)
    assert alpha.shape == (*skip.shape[:3], 1)
    assert alpha.min() > 0
    assert alpha.max() < 1
    np.testing.assert_allclose(gated, skip * alpha, rtol=1e-5, atol=1e-7)


def test_a_closed_gate_shuts_its_skip_and_no_other():
    model, images = make(), noise(1, *SHAPE)
    names = ["encoder_0_2_act", "gate_1", "gate_2", "gate_1_psi", "gate_2_psi"]
    assert all(influence(model, names, images).values())
    kernel, bias = model.get_layer("gate_1_psi").get_weights()
    model.get_layer("gate_1_psi").set_weights([kernel * 0, bias - 200])
    one, two = outputs_of(model, ["gate_1", "gate_2"], images)
    assert not one.any()
    assert two.any()


def test_parameters_counted_by_hand():
    """UNet's, and of each gate 2x2 from the skip, 1x1 and bias from below, 1 and bias to psi."""
    widths = [4, 8, 16, 32]
    encoder = sum(block_size(a, c) for a, c in zip([1, *widths[:-1]], widths, strict=True))
    decoder = sum(4 * (2 * c) * c + c + block_size(2 * c, c) for c in widths[:-1])
    gates = sum(4 * c * c + (2 * c) * c + c + c + 1 for c in (8, 16))
    assert make().count_params() == encoder + decoder + gates + 4 * 5 + 5
