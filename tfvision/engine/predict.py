"""Images in batches through what predicts."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfvision.engine.inference import Inference


def replica_values(strategy: tf.distribute.Strategy, value) -> list[np.ndarray]:
    """What each replica has of a value."""
    return [v.numpy() for v in strategy.experimental_local_results(value)]


def predict_probabilities(inference: Inference, images: np.ndarray) -> np.ndarray:
    """(B, H, W, C) float32 in [0, 1] -> (B, H, W, K) float32."""
    return inference.serve_float(tf.constant(images))["probabilities"].numpy()


def as_float(images: Sequence[np.ndarray], scales: Sequence[float]) -> np.ndarray:
    """Stored images of one size as one float32 array in [0, 1], as the pipeline makes it."""
    return np.stack(
        [
            image.astype(np.float32) * np.float32(scale)
            for image, scale in zip(images, scales, strict=True)
        ]
    )


def batches_of_one_size(samples, batch_size: int) -> Iterator[list]:
    """Groups successive samples of equal image size, at most `batch_size` each."""
    group: list = []
    for sample in samples:
        full = len(group) == batch_size
        if group and (full or sample[1].shape != group[0][1].shape):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def half(probabilities: np.ndarray) -> np.ndarray:
    """(H, W, K) float32 -> float16, with the same most probable class at every pixel.

    Rounding keeps the order but can make two classes equal, and the argmax of equals is the
    first; there the true one gets the next larger number. Rules can still see such equals
    between lower classes.
    """
    rounded = probabilities.astype(np.float16)
    best = probabilities.argmax(-1)
    lost = rounded.argmax(-1) != best
    rounded[lost, best[lost]] = np.nextafter(rounded[lost, best[lost]], np.float16(1))
    return rounded
