"""SegFormer: every stage asks the deepest map, every stage reaches the logits."""

import numpy as np
import pytest

from tests.models.wiring import influence, inputs_of, noise, part
from tfvision.models import SegFormer

SHAPE = (16, 32, 1)


def make(shape=SHAPE, **arguments):
    small = {"width": 4, "depth": 3, "first_stride": 2, "num_layers": 1, "decoder_width": 8}
    return SegFormer(shape, 5, **{**small, **arguments})


def test_b0_has_the_parameters_of_the_papers_weights():
    """3.8 M in Table 1 a; 3,752,694 are those of the authors' weights for 150 classes."""
    model = SegFormer((64, 64, 3), 150)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 3_752_694


def test_stages_have_the_strides_filters_and_heads_of_the_paper():
    model = SegFormer((64, 128, 3), 5, num_layers=1)
    shapes = [model.get_layer(f"tokens_{i}").output.shape[1:] for i in range(4)]
    assert shapes == [(16, 32, 32), (8, 16, 64), (4, 8, 160), (2, 4, 256)]
    attentions = [model.get_layer(f"layer_{i}_1_attention") for i in range(4)]
    assert [(a.num_heads, a.key_dim) for a in attentions] == [(1, 32), (2, 32), (5, 32), (8, 32)]


def test_every_stage_asks_the_map_of_the_deepest_stride():
    model = make()
    for i, asked in enumerate(["layer_0_1_shrink_norm", "layer_1_1_shrink_norm"]):
        assert inputs_of(model, f"layer_{i}_1_attention") == [f"layer_{i}_1_norm_1", asked]
        assert model.get_layer(asked).output.shape[1:3] == (2, 4)
    assert inputs_of(model, "layer_2_1_attention") == ["layer_2_1_norm_1"] * 2


def test_layers_are_pre_norm_and_residual():
    model = make(num_layers=2)
    for n, start in ((1, "patches_1_norm"), (2, "layer_1_1_add_2")):
        name = f"layer_1_{n}"
        assert inputs_of(model, f"{name}_norm_1") == [start]
        assert inputs_of(model, f"{name}_add_1") == [start, f"{name}_attention"]
        assert inputs_of(model, f"{name}_norm_2") == [f"{name}_add_1"]
        assert inputs_of(model, f"{name}_mix") == [f"{name}_mlp_1"]
        assert inputs_of(model, f"{name}_add_2") == [f"{name}_add_1", f"{name}_mlp_2"]
    assert inputs_of(model, "patches_2") == ["tokens_1"]


def test_every_stage_and_branch_reaches_the_logits():
    names = [f"unify_{i}" for i in range(3)]
    names += [f"layer_{i}_1_{key}" for i in range(3) for key in ("attention", "mlp_2")]
    assert inputs_of(make(), "stack") == ["unify_0", "up_1", "up_2"]
    assert all(influence(make(), names, noise(2, *SHAPE)).values())


def test_attention_mixes_far_pixels_and_mix_ffn_knows_the_border():
    model = make((64, 64, 1))
    layer = part(model, "patches_2_norm", "layer_2_1_add_1")
    tokens = noise(1, 8, 8, 20)
    moved = tokens.copy()
    moved[0, 0, 0] = -moved[0, 0, 0, ::-1]
    before = np.asarray(layer(tokens))
    assert np.abs(np.asarray(layer(moved)) - before)[0, -1, -1].max() > 1e-6

    mixed = np.asarray(part(model, "layer_2_1_mlp_1", "layer_2_1_mix")(np.ones((1, 8, 8, 80))))
    np.testing.assert_allclose(mixed[0, 1:-1, 1:-1], mixed[0, 4, 4] + np.zeros((6, 6, 80)))
    assert np.abs(mixed[0, 0, 0] - mixed[0, 4, 4]).max() > 1e-3


def test_dropout_is_in_every_branch_and_before_the_logits():
    model = make(dropout=0.25)
    rates = {y.name: y.rate for y in model.layers if "Dropout" in type(y).__name__}
    branches = {f"layer_{i}_1_drop_{k}" for i in range(3) for k in (1, 2)}
    assert rates == dict.fromkeys([*branches, "fuse_drop"], 0.25)
    assert inputs_of(model, "logits") == ["fuse_drop"]
    assert model.get_layer("layer_0_1_attention").dropout == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_stride": 3}, "first_stride must be 2, 4 or 8.*Received: 3 with depth 3"),
        ({"first_stride": 4, "depth": 1}, "at most 2\\*\\*depth. Received: 4 with depth 1"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1"),
        ({"decoder_width": 0}, "decoder_width must be a whole number of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
