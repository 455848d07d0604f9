"""From the files of a data set to arrays of one size."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfvision.data.files.issue import BadSample
from tfvision.data.files.timeout import Stalled, in_time
from tfvision.data.pipeline import Samples
from tfvision.data.sources.source import Source
from tfvision.engine.inference import resize_image, resize_labels
from tfvision.errors import InputError

if TYPE_CHECKING:  # data.py imports this module
    from tfvision.recipe.dataset import Prepared


def decode(prepared: "Prepared", indices: list[int]) -> Samples:
    """Reads samples and brings them to the run's size and channels."""
    images, masks, scales = [], [], []
    for i in indices:
        image, mask, scale = read_scanned(prepared, i)
        if image.shape[:2] != prepared.size:
            image, mask = _resized(image, mask, prepared.size)
        images.append(image)
        masks.append(mask)
        scales.append(scale)
    if len(set(scales)) > 1:  # 8-bit and 16-bit files, say
        images = [x.astype(np.float32) * np.float32(s) for x, s in zip(images, scales, strict=True)]
        scales = [1.0]
    small = prepared.num_classes <= 255
    return Samples(
        ids=[prepared.source.records[i].id for i in indices],
        images=np.stack(images),
        scale=scales[0],
        masks=np.stack(masks).astype(np.uint8 if small else np.int32) if masks else None,
    )


@dataclass(frozen=True)
class Native:
    """One sample at its own size.

    Attributes:
        image: (H, W, C) as stored.
        mask: (H, W) int32, of a classification the label (1, 1), or None.
        scale: What a pixel is multiplied by to lie in [0, 1].
        region: (H, W) uint8, 0 or 1, or None.
        box: (4,) float32 `x1 y1 x2 y2` in pixels, of a sample with one box; or None.
    """

    image: np.ndarray
    mask: np.ndarray | None
    scale: float
    region: np.ndarray | None = None
    box: np.ndarray | None = None

    @property
    def picture(self) -> np.ndarray:
        """The image as uint8 in 0..255, to be looked at."""
        levels = np.rint(self.image.astype(np.float32) * (self.scale * 255))
        return np.clip(levels, 0, 255).astype(np.uint8)


def read_scanned(prepared: "Prepared", index: int) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Image, mask and scale of `native_scanned`."""
    found = native_scanned(prepared, index)
    return found.image, found.mask, found.scale


def native_scanned(prepared: "Prepared", index: int) -> Native:
    """What `native` gives of a sample that still is what the scan saw.

    Raises:
        InputError: Its files were changed or removed since the scan.
    """
    source, stamp = prepared.source, prepared.scan.stamps[index]
    place = source.records[index].place

    def changed() -> bool:
        return in_time(lambda: source.stamp(index), place) != stamp

    def error() -> InputError:
        return InputError(
            f"{place} was changed or removed since it was scanned (its time or size is another). "
            "Leave the data alone while a run uses it, and start again."
        )

    try:
        found = native(source, index, prepared.channels)
    except BadSample as problem:
        if not isinstance(problem, Stalled) and changed():
            raise error() from problem
        raise
    if changed():
        raise error()
    return found


def read_native(
    source: Source, index: int, channels: int
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Image, mask and scale of `native`."""
    found = native(source, index, channels)
    return found.image, found.mask, found.scale


def native(source: Source, index: int, channels: int) -> Native:
    """One sample at its own size, read in time (see `tfvision.data.files.timeout`).

    Args:
        source: Where from.
        index: Which.
        channels: 1 or 3, of the image.
    """
    sample = in_time(lambda: source.read(index), source.records[index].place)
    dtype = sample.image.dtype
    largest = np.iinfo(dtype).max if dtype.kind in "iu" else 1.0
    scale = 1.0 / (source.white_of(index) or largest)
    one = sample.boxes is not None and len(sample.boxes) == 1
    return Native(
        to_channels(sample.image, channels),
        sample.mask,
        scale,
        sample.region,
        sample.boxes[0] if one else None,
    )


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Grey repeated to three channels, or colour weighed to grey (ITU-R BT.601)."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=-1)
    gray = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    if image.dtype.kind in "iu":
        gray = np.rint(gray)
    return gray[..., None].astype(image.dtype)


def _resized(image, mask, size):
    resized = resize_image(tf.constant(image[None], tf.float32), size)[0].numpy()
    if image.dtype.kind in "iu":
        resized = np.clip(np.rint(resized), 0, np.iinfo(image.dtype).max)
    labels = None if mask is None else resize_labels(tf.constant(mask[None]), size)[0].numpy()
    return resized.astype(image.dtype), labels
