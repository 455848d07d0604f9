"""State dicts of torchvision: read without PyTorch, put in order, equal in what they give.

`torch_zip.pth` and `torch_legacy.pth` were written by PyTorch 2.14, one in each format: views of
one storage, other types, a parameter.
"""

import importlib.util
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from experiments.torchvision_weights import compare, write_apart
from tests.support import runs
from tfvision.errors import InputError
from tfvision.models import FasterRCNN, RetinaNet, torchvision_weights
from tfvision.models.torch_file import read_torch
from tfvision.models.torchvision_weights import (
    FASTER_RCNN,
    RETINANET,
    check_torchvision_model,
    read_torchvision,
)
from tfvision.models.weight_files import give_weights, layers_of

HERE = Path(__file__).parent
RESNET18 = {"backbone": {**FASTER_RCNN["backbone"], "depth": 18, "width": 4}, "channels": 8}
CLASSES = 3


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_both_formats_are_read(name):
    found = read_torch(HERE / name)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    wanted = {
        "whole": whole,
        "turned": whole.T,
        "part": whole[1:3, 2:5],
        "half": np.array([1.5, -2], np.float16),
        "count": np.array(7),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
        "learnt": np.ones((2, 2), np.float32),
    }
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def archive(path, pickled, **members):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for key, value in members.items():
            file.writestr(f"x/data/{key}", value)


def tensor(size, storage=b"X\x01\x00\x00\x00a", offset=0):
    """A pickle of one tensor `t` of one side and stride 1."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00tctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        + storage
        + b"X\x03\x00\x00\x00cpuK\x02tQ"
        b"K" + bytes([offset]) + b"K" + bytes([size]) + b"\x85K\x01\x85\x89}tRs."
    )


def test_a_tensor_written_by_hand_is_read(tmp_path):
    archive(tmp_path / "x.pth", tensor(2), a=np.float32([3, 4]).tobytes())
    np.testing.assert_array_equal(read_torch(tmp_path / "x.pth")["t"], [3, 4])


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "holds posix.system"),
        (b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "holds builtins.eval"),
        (b"\x80\x02cargparse\nNamespace\n)\x81.", "holds argparse.Namespace"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "the instruction STACK_GLOBAL"),
        (b"\x80\x02]K\x01a.", "it is no state dict"),
        (b"\x80\x02}.", "it is no state dict"),
        (b"\x80\x02K\x01", "not read as weights of PyTorch"),
        (tensor(3), "shape .3,. does not lie in its storage"),
        (tensor(2, offset=1), "does not lie in its storage"),
        (tensor(2, storage=b"X\x01\x00\x00\x00b"), "not read as weights of PyTorch"),
    ],
)
def test_nothing_but_tensors_of_the_file_is_read(tmp_path, pickled, message):
    archive(tmp_path / "x.pth", pickled, a=np.float32([3, 4]).tobytes())
    with pytest.raises(InputError, match=message):
        read_torch(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_a_file_that_ends_too_early_is_refused(tmp_path, name):
    content = (HERE / name).read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 40):
        (tmp_path / "x.pth").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"x\.pth"):
            read_torch(tmp_path / "x.pth")


def backbone(rng, width=4, classes=0):
    """A state dict as torchvision names a ResNet-18: two blocks a stage, two convolutions each."""
    found = {}

    def unit(conv, norm, size, inputs, outputs):
        found[f"{conv}.weight"] = rng.normal(size=(outputs, inputs, size, size))
        for key in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{key}"] = rng.uniform(0.5, 1.5, outputs)
        found[f"{norm}.num_batches_tracked"] = np.array(5)

    unit("conv1", "bn1", 7, 3, width)
    inputs = width
    for stage in range(1, 5):
        outputs = width * 2 ** (stage - 1)
        for block in range(2):
            name = f"layer{stage}.{block}"
            unit(f"{name}.conv1", f"{name}.bn1", 3, inputs, outputs)
            unit(f"{name}.conv2", f"{name}.bn2", 3, outputs, outputs)
            if inputs != outputs:
                unit(f"{name}.downsample.0", f"{name}.downsample.1", 1, inputs, outputs)
            inputs = outputs
    return found


def linear(rng, *shape):
    return {"weight": rng.normal(size=shape), "bias": rng.normal(size=shape[0])}


def state_dict(rng, *, retinanet, old):
    """That of a small Faster R-CNN or RetinaNet, by today's names or those before 0.14."""
    inner = "" if old else ".0"
    parts = {}
    for i, inputs in enumerate([8, 16, 32] if retinanet else [4, 8, 16, 32]):
        parts[f"backbone.fpn.inner_blocks.{i}{inner}"] = linear(rng, 8, inputs, 1, 1)
        parts[f"backbone.fpn.layer_blocks.{i}{inner}"] = linear(rng, 8, 8, 3, 3)
    if retinanet:
        for level in ("p6", "p7"):
            parts[f"backbone.fpn.extra_blocks.{level}"] = linear(rng, 8, 8, 3, 3)
        for head, last, columns in (
            ("classification_head", "cls_logits", 9 * CLASSES),
            ("regression_head", "bbox_reg", 36),
        ):
            for i in range(4):
                conv = f"head.{head}.conv.{2 * i if old else i}{inner}"
                parts[conv] = linear(rng, 8, 8, 3, 3)
            parts[f"head.{head}.{last}"] = linear(rng, columns, 8, 3, 3)
    else:
        parts["rpn.head.conv" + ("" if old else ".0.0")] = linear(rng, 8, 8, 3, 3)
        parts["rpn.head.cls_logits"] = linear(rng, 3, 8, 1, 1)
        parts["rpn.head.bbox_pred"] = linear(rng, 12, 8, 1, 1)
        parts["roi_heads.box_head.fc6"] = linear(rng, 5, 8 * 49)
        parts["roi_heads.box_head.fc7"] = linear(rng, 5, 5)
        parts["roi_heads.box_predictor.cls_score"] = linear(rng, CLASSES + 1, 5)
        parts["roi_heads.box_predictor.bbox_pred"] = linear(rng, 4 * (CLASSES + 1), 5)
    named = {f"{a}.{b}": x for a, part in parts.items() for b, x in part.items()}
    return {**{f"backbone.body.{k}": v for k, v in backbone(rng).items()}, **named}


