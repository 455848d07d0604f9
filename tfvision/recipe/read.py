"""From the files of a data set to arrays of one size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfvision.data.files.issue import BadSample
from tfvision.data.files.pixels import white_of
from tfvision.data.files.timeout import Stalled, in_time
from tfvision.data.pipeline import Samples
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.data.truth.base import TARGETS, label_map
from tfvision.engine.inference import resize_image, resize_labels
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.letterbox import PAD_VALUE, boxes_to_letterbox, letterbox_image


def decode(prepared: Prepared, indices: list[int]) -> Samples:
    """Reads labelled samples and brings them to the run's size and channels."""
    images, scales = [], []
    targets: dict[str, list[np.ndarray]] = {}
    for i in indices:
        sample = native_scanned(prepared, i)
        image, of_sample = _brought_to_size(sample, prepared)
        images.append(image)
        scales.append(sample.scale)
        for name, value in of_sample.items():
            targets.setdefault(name, []).append(value)
    if len(set(scales)) > 1:  # 8-bit and 16-bit files, say
        images = [x.astype(np.float32) * np.float32(s) for x, s in zip(images, scales, strict=True)]
        scales = [1.0]
    return Samples(
        ids=[prepared.source.records[i].id for i in indices],
        images=np.stack(images),
        scale=scales[0],
        targets={
            name: _together(name, values, prepared.num_classes) for name, values in targets.items()
        },
    )


def decoded(prepared: Prepared, split: str) -> Samples:
    """The labelled samples of a split, read once, all at `size`."""
    return decode(prepared, prepared.indices(split))


def _brought_to_size(
    sample: "Native", prepared: Prepared
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Image and named targets of a sample at the size of the run."""
    own, new = sample.image.shape[:2], prepared.size
    if own == new:
        return sample.image, sample.targets
    if prepared.fit == "stretch":
        return _resized(sample.image, new), resized_targets(sample.targets, own, new)
    image = letterbox_image(
        tf.constant(sample.image[None], tf.float32),
        new,
        enlarge=prepared.enlarge,
        pad=PAD_VALUE / sample.scale,
    )
    moved = {
        "scaled": lambda x: boxes_to_letterbox(
            tf.constant(x, tf.float32), own, new, enlarge=prepared.enlarge
        ).numpy(),
        "": lambda x: x,
    }
    targets = {name: moved[TARGETS[name].resized](x) for name, x in sample.targets.items()}
    return _as_stored(image[0].numpy(), sample.image.dtype), targets


def resized_targets(
    targets: Mapping[str, np.ndarray], size: tuple[int, int], new_size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The named targets of an image of (height, width) pixels when it is resized to another."""
    (height, width), (new_height, new_width) = size, new_size
    sides = np.array([new_width / width, new_height / height] * 2)
    resized = {
        "nearest": lambda x: resize_labels(tf.constant(x[None]), new_size)[0].numpy(),
        "scaled": lambda x: (x * sides).astype(np.float32),
        "": lambda x: x,
    }
    return {name: resized[TARGETS[name].resized](value) for name, value in targets.items()}


def _together(
    name: str, values: Sequence[np.ndarray], num_classes: int
) -> np.ndarray | list[np.ndarray]:
    """One target of many samples, as `Samples` holds it."""
    if TARGETS[name].ragged:
        return list(values)
    small = name == "mask" and num_classes <= 255
    return np.stack(values).astype(np.uint8 if small else TARGETS[name].dtype)


@dataclass(frozen=True)
class Native:
    """One sample at its own size.

    Attributes:
        image: (H, W, C) as stored.
        scale: What a pixel is multiplied by to lie in [0, 1].
        targets: Its truth by name, see `tfvision.data.truth.TARGETS`; {} without one.
        region: (H, W) uint8, 0 or 1, or None.
        box: (4,) float32 `x1 y1 x2 y2` in pixels; of several boxes (n, 4); or None.
    """

    image: np.ndarray
    scale: float
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    region: np.ndarray | None = None
    box: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray | None:
        """See `label_map`."""
        return label_map(self.targets)

    @property
    def picture(self) -> np.ndarray:
        """The image as uint8 in 0..255, to be looked at."""
        levels = np.rint(self.image.astype(np.float32) * (self.scale * 255))
        return np.clip(levels, 0, 255).astype(np.uint8)


def samples_of_split(prepared: Prepared, split: str) -> Iterator[tuple[str, Native]]:
    """(id, sample) of the labelled records of a split, each at its own size."""
    for i in prepared.indices(split):
        yield prepared.source.records[i].id, native_scanned(prepared, i)


def native_of(samples: Samples) -> Iterator[tuple[str, Native]]:
    """(id, sample) of decoded samples, at the size they were brought to."""
    for i, name in enumerate(samples.ids):
        targets = {key: np.asarray(each[i]) for key, each in samples.targets.items()}
        yield name, Native(samples.images[i], samples.scale, targets)


def native_scanned(prepared: Prepared, index: int) -> Native:
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


def native(source: Source, index: int, channels: int) -> Native:
    """One sample at its own size, read in time (see `tfvision.data.files.timeout`).

    Args:
        source: Where from.
        index: Which.
        channels: 1 or 3, of the image.
    """
    sample = in_time(lambda: source.read(index), source.records[index].place)
    scale = 1.0 / white_of(sample.image.dtype, source.white_of(index))
    boxes = None if sample.boxes is None or not len(sample.boxes) else sample.boxes
    return Native(
        image=to_channels(sample.image, channels),
        scale=scale,
        targets=truth_kind(source.truth).arrays(sample),
        region=sample.region,
        box=boxes[0] if boxes is not None and len(boxes) == 1 else boxes,
    )


def native_large(source: Source, index: int, channels: int) -> Native:
    """One image at its own size, which may be too large to be held.

    Its `image` then is not an array, but gives one for `image[rows, columns]`; see
    `tfvision.data.files.windows`. There is no truth with it.

    Args:
        source, index, channels: As `native` has them.
    """
    image = source.read_large(index).image
    scale = 1.0 / white_of(image.dtype, source.white_of(index))
    if isinstance(image, np.ndarray):
        return Native(to_channels(image, channels), scale)
    return Native(image.then(lambda part: to_channels(part, channels)), scale)


def shrunk(sample: Native, longest: int) -> Native:
    """A sample whose longer side has at most so many pixels, its truth with it."""
    size = sample.image.shape[:2]
    if max(size) <= longest:
        return sample
    new = tuple(max(1, round(side * longest / max(size))) for side in size)
    region, box = sample.region, sample.box
    if region is not None:
        region = resize_labels(tf.constant(region[None]), new)[0].numpy()
    if box is not None:
        box = (box * np.array([new[1] / size[1], new[0] / size[0]] * 2)).astype(np.float32)
    targets = resized_targets(sample.targets, size, new)
    return Native(_resized(sample.image, new), sample.scale, targets, region, box)


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


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    resized = resize_image(tf.constant(image[None], tf.float32), size)[0].numpy()
    return _as_stored(resized, image.dtype)


def _as_stored(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float pixels as the files have them, rounded where these are whole numbers."""
    if dtype.kind in "iu":
        pixels = np.clip(np.rint(pixels), 0, np.iinfo(dtype).max)
    return pixels.astype(dtype)
