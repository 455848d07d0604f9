"""Torchvision's Faster R-CNN on the same slim net, for `detection.py`; needs PyTorch only.

Started by `detection.py --torch-python`; answers each line on standard input, `train` or
`predict`, with a line of two numbers: processor seconds and seconds of one step.
"""

import os
import sys
import time
from collections import OrderedDict

os.environ.setdefault("OMP_NUM_THREADS", sys.argv[2])

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.one, self.two = unit(inputs, outputs, 3, stride), unit(outputs, outputs, 3, 1)
        self.two = self.two[:-1]
        plain = inputs == outputs and stride == 1
        self.short = nn.Identity() if plain else unit(inputs, outputs, 1, stride)[:-1]

    def forward(self, x):
        return torch.relu(self.two(self.one(x)) + self.short(x))


def unit(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.GroupNorm(8, outputs),
        nn.ReLU(),
    )


def model(size: int, num_classes: int) -> FasterRCNN:
    layers = [("stem", nn.Sequential(unit(3, 16, 3, 2), unit(16, 32, 3, 2)))]
    inputs = 32
    for stage in range(4):
        outputs = 32 * 2**stage
        blocks = [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        layers.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
        inputs = outputs
    backbone = BackboneWithFPN(
        nn.Sequential(OrderedDict(layers)),
        {"layer2": "0", "layer3": "1", "layer4": "2"},
        [64, 128, 256],
        96,
        extra_blocks=Nothing(),
    )
    return FasterRCNN(
        backbone,
        min_size=size,
        max_size=size,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(
            tuple((4 * s, round(4 * 2**0.5 * s)) for s in (8, 16, 32)), ((0.5, 1.0, 2.0),) * 3
        ),
        rpn_pre_nms_top_n_train=1000,
        rpn_pre_nms_top_n_test=1000,
        rpn_post_nms_top_n_train=300,
        rpn_post_nms_top_n_test=300,
        box_batch_size_per_image=128,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
        box_head=TwoMLPHead(96 * 49, 256),
        box_predictor=Predictor(256, num_classes + 1),
    )


class Nothing(ExtraFPNBlock):
    """No level beyond the backbone's; `BackboneWithFPN` adds one otherwise."""

    def forward(self, results, x, names):
        return results, names


class Predictor(nn.Module):
    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.cls_score, self.bbox_pred = nn.Linear(inputs, classes), nn.Linear(inputs, 4 * classes)

    def forward(self, x):
        return self.cls_score(x), self.bbox_pred(x)


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    with np.load(sys.argv[1]) as data:
        images = [torch.tensor(image).permute(2, 0, 1) for image in data["images"]]
        targets = [
            {"boxes": torch.tensor(b), "labels": torch.tensor(c.astype(np.int64) + 1)}
            for b, c in zip(data["boxes"], data["classes"], strict=True)
        ]
        num_classes = int(data["classes"].max()) + 1
    torch.manual_seed(0)
    net = model(images[0].shape[-1], num_classes)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)

    def train():
        net.train()
        loss = sum(net(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def predict():
        net.eval()
        with torch.no_grad():
            net(images)

    steps = {"train": train, "predict": predict}
    for line in sys.stdin:
        start = time.process_time(), time.perf_counter()
        steps[line.strip()]()
        print(time.process_time() - start[0], time.perf_counter() - start[1], flush=True)


if __name__ == "__main__":
    main()
