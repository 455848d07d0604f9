"""What there is to choose from."""

import inspect
import math
from collections.abc import Callable
from typing import Any

from tfvision.registry import Registry
from tfvision.tasks.facts import facts_of, task_names


def models() -> list[dict[str, Any]]:
    """Prints every architecture at its paper's width, with its cost at one size; of a detector,
    whose cost is that of several nets on what it finds, the parameters alone."""
    rows = []
    for task in task_names():
        facts = facts_of(task)
        rows += _listed(facts.models(), task, *facts.example)
    return rows


def _listed(table: Registry, task: str, shape: tuple, num_classes: int) -> list[dict[str, Any]]:
    from tfvision.models.detector import Detector

    rows = []
    for name in table:
        row = {"name": name, "task": task, "num_parameters": None, "multiply_adds": None}
        row["about"] = (table[name].__doc__ or "").split("\n")[0]
        rows.append(row)
        if _alone(table[name]):
            channels = 2 * shape[-1] if name == "dual_stream" else shape[-1]
            model = table[name]((*shape[:2], channels), num_classes)
            row["num_parameters"] = model.count_params()
            if not isinstance(model, Detector):
                row["multiply_adds"] = multiply_adds(model)
    size = "x".join(map(str, shape))
    title = f"{task} at {size}, default width"
    print(f"{'name':16}{'parameters':>14}{'multiply-adds':>16}   {title}")
    for row in rows:
        count, adds = "of its backbone", ""
        if row["num_parameters"] is not None:
            count = f"{row['num_parameters']:,}"
        if row["multiply_adds"] is not None:
            adds = f"{row['multiply_adds'] / 1e9:.2f} G"
        print(f"{row['name']:16}{count:>14}{adds:>16}   {row['about']}")
    return rows


def _alone(builder: Callable) -> bool:
    """Whether a model can be built of its size alone, without a backbone to be named."""
    parameters = list(inspect.signature(builder).parameters.values())[2:]
    return all(p.default is not p.empty for p in parameters)


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