def read(monkeypatch, tmp_path, tensors):
    tensors = {k: np.asarray(v, None if v.ndim == 0 else np.float32) for k, v in tensors.items()}
    monkeypatch.setattr(torchvision_weights, "read_torch", lambda path: tensors)
    (tmp_path / "x.pth").write_bytes(b"")
    return tensors, read_torchvision(tmp_path / "x.pth")


def model_of(retinanet):
    if retinanet:
        return RetinaNet((None, None, 3), CLASSES, **{**RETINANET, **RESNET18})
    return FasterRCNN((None, None, 3), CLASSES, **{**FASTER_RCNN, **RESNET18, "units": 5})


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("retinanet", [False, True])
def test_every_layer_has_its_name_and_shape(retinanet, old, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    _, stored = read(monkeypatch, tmp_path, state_dict(rng, retinanet=retinanet, old=old))
    model = model_of(retinanet)
    given = give_weights(model, stored)
    assert (given.anew, given.unused) == ({}, [])
    assert len(given.loaded) == len(layers_of(model))


def test_arrays_are_in_the_order_of_keras(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    tensors, stored = read(monkeypatch, tmp_path, state_dict(rng, retinanet=False, old=False))
    pooled = rng.normal(size=(2, 8, 7, 7)).astype(np.float32)  # as torchvision has it
    there = pooled.reshape(2, -1) @ tensors["roi_heads.box_head.fc6.weight"].T
    here = pooled.transpose(0, 2, 3, 1).reshape(2, -1) @ stored["box_dense_1"]["kernel"]
    np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-4)
    x = rng.normal(size=(2, 5)).astype(np.float32)
    there = x @ tensors["roi_heads.box_predictor.cls_score.weight"].T
    here = x @ stored["box_logits"]["kernel"]
    np.testing.assert_allclose(here, np.roll(there, -1, 1), rtol=1e-5)  # background is last
    there = tensors["roi_heads.box_predictor.bbox_pred.bias"]
    np.testing.assert_array_equal(stored["box_deltas"]["bias"], there[4:])
    conv = tensors["backbone.body.conv1.weight"]
    np.testing.assert_array_equal(stored["stem_conv"]["kernel"][2, 5, 1, 3], conv[3, 1, 2, 5])


@pytest.mark.parametrize(("prefixes", "epsilon"), [((), 1e-5), (("e3b0c442",), 0.0)])
def test_normalisation_gives_the_same_though_its_epsilon_differs(
    prefixes, epsilon, monkeypatch, tmp_path
):
    monkeypatch.setattr(torchvision_weights, "WITHOUT_EPSILON", prefixes)  # that of no bytes
    rng = np.random.default_rng(0)
    tensors = {
        "bn1.weight": rng.normal(size=4),
        "bn1.bias": rng.normal(size=4),
        "bn1.running_mean": rng.normal(size=4),
        "bn1.running_var": np.array([1e-4, 1e-2, 1, 100]),
    }
    tensors, stored = read(monkeypatch, tmp_path, tensors)
    layer = keras.layers.BatchNormalization(trainable=False)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    layer.build(x.shape)
    layer.set_weights([stored["stem_norm"][v.name] for v in layer.weights])
    weight, bias, mean, variance = tensors.values()
    wanted = (x - mean) / np.sqrt(variance + epsilon) * weight + bias
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-4)


def test_a_model_that_pads_or_sees_pixels_otherwise_is_refused():
    check_torchvision_model(model_of(retinanet=True))
    section = {**RESNET18["backbone"], "preprocessing": None}
    for other in ("slim_resnet(width=4)", section):
        model = RetinaNet((None, None, 3), CLASSES, backbone=other, channels=8)
        with pytest.raises(InputError, match="preprocessing: torch"):
            check_torchvision_model(model)


def test_a_run_of_another_model_refuses_a_state_dict(tmp_path, capsys):
    data = runs.write_npz(tmp_path / "data.npz")
    model = {"weights": str(HERE / "torch_zip.pth")}
    config = runs.write_config(tmp_path / "config.yaml", data, model=model)
    assert runs.train("--config", config, "--dry-run") == 2
    assert "weights of PyTorch are read for torchvision's residual nets" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="compares with torchvision, where it is installed",
)
def test_outputs_are_torchvisions(tmp_path):
    write_apart(tmp_path)
    differences = compare(tmp_path)
    assert len(differences) == 21
    assert max(differences.values()) < 1e-4, differences
