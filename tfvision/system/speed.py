"""How fast this machine trains: a small UNet on images like the embedded ones."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfvision.augment import OPS
from tfvision.augment.op import compose
from tfvision.data.pipeline import Samples, training_batches
from tfvision.data.sources.embedded_masks import HEIGHT, SPLITS, WIDTH
from tfvision.engine.distribute import make_strategy
from tfvision.engine.progress import duration
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import LOSSES
from tfvision.models import MODELS
from tfvision.registry import Spec

BATCH, CLASSES = 8, 5
AUGMENT = (
    Spec(name="flip_lr", p=0.5),
    Spec(name="rotate", max_degrees=10),
    Spec(name="scale", minimum=0.8, maximum=1.25),
    Spec(name="brightness", max_delta=0.2),
)


def benchmark(*, width: int = 16, depth: int = 3, seconds: float = 3.0) -> dict[str, Any]:
    """Measures the pipeline alone, and steps of a training with it.

    Args:
        width, depth: Of the UNet.
        seconds: How long each of the two is measured; building the graph comes on top.

    Returns:
        `pipeline_samples_per_second`, `images_per_second` of training, `replicas`, and
        `embedded_epoch_seconds`, what an epoch of the embedded data would take.
    """
    strategy = make_strategy("auto")
    batch = BATCH * strategy.num_replicas_in_sync
    rng = np.random.default_rng(0)
    samples = Samples(
        ids=[str(i) for i in range(2 * batch)],
        images=rng.integers(0, 256, (2 * batch, HEIGHT, WIDTH, 1), np.uint8),
        scale=1 / 255,
        targets={"mask": rng.integers(0, CLASSES, (2 * batch, HEIGHT, WIDTH), np.uint8)},
    )
    stream = training_batches(
        samples, batch_size=batch, seed=0, augment=compose([OPS.build(spec) for spec in AUGMENT])
    )
    with strategy.scope():
        model = MODELS["unet"]((HEIGHT, WIDTH, 1), CLASSES, width=width, depth=depth)
        optimizer = keras.optimizers.AdamW(1e-3)
    terms = [(LOSSES.build(Spec(name=name)), 1.0) for name in ("cross_entropy", "dice")]
    step = TrainStep(model, optimizer, batch_loss(terms), strategy=strategy, batch_size=batch)
    plain = iter(stream)
    pipeline = batch * _per_second(lambda: next(plain), seconds)
    batches = iter(strategy.experimental_distribute_dataset(stream))
    images = batch * _per_second(lambda: float(step(next(batches), 1e-3)), seconds)
    return {
        "pipeline_samples_per_second": pipeline,
        "images_per_second": images,
        "replicas": strategy.num_replicas_in_sync,
        "embedded_epoch_seconds": SPLITS["train"] / images,
    }


def words(result: dict[str, Any]) -> dict[str, str]:
    """What the figures of `benchmark` mean, by name of the line."""
    pipeline, images = result["pipeline_samples_per_second"], result["images_per_second"]
    narrow = (
        "the pipeline holds the training up: raise data.workers, or leave out ops"
        if pipeline < 1.5 * images
        else "fast enough for it"
    )
    epoch = duration(result["embedded_epoch_seconds"])
    return {
        "training": f"{images:,.0f} images/s (small UNet, {HEIGHT}x{WIDTH}, batch {BATCH}): an "
        f"epoch of the embedded data would take about {epoch} here",
        "pipeline": f"{pipeline:,.0f} samples/s with augmentation: {narrow}",
    }


def _per_second(action: Callable[[], Any], seconds: float) -> float:
    """Calls of an action a second, the first two left out."""
    for _ in range(2):  # they build graphs and fill buffers
        action()
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds or count < 3:
        action()
        count += 1
    return count / (time.monotonic() - began)
