"""What there is to choose from."""

import math
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
    """Multiplications with an addition in a model's convolutions, dense layers and attention,
    an image."""
    total = 0
    for layer in model.layers:
        if type(layer).__name__ == "MultiHeadAttention":
            total += _of_attention(layer)
        elif getattr(layer, "kernel", None) is not None:
            # A transposed convolution applies its kernel at every input pixel, others at every
            # output pixel.
            transposed = "Transpose" in type(layer).__name__
            places = (layer.input if transposed else layer.output).shape[1:-1]
            total += math.prod(places) * math.prod(layer.kernel.shape)
    return total


def _of_attention(layer) -> int:
    """Queries, keys, values, their two products, and the output of `MultiHeadAttention`."""
    query, value = layer.input[:2]
    asking, asked = math.prod(query.shape[1:-1]), math.prod(value.shape[1:-1])
    config = layer.get_config()
    key_dim = config["num_heads"] * config["key_dim"]
    value_dim = config["num_heads"] * (config["value_dim"] or config["key_dim"])
    projected = asking * query.shape[-1] * key_dim + asked * value.shape[-1] * (key_dim + value_dim)
    products = asking * asked * (key_dim + value_dim)
    return projected + products + asking * value_dim * layer.output.shape[-1]
