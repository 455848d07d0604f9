"""Names of torchvision's detectors and residual nets in this package, and their arrays in Keras'
order.

The models that give the outputs of torchvision's are `faster_rcnn` and `retinanet` with the
arguments in `FASTER_RCNN` and `RETINANET`; `num_classes` is 90 and 91 for the weights on COCO,
whose heads count some ids that no object has.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfvision.errors import InputError
from tfvision.models.torch_file import read_torch

RESNET50 = {"name": "resnet", "depth": 50, "normalization": "frozen", "preprocessing": "torch"}
FASTER_RCNN: dict[str, Any] = {
    "backbone": RESNET50,
    "channels": 256,
    "levels": [2, 3, 4, 5, 6],
    "anchor_sizes": [[32], [64], [128], [256], [512]],
    "anchor_offset": 0.0,
    "whole_anchors": True,
    "aligned": False,
    "units": 1024,
    "proposals": 2000,
    "test_proposals": 1000,
    "sampled": 512,
}
RETINANET: dict[str, Any] = {
    "backbone": RESNET50,
    "channels": 256,
    "levels": [3, 4, 5, 6, 7],
    "anchor_sizes": [
        [s, int(s * 2 ** (1 / 3)), int(s * 2 ** (2 / 3))] for s in (32, 64, 128, 256, 512)
    ],
    "anchor_offset": 0.0,
    "whole_anchors": True,
    "head_depth": 4,
    "normalization": "none",
    "max_detections": 300,
}
# By the beginning of their SHA-256, as in their names: trained when the normalisation that
# torchvision freezes had no epsilon, and still run so.
WITHOUT_EPSILON = ("258fb6c6", "eeacb38b")
EPSILON = 1e-5  # of PyTorch's batch normalisation
COARSEST = 5  # level of the last map of the backbone

# Pattern of a name -> layer here; the groups are made numbers, to which 1 or a stride is added.
_LAYERS = {
    r"conv1": lambda: "stem_conv",
    r"bn1": lambda: "stem_norm",
    r"layer(\d)\.(\d+)\.conv(\d)": lambda s, b, c: f"stage{s}_block{b + 1}_{c}_conv",
    r"layer(\d)\.(\d+)\.bn(\d)": lambda s, b, c: f"stage{s}_block{b + 1}_{c}_norm",
    r"layer(\d)\.(\d+)\.downsample\.0": lambda s, b: f"stage{s}_block{b + 1}_0_conv",
    r"layer(\d)\.(\d+)\.downsample\.1": lambda s, b: f"stage{s}_block{b + 1}_0_norm",
    r"backbone\.fpn\.extra_blocks\.p(\d)": lambda level: f"fpn_{2**level}",
    r"rpn\.head\.conv(?:\.0\.0)?": lambda: "rpn_conv_1",
    r"rpn\.head\.cls_logits": lambda: "rpn_logits",
    r"rpn\.head\.bbox_pred": lambda: "rpn_deltas",
    r"roi_heads\.box_head\.fc6": lambda: "box_dense_1",
    r"roi_heads\.box_head\.fc7": lambda: "box_dense_2",
    r"roi_heads\.box_predictor\.cls_score": lambda: "box_logits",
    r"roi_heads\.box_predictor\.bbox_pred": lambda: "box_deltas",
    r"head\.classification_head\.conv\.(\d)\.0": lambda i: f"class_tower_{i + 1}_conv",
    r"head\.regression_head\.conv\.(\d)\.0": lambda i: f"box_tower_{i + 1}_conv",
    # Before torchvision 0.14 activations counted, too.
    r"head\.classification_head\.conv\.(\d)": lambda i: f"class_tower_{i // 2 + 1}_conv",
    r"head\.regression_head\.conv\.(\d)": lambda i: f"box_tower_{i // 2 + 1}_conv",
    r"head\.classification_head\.cls_logits": lambda: "class_last",
    r"head\.regression_head\.bbox_reg": lambda: "box_last",
}
_PYRAMID = re.compile(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)(?:\.0)?")


def read_torchvision(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> variable -> value, by the names and in the order that layers have here.

    What has no place here keeps its name. Batch normalisation divides by the same numbers though
    its epsilon is another: its scale makes up for that.

    Raises:
        InputError: As `read_torch`.
    """
    tensors = read_torch(path)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    epsilon = 0.0 if sha256.startswith(WITHOUT_EPSILON) else EPSILON
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        if value.dtype.kind == "f":  # not a count of batches
            module, _, variable = name.rpartition(".")
            modules.setdefault(module, {})[variable] = value.astype(np.float32)
    levels = len({m[2] for name in modules if (m := _PYRAMID.fullmatch(name))})
    found = {}
    for module, values in modules.items():
        layer = _layer(module, levels)
        if layer is None:
            found[module] = values
        elif "running_mean" in values:
            found[layer] = _normalization(values, epsilon)
        else:
            found[layer] = _kernel_and_bias(values, module)
    return found


def check_torchvision_model(model: keras.Model) -> None:
    """Raises an `InputError` where weights of torchvision would fit in shape and yet be wrong."""
    layers = {layer.name for part in _parts(model) for layer in part.layers}
    if "stem_pool_pad" not in layers or "pixels_shift" not in layers:
        raise InputError(
            "weights of PyTorch are read for torchvision's residual nets: give "
            "model.backbone={name: resnet, depth: 50, normalization: frozen, preprocessing: torch}."
        )


def _parts(model: keras.Model) -> list[keras.Model]:
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return [model, *(part for layer in inner for part in _parts(layer))]


def _layer(module: str, levels: int) -> str | None:
    """The layer here of a module there; `levels` are those of the pyramid."""
    pyramid = _PYRAMID.fullmatch(module)
    if pyramid:
        stride = 2 ** (COARSEST + 1 - levels + int(pyramid[2]))
        return f"fpn_lateral_{stride}" if pyramid[1] == "inner" else f"fpn_{stride}"
    for pattern, layer in _LAYERS.items():
        match = re.fullmatch(pattern, module.removeprefix("backbone.body."))
        if match:
            return layer(*map(int, match.groups()))
    return None


def _normalization(values: dict[str, np.ndarray], epsilon: float) -> dict[str, np.ndarray]:
    variance = values["running_var"]
    ours = keras.layers.BatchNormalization().epsilon
    scale = np.sqrt((variance.astype(np.float64) + ours) / (variance + epsilon))
    return {
        "gamma": (values["weight"] * scale).astype(np.float32),
        "beta": values["bias"],
        "moving_mean": values["running_mean"],
        "moving_variance": variance,
    }


def _kernel_and_bias(values: dict[str, np.ndarray], module: str) -> dict[str, np.ndarray]:
    """Of a convolution (out, in, h, w) or a dense layer (out, in)."""
    kernel, bias = values["weight"], values.get("bias")
    if module == "roi_heads.box_head.fc6":  # on a map (C, 7, 7) there, (7, 7, C) here
        kernel = kernel.reshape(len(kernel), -1, 7, 7).transpose(2, 3, 1, 0)
        kernel = kernel.reshape(-1, kernel.shape[-1])
    elif kernel.ndim == 4:
        kernel = kernel.transpose(2, 3, 1, 0)
    else:
        kernel = kernel.T
    if module == "roi_heads.box_predictor.cls_score":  # background is first there, last here
        kernel, bias = np.roll(kernel, -1, -1), np.roll(bias, -1)
    elif module == "roi_heads.box_predictor.bbox_pred":  # and has a box there
        kernel, bias = kernel[:, 4:], bias[4:]
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
