"""What there is to choose from."""

from typing import Any

from tfvision.models import MODELS

SHAPE = (64, 128, 1)
NUM_CLASSES = 5


def models() -> list[dict[str, Any]]:
    """Prints every architecture at its paper's width, with its cost at 64x128x1."""
    rows = []
    for name in MODELS:
        model = MODELS[name](SHAPE, NUM_CLASSES)
        about = (MODELS[name].__doc__ or "").split("\n")[0]
        rows.append(
            {
                "name": name,
                "num_parameters": model.count_params(),
                "multiply_adds": multiply_adds(model),
                "about": about,
            }
        )
    shape = "x".join(map(str, SHAPE))
    print(f"{'name':16}{'parameters':>14}{'multiply-adds':>16}   at {shape}, default width")
    for row in rows:
        adds = f"{row['multiply_adds'] / 1e9:.2f} G"
        print(f"{row['name']:16}{row['num_parameters']:>14,}{adds:>16}   {row['about']}")
    return rows


def multiply_adds(model) -> int:
    """Multiplications with an addition in a model's convolutions and dense layers, an image."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # A transposed convolution applies its kernel at every input pixel, others at every
        # output pixel.
        transposed = "Transpose" in type(layer).__name__
        shape = (layer.input if transposed else layer.output).shape[1:-1]
        places = 1
        for side in shape:
            places *= side
        size = 1
        for side in kernel.shape:
            size *= side
        total += places * size
    return total
