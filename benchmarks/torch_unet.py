"""The same UNet in PyTorch, for `training.py --torch`: one step on a batch that is ready."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf
import torch
from torch import nn

from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy
from tfvision.models import UNet

WIDTH, DEPTH = 16, 4


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class TorchUNet(nn.Module):
    """The wiring of `tfvision.models.UNet`, layer for layer."""

    def __init__(self, channels: int, num_classes: int, width: int, depth: int):
        super().__init__()
        filters = [width * 2**i for i in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _block(a, b) for a, b in zip([channels, *filters], filters, strict=False)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(filters[i + 1], filters[i], 2, 2) for i in range(depth)
        )
        self.decoder = nn.ModuleList(_block(2 * filters[i], filters[i]) for i in range(depth))
        self.logits = nn.Conv2d(filters[0], num_classes, 1)

    def forward(self, x):
        skips = []
        for block in self.encoder[:-1]:
            skips.append(block(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.encoder[-1](x)
        for i in reversed(range(len(self.up))):
            x = self.decoder[i](torch.cat([skips[i], self.up[i](x)], 1))
        return self.logits(x)


def _torch_runner(images, masks, num_classes, bfloat16):
    torch.manual_seed(0)
    model = TorchUNet(images.shape[-1], num_classes, WIDTH, DEPTH)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loss = nn.CrossEntropyLoss()
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    x = x.to(memory_format=torch.channels_last)
    y = torch.from_numpy(masks.astype(np.int64))

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def _our_runner(images, masks, num_classes, policy):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = UNet(images.shape[1:], num_classes, width=WIDTH, depth=DEPTH)
    keras.config.set_dtype_policy("float32")
    loss = batch_loss([(CrossEntropy(), 1.0)])
    strategy = tf.distribute.get_strategy()
    optimizer = keras.optimizers.AdamW(1e-3)
    step = TrainStep(model, optimizer, loss, strategy=strategy, batch_size=len(images))
    batch = {"image": tf.constant(images), "mask": tf.constant(masks.astype(np.int32))}
    return lambda: float(step(batch, 1e-3))


def compare(data, batch_size: int, rounds: int, steps: int = 8) -> dict:
    """images/s of each, the median of `rounds` taken in turn."""
    images = data.images[:batch_size].astype(np.float32) * np.float32(data.scale)
    masks = data.targets["mask"][:batch_size]
    num_classes = int(data.targets["mask"].max()) + 1
    runners = {
        "tfvision float32": _our_runner(images, masks, num_classes, "float32"),
        "tfvision bfloat16": _our_runner(images, masks, num_classes, "mixed_bfloat16"),
        "torch channels_last float32": _torch_runner(images, masks, num_classes, False),
        "torch channels_last bfloat16": _torch_runner(images, masks, num_classes, True),
    }
    rates = {name: [] for name in runners}
    for step in runners.values():
        step()
        step()
    for _ in range(rounds):
        for name, step in runners.items():
            began = time.perf_counter()
            for _ in range(steps):
                step()
            rates[name].append(steps * batch_size / (time.perf_counter() - began))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"UNet {WIDTH}/{DEPTH}, one step: {name} {rate:.0f} images/s")
    return {"images_per_second": rates, "median": medians}
