"""UNet has the wiring of Figure 1 of the paper."""

import pytest

from tfvision.models import UNet


def test_block_shapes_halve_with_stride_and_double_in_width():
    model = UNet((16, 32, 1), 5, width=4, depth=3)
    shapes = {k: model.get_layer(f"{k}_2_act").output.shape[1:] for k in ("encoder_1", "bottom")}
    assert shapes == {"encoder_1": (8, 16, 8), "bottom": (2, 4, 32)}


@pytest.mark.parametrize("i", [0, 1, 2])
def test_decoder_merges_the_skip_of_its_stride_with_what_comes_up(i):
    model = UNet((16, 32, 1), 5, width=4, depth=3)
    names = [t._keras_history.operation.name for t in model.get_layer(f"merge_{i}").input]
    assert names == [f"encoder_{i}_2_act", f"up_{i}"]


def test_parameters_of_the_papers_width():
    """Counted by hand: per block 9*(a*c + c*c) + 2*4*c, per upsampling 4*(2c)*c + c."""
    widths = [64, 128, 256, 512, 1024]
    inputs = [1, *widths[:-1]]

    def block(a, c):
        return 9 * (a * c + c * c) + 8 * c

    encoder = sum(block(a, c) for a, c in zip(inputs, widths, strict=True))
    decoder = sum(4 * (2 * c) * c + c + block(2 * c, c) for c in widths[:-1])
    assert UNet((32, 32, 1), 2).count_params() == encoder + decoder + 64 * 2 + 2
