"""From decoded arrays to batches: tf.data without a shuffle buffer or hidden state.

What stands at place `g` of the stream of training samples is a pure function of (seed,
g): the epoch of the data is `g // N`, N being the samples times `repeat`, the order inside
it a permutation keyed by (seed, epoch), the chance of the augmentation keyed by (seed,
epoch, position). With several views of a sample each place becomes as many, one a view. So
a run can be resumed at any step by starting the stream there, bit for bit.

Autotuning is off and parallelism explicit: its wake-ups round every pass over a data set
up to 0.63, 1.27, 2.55 ... s. A run has one iterator, from its first step to its last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfvision.data.truth.base import TARGETS

Batch = dict[str, tf.Tensor]
# By AutoGraph, which would make another error of the one that an op raises.
_untranslated = tf.autograph.experimental.do_not_convert
CARRIED = -3  # apart from the numbers of ops, which count from 0, and from those used below


@dataclass(frozen=True)
class Samples:
    """The decoded samples of one split, all of one size.

    Attributes:
        ids: One id a sample.
        images: (N, H, W, C) uint8, uint16 or float32.
        scale: What a pixel is multiplied by to lie in [0, 1].
        targets: Name -> what each sample carries beside its image: an array (N, ...), or N
            arrays (n, ...) where samples have different numbers of rows, as boxes. Names are
            those of `tfvision.data.truth.TARGETS`, or others, which are taken as they are.
    """

    ids: Sequence[str]
    images: np.ndarray
    scale: float
    targets: Mapping[str, np.ndarray | Sequence[np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> "Samples":
        """The samples at `indices`, in that order."""
        rows = np.asarray(indices, dtype=int)
        return Samples(
            ids=[self.ids[i] for i in rows],
            images=self.images[rows],
            scale=self.scale,
            targets={
                name: each[rows] if isinstance(each, np.ndarray) else [each[i] for i in rows]
                for name, each in self.targets.items()
            },
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
        augment: Op on one sample, `op(sample, seed) -> sample`. One that adds rows to targets
            such as boxes has an attribute `adds`, how many at most.
        mix: Op on a batch, `op(batch, seed) -> batch`.
        enrich: Adds keys to a batch, last of all; a function of the batch alone.
        workers: Threads that prepare samples.
        repeat: How often an epoch of the data has each sample, each time augmented anew.
        weights: (N,) above 0, how often a sample is drawn relative to the others, or None.
        views: How often a batch has each of its samples, one beside the other, augmented anew;
            divides `batch_size`.

    Returns:
        A data set of dicts: `image` (B, H, W, C) float32 in [0, 1], `index` (B,) int64 into
        `samples`, `seed` (B, 2) int32 for what a task draws itself, another for each sample,
        epoch and view; and the targets by name, `mask` (B, H, W) int32 or `label` (B,) int32,
        say. Those with a number of rows of their own are padded to the M rows of the sample
        with the most: `boxes` (B, M, 4) float32 with zeros, `classes` (B, M) int32 with -1.
    """
    fetch = _fetcher(samples)
    count = len(samples)
    total = repeat * count
    pad = _padder(samples, room=getattr(augment, "adds", 0))
    drawn = None if weights is None else _drawn_by(weights, total)

    @_untranslated
    def prepare(place: tf.Tensor) -> Batch:
        view, place = place % views, place // views
        epoch, position = place // total, place % total
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        number = tf.random.experimental.index_shuffle(position, order_seed, total - 1)
        index = number % count if drawn is None else drawn(number, fold_in(seed, epoch, -2))
        sample = fetch(index)
        own_seed = fold_in(seed, *((epoch, position) if views == 1 else (epoch, position, view)))
        if augment is not None:
            sample = augment(sample, own_seed)
        return {**pad(sample), "seed": _seed_to_carry(own_seed)}

    stream = tf.data.Dataset.range(first_step * batch_size, np.iinfo(np.int64).max)
    stream = stream.map(prepare, num_parallel_calls=workers, deterministic=True)
    stream = stream.batch(batch_size, drop_remainder=True)
    if mix is not None:
        steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        stream = tf.data.Dataset.zip(stream, steps).map(
            _untranslated(lambda batch, step: mix(batch, fold_in(seed, step, -1))),
            num_parallel_calls=1,
        )
    return _enriched(stream, enrich, workers).prefetch(4).with_options(_options(workers))


