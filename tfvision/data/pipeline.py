"""From decoded arrays to batches: tf.data without a shuffle buffer or hidden state.

What stands at place `g` of the stream of training samples is a pure function of (seed,
g): the epoch of the data is `g // N`, N being the samples times `repeat`, the order inside
it a permutation keyed by (seed, epoch), the chance of the augmentation keyed by (seed,
epoch, position). With several views of a sample each place becomes as many, one a view. So
a run can be resumed at any step by starting the stream there, bit for bit.

Autotuning is off and parallelism explicit: its wake-ups round every pass over a data set
up to 0.63, 1.27, 2.55 ... s. A run has one iterator, from its first step to its last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

Batch = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Samples:
    """The decoded samples of one split, all of one size.

    Attributes:
        ids: One id a sample.
        images: (N, H, W, C) uint8, uint16 or float32.
        scale: What a pixel is multiplied by to lie in [0, 1].
        masks: (N, H, W) uint8 or int32 labels, or None.
        labels: (N,) int32, the label of each image, or None.
        regions: (N, H, W) uint8, 1 where the object is, else 0, or None.
        boxes: N arrays (n, 4) float32 `x1 y1 x2 y2` in pixels, or None.
        classes: N arrays (n,) int32, or None; given with `boxes`.
    """

    ids: Sequence[str]
    images: np.ndarray
    scale: float
    masks: np.ndarray | None = None
    labels: np.ndarray | None = None
    regions: np.ndarray | None = None
    boxes: Sequence[np.ndarray] | None = None
    classes: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> "Samples":
        """The samples at `indices`, in that order."""
        rows = np.asarray(indices, dtype=int)
        return Samples(
            ids=[self.ids[i] for i in rows],
            images=self.images[rows],
            scale=self.scale,
            masks=None if self.masks is None else self.masks[rows],
            labels=None if self.labels is None else self.labels[rows],
            regions=None if self.regions is None else self.regions[rows],
            boxes=None if self.boxes is None else [self.boxes[i] for i in rows],
            classes=None if self.classes is None else [self.classes[i] for i in rows],
        )


def training_batches(
    samples: Samples,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: Callable[[Batch, tf.Tensor], Batch] | None = None,
    mix: Callable[[Batch, tf.Tensor], Batch] | None = None,
    enrich: Callable[[Batch], Batch] | None = None,
    workers: int = 2,
    repeat: int = 1,
    weights: np.ndarray | None = None,
    views: int = 1,
) -> tf.data.Dataset:
    """The endless stream of training batches, from step `first_step` on.

    Batches straddle the data's epochs, so that all have `batch_size` samples and every
    sample is seen once before any is seen again. With `repeat` an epoch has each sample that
    often, in one order; with `weights` about as often as they say, see `_drawn_by`.

    Args:
        samples: What to draw from.
        batch_size: Samples a batch, over all replicas.
        seed: Of the order and of all chance in `augment` and `mix`.
        first_step: Steps (batches) to leave out: 0, or where a run goes on.
        augment: Op on one sample, `op(sample, seed) -> sample`.
        mix: Op on a batch, `op(batch, seed) -> batch`.
        enrich: Adds keys to a batch, last of all; a function of the batch alone.
        workers: Threads that prepare samples.
        repeat: How often an epoch of the data has each sample, each time augmented anew.
        weights: (N,) above 0, how often a sample is drawn relative to the others, or None.
        views: How often a batch has each of its samples, one beside the other, augmented anew;
            divides `batch_size`.

    Returns:
        A data set of dicts: `image` (B, H, W, C) float32 in [0, 1], `index` (B,) int64 into
        `samples`, and `mask` (B, H, W) int32, `boxes` (B, M, 4) float32 with `classes` (B,
        M) int32, -1 where there is no box. Of samples with labels, `label` (B,) int32, and
        `mask` (B, 1, 1), which is made of it after all ops: they see `label` alone.
    """
    fetch = _fetcher(samples)
    count = len(samples)
    total = repeat * count
    most = _most_boxes(samples)
    drawn = None if weights is None else _drawn_by(weights, total)

    def prepare(place: tf.Tensor) -> Batch:
        view, place = place % views, place // views
        epoch, position = place // total, place % total
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        number = tf.random.experimental.index_shuffle(position, order_seed, total - 1)
        index = number % count if drawn is None else drawn(number, fold_in(seed, epoch, -2))
        sample = fetch(index)
        if augment is not None:
            which = (epoch, position) if views == 1 else (epoch, position, view)
            sample = augment(sample, fold_in(seed, *which))
        return _pad_boxes(sample, most)

    stream = tf.data.Dataset.range(first_step * batch_size, np.iinfo(np.int64).max)
    stream = stream.map(prepare, num_parallel_calls=workers, deterministic=True)
    stream = stream.batch(batch_size, drop_remainder=True)
    if mix is not None:
        steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        stream = tf.data.Dataset.zip(stream, steps).map(
            lambda batch, step: mix(batch, fold_in(seed, step, -1)), num_parallel_calls=1
        )
    if samples.labels is not None:
        stream = stream.map(_labels_as_masks, num_parallel_calls=1)
    return _enriched(stream, enrich, workers).prefetch(4).with_options(_options(workers))


def scoring_batches(
    samples: Samples,
    *,
    batch_size: int,
    workers: int = 2,
    enrich: Callable[[Batch], Batch] | None = None,
) -> tf.data.Dataset:
    """Every sample once, in order, in batches of one size; `enrich` as in `training_batches`.

    The last batch is filled up with its first sample; `valid` (B,) bool says which count.
    One shape means one traced graph, and no replica without samples.
    """
    fetch = _fetcher(samples)
    count = len(samples)
    total = -(-count // batch_size) * batch_size
    most = _most_boxes(samples)

    def prepare(place: tf.Tensor) -> Batch:
        sample = fetch(tf.where(place < count, place, 0))
        return {**_pad_boxes(sample, most), "valid": place < count}

    stream = tf.data.Dataset.range(total)
    stream = stream.map(prepare, num_parallel_calls=workers, deterministic=True)
    stream = stream.batch(batch_size, drop_remainder=True)
    if samples.labels is not None:
        stream = stream.map(_labels_as_masks, num_parallel_calls=1)
    return _enriched(stream, enrich, workers).prefetch(2).with_options(_options(workers))


def fold_in(seed: int, *numbers: tf.Tensor | int) -> tf.Tensor:
    """A stateless seed (2,) that is a function of `seed` and `numbers`."""
    folded = tf.constant([seed, 0x7F4A7C15], tf.int64)
    for number in numbers:
        folded = tf.random.experimental.stateless_fold_in(folded, tf.cast(number, tf.int64))
    return folded


def _drawn_by(weights: np.ndarray, total: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """`(number, epoch's seed) -> index` of the sample that a number 0..total-1 stands for.

    Systematic sampling: the samples lie side by side on a line of `total`, each as long as
    it should be drawn often, and are read off at number + u, u one draw an epoch. So in
    each epoch a sample comes as often as it should, rounded up or down, and over the
    epochs exactly so often in the mean.
    """
    ends = np.cumsum(np.asarray(weights, np.float64) / np.sum(weights) * total)
    with tf.device("CPU:0"):
        ends = tf.constant(ends[:-1])  # behind the last but one comes the last

    def index(number: tf.Tensor, epoch_seed: tf.Tensor) -> tf.Tensor:
        place = tf.cast(number, tf.float64)
        place += tf.random.stateless_uniform([], epoch_seed, dtype=tf.float64)
        return tf.searchsorted(ends, place[None], side="right", out_type=tf.int64)[0]

    return index


def _fetcher(samples: Samples) -> Callable[[tf.Tensor], Batch]:
    """`index -> sample` out of arrays that stay in the host's memory, copied once."""
    with tf.device("CPU:0"):
        images = tf.constant(samples.images)
        masks = None if samples.masks is None else tf.constant(samples.masks)
        labels = None if samples.labels is None else tf.constant(samples.labels, tf.int32)
        regions = None if samples.regions is None else tf.constant(samples.regions)
        boxes = classes = None
        if samples.boxes is not None:
            counts = [len(b) for b in samples.boxes]
            boxes = tf.RaggedTensor.from_row_lengths(
                np.concatenate([*samples.boxes, np.zeros((0, 4))]).astype(np.float32), counts
            )
            classes = tf.RaggedTensor.from_row_lengths(
                np.concatenate([*samples.classes, np.zeros(0)]).astype(np.int32), counts
            )

    def fetch(index: tf.Tensor) -> Batch:
        image = tf.cast(tf.gather(images, index), tf.float32)
        sample = {"image": image if samples.scale == 1 else image * samples.scale, "index": index}
        if masks is not None:
            sample["mask"] = tf.cast(tf.gather(masks, index), tf.int32)
        if labels is not None:
            sample["label"] = tf.gather(labels, index)
        if regions is not None:
            sample["region"] = tf.gather(regions, index)
        if boxes is not None:
            sample["boxes"], sample["classes"] = boxes[index], classes[index]
        return sample

    return fetch


def _labels_as_masks(batch: Batch) -> Batch:
    """The labels of a batch, and those of its partners, as masks of one pixel."""
    masks = {
        key.replace("label", "mask"): batch[key][:, None, None]
        for key in ("label", "label_other")
        if key in batch
    }
    return {**batch, **masks}


def _most_boxes(samples: Samples) -> int:
    return max((len(b) for b in samples.boxes or ()), default=0)


def _enriched(stream: tf.data.Dataset, enrich, workers: int) -> tf.data.Dataset:
    if enrich is None:
        return stream
    return stream.map(enrich, num_parallel_calls=workers, deterministic=True)


def _pad_boxes(sample: Batch, most: int) -> Batch:
    if "boxes" not in sample:
        return sample
    missing = most - tf.shape(sample["boxes"])[0]
    boxes = tf.pad(sample["boxes"], [[0, missing], [0, 0]])
    classes = tf.pad(sample["classes"], [[0, missing]], constant_values=-1)
    return {
        **sample,
        "boxes": tf.ensure_shape(boxes, [most, 4]),
        "classes": tf.ensure_shape(classes, [most]),
    }


def _options(workers: int) -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = workers
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
