"""What a run trains on and in which shares: repeats, balance, rare classes, augmentation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfvision.augment import MIXERS, OPS
from tfvision.augment.op import compose
from tfvision.config import RunConfig
from tfvision.data.balance import rare_classes, repeat_factors
from tfvision.data.pipeline import Samples, training_batches
from tfvision.data.sources.source import RawSample
from tfvision.data.truth import truth_kind
from tfvision.engine.loop_messages import cannot_make
from tfvision.errors import InputError, out_of_memory
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import decode
from tfvision.registry import Spec
from tfvision.report.augment_page import Augmented
from tfvision.report.overlay import colour_labels, palette

SHOWN, DRAWS = 4, 5  # samples in the picture of the augmentation, and draws of each
READ = 6  # samples in the picture of what is read


@dataclass(frozen=True)
class TrainingSet:
    """The training split as `data.repeat`, `data.balance` and `data.mix` make it.

    Attributes:
        indices: Places in the source, exact duplicates left out where samples are repeated.
        class_pixels: (n, K) pixels of each class in each of them.
        repeat: Times an epoch has each.
        weights: (n,) how often each is drawn beside the others, or None.
        mixers: The mixing ops, with the rare classes put in; without one that has none.
        notes: Lines for the user.
        views: Times a batch has each of its samples.
    """

    indices: list[int]
    class_pixels: np.ndarray
    repeat: int
    weights: np.ndarray | None
    mixers: tuple[Spec, ...]
    notes: list[str] = field(default_factory=list)
    views: int = 1

    @property
    def per_epoch(self) -> int:
        """Samples an epoch, each as often as there are views of it."""
        return len(self.indices) * self.repeat * self.views


def steps_per_epoch(config: RunConfig, samples: int) -> int:
    """Optimizer steps of an epoch of so many samples: 1 at least."""
    return max(1, round(samples / config.data.batch_size))


def training_set(
    config: RunConfig, prepared: Prepared, ignored: Iterable[int], *, views: int = 1
) -> TrainingSet:
    """Works out what a config makes of the training split.

    Args:
        config: The run's config.
        prepared: Its data.
        ignored: Labels that do not count, inside 0..K-1 or not.
        views: Times a batch has each of its samples.

    Raises:
        InputError: `copy_paste` names a class that the data does not have.
    """
    ignored, notes = sorted(set(ignored)), []
    data, indices = config.data, prepared.indices("train")
    if data.repeat > 1:
        kept = _distinct(prepared, indices)
        double = len(indices) - len(kept)
        notes.append(
            f"data.repeat: an epoch has each of {len(kept)} training samples {data.repeat} times; "
            f"exact duplicates of image and mask left out first: {double}"
        )
        indices = kept
    pixels = prepared.scan.class_pixels[indices]
    weights = None
    if data.balance == "images":
        weights = repeat_factors(pixels, ignored)
        notes.append(
            "data.balance: images with rare classes are drawn up to "
            f"{weights.max() / weights.min():.1f} times as often as the others"
        )
    mixers = [_resolved(spec, prepared, pixels, ignored, notes=notes) for spec in data.mix]
    return TrainingSet(
        indices,
        pixels,
        data.repeat,
        weights,
        mixers=tuple(m for m in mixers if m is not None),
        notes=notes,
        views=views,
    )


def training_stream(
    config: RunConfig,
    samples: Samples,
    chosen: TrainingSet,
    *,
    vary: bool = True,
    enrich: Callable | None = None,
) -> Callable[[int], tf.data.Dataset]:
    """The batches from a step on; `vary=False`: the same samples as they are.

    Args:
        config: The run's config.
        samples: Those of `chosen.indices`, in that order.
        chosen: What is drawn how often.
        vary: Whether to augment and to mix.
        enrich: What the loss needs of a batch besides, from `terms.enricher`.
    """
    augment, mix = operations(config, chosen) if vary else (None, None)

    def stream(first_step: int) -> tf.data.Dataset:
        return training_batches(
            samples,
            batch_size=config.data.batch_size,
            seed=config.seed,
            first_step=first_step,
            augment=augment,
            mix=mix,
            enrich=enrich,
            workers=config.data.workers,
            repeat=chosen.repeat,
            weights=chosen.weights,
            views=chosen.views,
        )

    return stream


def augmented(
    config: RunConfig,
    prepared: Prepared,
    ignored: Iterable[int],
    *,
    read: Callable[[Prepared, list[int]], Samples] = decode,
) -> Augmented | None:
    """Some training samples, as read and as the run's own pipeline gives them.

    They stand evenly apart in the training set, and are mixed with each other. None where
    the config augments nothing. Arguments as `training_set` has them; `read` decodes samples.

    Raises:
        InputError: An op does not fit them.
    """
    chosen = training_set(config, prepared, ignored)
    augment, mix = operations(config, chosen)
    if augment is None and mix is None:
        return None
    places = np.linspace(0, len(chosen.indices) - 1, SHOWN).round().astype(int)
    samples = read(prepared, [chosen.indices[i] for i in np.unique(places)])
    stream = training_batches(
        samples, batch_size=len(samples), seed=config.seed, augment=augment, mix=mix, workers=1
    )
    try:
        draws = [{key: value.numpy() for key, value in b.items()} for b in stream.take(DRAWS)]
    except tf.errors.OpError as error:
        if out_of_memory(error):
            raise
        raise cannot_make(0, error, samples.ids) from error
    rows = [np.argsort(batch["index"]) for batch in draws]
    kind = truth_kind(prepared.source.truth)

    def pair(image: np.ndarray, targets: Mapping[str, np.ndarray]):
        sample = RawSample(image, **targets)
        return image, kind.drawing(sample, prepared.num_classes)

    return Augmented(
        ids=list(samples.ids),
        originals=[
            pair(
                samples.images[i].astype(np.float32) * samples.scale,
                {name: values[i] for name, values in samples.targets.items()},
            )
            for i in range(len(samples))
        ],
        draws=[
            [
                pair(batch["image"][order[i]], {k: batch[k][order[i]] for k in samples.targets})
                for batch, order in zip(draws, rows, strict=True)
            ]
            for i in range(len(samples))
        ],
        num_classes=prepared.num_classes,
    )


def training_samples(prepared: Prepared) -> Augmented:
    """Some training samples as they are read: plain, with the borders of their truth, and the
    truth in the colours of the classes where it is drawn."""
    indices, kind = prepared.indices("train"), truth_kind(prepared.source.truth)
    places = np.unique(np.linspace(0, len(indices) - 1, READ).round().astype(int))
    samples = decode(prepared, [indices[i] for i in places])
    colours, plain, drawn = palette(prepared.num_classes), [], []
    for i, image in enumerate(samples.images):
        image = image.astype(np.float32) * samples.scale
        targets = {name: values[i] for name, values in samples.targets.items()}
        truth = kind.drawing(RawSample(image, **targets), prepared.num_classes)
        blank = np.zeros(image.shape[:2], np.int32)
        truth = blank if truth is None else truth
        plain.append((image, blank))
        drawn.append([(image, truth), (colour_labels(truth, colours) / np.float32(255), blank)])
    return Augmented(list(samples.ids), plain, drawn, num_classes=prepared.num_classes)


def operations(config: RunConfig, chosen: TrainingSet):
    """The ops on samples and on batches, each as one op, or None."""
    ops = [OPS.build(spec) for spec in config.data.augment]
    mixers = [MIXERS.build(spec) for spec in chosen.mixers]
    return compose(ops) if ops else None, compose(mixers) if mixers else None


def _distinct(prepared: Prepared, indices: list[int]) -> list[int]:
    """The first of all samples that share both image and truth."""
    first: dict[tuple[str, str], int] = {}
    for i in indices:
        first.setdefault((prepared.scan.image_sha256[i], prepared.scan.truth_sha256[i]), i)
    return list(first.values())


def _resolved(
    spec: Spec, prepared: Prepared, pixels: np.ndarray, ignored: list[int], notes: list[str]
) -> Spec | None:
    """A mixer with the labels it is to paste; None where there is nothing to paste."""
    if spec.name != "copy_paste":
        return spec
    classes = spec.kwargs.get("classes", "rare")
    if classes == "rare":
        classes = rare_classes(pixels, ignored)
        names = ", ".join(prepared.class_names[k] for k in classes)
        notes.append(
            f"copy_paste: rare in the training set, and pasted: {names}"
            if classes
            else "copy_paste: no class of the training set is rare, so nothing is pasted; "
            "classes=[...] names some all the same"
        )
    if classes == "all":
        return spec
    unknown = [k for k in classes if not 0 <= k < prepared.num_classes]
    if unknown:
        raise InputError(
            f"data.mix, copy_paste: classes names {', '.join(map(str, unknown))}, and the data has "
            f"the labels 0 to {prepared.num_classes - 1}."
        )
    return Spec(name=spec.name, **{**spec.kwargs, "classes": classes}) if classes else None