def scoring_batches(
    samples: Samples,
    *,
    batch_size: int,
    workers: int = 2,
    enrich: Callable[[Batch], Batch] | None = None,
) -> tf.data.Dataset:
    """Every sample once, in order, in batches of one size; keys as of `training_batches`.

    `seed` depends on a sample's place alone, so every pass draws the same. The last batch is
    filled up with its first sample; `valid` (B,) bool says which count. One shape means one
    traced graph, and no replica without samples.
    """
    fetch = _fetcher(samples)
    count = len(samples)
    total = -(-count // batch_size) * batch_size
    pad = _padder(samples)

    def prepare(place: tf.Tensor) -> Batch:
        sample = fetch(tf.where(place < count, place, 0))
        seed = _seed_to_carry(fold_in(0, place))
        return {**pad(sample), "seed": seed, "valid": place < count}

    stream = tf.data.Dataset.range(total)
    stream = stream.map(prepare, num_parallel_calls=workers, deterministic=True)
    stream = stream.batch(batch_size, drop_remainder=True)
    return _enriched(stream, enrich, workers).prefetch(2).with_options(_options(workers))


def fold_in(seed: int, *numbers: tf.Tensor | int) -> tf.Tensor:
    """A stateless seed (2,) that is a function of `seed` and `numbers`."""
    folded = tf.constant([seed, 0x7F4A7C15], tf.int64)
    for number in numbers:
        folded = tf.random.experimental.stateless_fold_in(folded, tf.cast(number, tf.int64))
    return folded


def _seed_to_carry(seed: tf.Tensor) -> tf.Tensor:
    """(2,) int32 of a sample's seed (2,) int64; what augmentation draws of that is another."""
    return tf.cast(tf.random.experimental.stateless_fold_in(seed, CARRIED), tf.int32)


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
        targets = {
            name: tf.constant(each) if isinstance(each, np.ndarray) else _ragged(name, each)
            for name, each in samples.targets.items()
        }

    def fetch(index: tf.Tensor) -> Batch:
        image = tf.cast(tf.gather(images, index), tf.float32)
        sample = {"image": image if samples.scale == 1 else image * samples.scale, "index": index}
        for name, each in targets.items():
            ragged = isinstance(each, tf.RaggedTensor)
            value = each[index] if ragged else tf.gather(each, index)
            sample[name] = tf.cast(value, TARGETS[name].dtype) if name in TARGETS else value
        return sample

    return fetch


def _ragged(name: str, each: Sequence[np.ndarray]) -> tf.RaggedTensor:
    """The rows of all samples on end, with the number that each has."""
    none = [np.zeros((0, *TARGETS[name].shape[1:]))] if name in TARGETS else []
    dtype = TARGETS[name].dtype if name in TARGETS else each[0].dtype
    rows = np.concatenate([*each, *none]).astype(dtype)
    return tf.RaggedTensor.from_row_lengths(rows, [len(rows) for rows in each])


def _padder(samples: Samples, *, room: int = 0) -> Callable[[Batch], Batch]:
    """`sample -> sample` with as many rows in each ragged target as any sample has, and `room`."""
    most = {
        name: max(map(len, each), default=0) + room
        for name, each in samples.targets.items()
        if not isinstance(each, np.ndarray)
    }

    def pad(sample: Batch) -> Batch:
        padded = {}
        for name, rows in most.items():
            value, fill = sample[name], TARGETS[name].pad if name in TARGETS else 0
            count = tf.shape(value)[0]
            enough = tf.debugging.Assert(
                count <= rows,
                [
                    f"An op of data.augment adds to `{name}` of a sample: there is room for "
                    f"{rows} rows. Give the op an attribute `adds`, how many it adds at most. "
                    "Rows:",
                    count,
                ],
            )
            with tf.control_dependencies([enough]):
                missing = [[0, rows - count], *[[0, 0]] * (value.shape.rank - 1)]
            value = tf.pad(value, missing, constant_values=tf.cast(fill, value.dtype))
            padded[name] = tf.ensure_shape(value, [rows, *value.shape[1:]])
        return {**sample, **padded}

    return pad


def _enriched(stream: tf.data.Dataset, enrich, workers: int) -> tf.data.Dataset:
    if enrich is None:
        return stream
    return stream.map(enrich, num_parallel_calls=workers, deterministic=True)


def _options(workers: int) -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = workers
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
