"""Whether torchvision's detectors and ours give the same outputs for the same weights.

Needs torchvision, which tfvision does not: `pip install torchvision`. Nothing is downloaded:
weights are random, scaled so that scores differ. Where torchvision and TensorFlow are not in one
environment, `write` in the one and `compare` in the other.

    python experiments/torchvision_weights.py            # both
    python experiments/torchvision_weights.py write /tmp/x
    python experiments/torchvision_weights.py compare /tmp/x

Prints the largest difference of the maps of the pyramid, of what the heads say, and of the
detections, each over the largest value.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

NAMES = ("fasterrcnn", "retinanet")
SIZE = (160, 224)  # no multiple of 64: coarse maps are rounded up
CLASSES = 91


def write(folder: Path) -> None:
    """State dicts `<name>.pth` and `<name>_old.pth` in both formats, outputs `<name>.npz`."""
    import torch
    from torchvision.models import detection

    torch.manual_seed(0)
    images = torch.rand(2, 3, *SIZE)
    np.save(folder / "images.npy", images.permute(0, 2, 3, 1).numpy())
    for name in NAMES:
        model = getattr(detection, f"{name}_resnet50_fpn")(
            weights=None,
            weights_backbone=None,
            num_classes=CLASSES,
            min_size=SIZE[0],
            max_size=SIZE[1],
        ).eval()
        with torch.no_grad():
            _vary_statistics(model, torch)
            maps, heads = _outputs(model, images)
            _spread_scores(model, images, heads)
            maps, heads = _outputs(model, images)
            found = model(list(images))
        torch.save(model.state_dict(), folder / f"{name}.pth")
        old = folder / f"{name}_old.pth"
        torch.save(model.state_dict(), old, _use_new_zipfile_serialization=False)
        arrays = {f"map_{i}": x.permute(0, 2, 3, 1).numpy() for i, x in enumerate(maps)}
        arrays |= {f"head_{i}": x.numpy() for i, x in enumerate(heads)}
        for i, image in enumerate(found):
            arrays |= {f"{key}_{i}": value.numpy() for key, value in image.items()}
        np.savez(folder / f"{name}.npz", **arrays)


def write_apart(folder: Path) -> None:
    """`write` in a process of its own: PyTorch and TensorFlow may not bear one another."""
    subprocess.run([sys.executable, __file__, "write", str(folder)], check=True)


def _vary_statistics(model, torch) -> None:
    for name, value in model.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif ".bn" in name or "downsample.1" in name:
            branch = 0.3 if "bn3" in name else 1.0  # so that blocks do not add up
            value.uniform_(0.6 * branch, 1.0 * branch) if name.endswith("weight") else None
            value.normal_(0, 0.1) if name.endswith("bias") else None


def _outputs(model, images):
    """Maps of the pyramid, and of each image and anchor logits and deltas."""
    batch, _ = model.transform(list(images))
    maps = list(model.backbone(batch.tensors).values())
    if hasattr(model, "head"):
        heads = model.head(maps)
        return maps, [heads["cls_logits"], heads["bbox_regression"]]
    logits, deltas = model.rpn.head(maps)
    return maps, [_rows(logits, 1), _rows(deltas, 4)]


def _rows(levels, columns):
    import torch

    rows = [x.permute(0, 2, 3, 1).reshape(len(x), -1, columns) for x in levels]
    return torch.cat(rows, 1)


def _spread_scores(model, images, heads) -> None:
    """Logits of spread 2, around -4 on anchors, and deltas of spread 0.3; also of the box head."""
    if hasattr(model, "head"):
        last = (model.head.classification_head.cls_logits, model.head.regression_head.bbox_reg)
    else:
        last = (model.rpn.head.cls_logits, model.rpn.head.bbox_pred)
    for layer, output, spread in zip(last, heads, (2.0, 0.3), strict=True):
        layer.weight.mul_(spread / output.std())
    last[0].bias.fill_(-4.0)
    if not hasattr(model, "head"):
        predictor, seen = model.roi_heads.box_predictor, []
        hook = predictor.register_forward_hook(lambda *call: seen.append(call[-1]))
        model(list(images))
        hook.remove()
        predictor.cls_score.weight.mul_(2.0 / seen[0][0].std())
        predictor.bbox_pred.weight.mul_(1.0 / seen[0][1].std())


def compare(folder: Path) -> dict[str, float]:
    """Reads what `write` wrote and returns the largest difference of each output."""
    import tensorflow as tf

    from tfvision.models import FasterRCNN, RetinaNet
    from tfvision.models.torchvision_weights import FASTER_RCNN, RETINANET
    from tfvision.models.weight_files import give_weights, read_weights

    makes = {
        "fasterrcnn": lambda: FasterRCNN((None, None, 3), CLASSES - 1, **FASTER_RCNN),
        "retinanet": lambda: RetinaNet((None, None, 3), CLASSES, **RETINANET),
    }
    images, differences = np.load(folder / "images.npy"), {}
    for name in NAMES:
        model, wanted = makes[name](), np.load(folder / f"{name}.npz")
        for ending in ("_old", ""):
            given = give_weights(model, read_weights(folder / f"{name}{ending}.pth"))
            assert not given.anew, given.anew
            assert not given.unused, given.unused
        if name == "fasterrcnn":
            found = {f"map_{i}": x for i, x in enumerate(model.features(images))}
            logits, deltas, _ = model._objects(model.features(images), False)
            found["head_0"] = tf.concat(logits, 1)[..., None]
            found["head_1"] = tf.concat(deltas, 1)
        else:
            outputs = [np.asarray(x) for x in model(images)]
            pairs = ((outputs[:5], CLASSES), (outputs[5:], 4))
            found = {
                f"head_{i}": np.concatenate([x.reshape(len(x), -1, n) for x in part], 1)
                for i, (part, n) in enumerate(pairs)
            }
        detections = model.detections(model(images), SIZE)
        for i in range(len(images)):
            there = detections["classes"][i] >= 0
            for key in ("boxes", "scores"):
                found[f"{key}_{i}"] = detections[key][i][there]
            first = int(name == "fasterrcnn")  # background is number 0 there
            found[f"labels_{i}"] = detections["classes"][i][there] + first
        for key, value in found.items():
            value = np.asarray(value)
            assert value.shape == wanted[key].shape, (name, key, value.shape, wanted[key].shape)
            difference = np.abs(value - wanted[key]).max() / np.abs(wanted[key]).max()
            differences[f"{name} {key}"] = float(difference)
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("write", "compare", "both"), default="both")
    parser.add_argument("folder", nargs="?", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if options.part == "write":
            write(folder)
        elif options.part == "both":
            write_apart(folder)
        if options.part != "write":
            for key, value in compare(folder).items():
                print(f"{key:24} {value:.1e}")


if __name__ == "__main__":
    main()
