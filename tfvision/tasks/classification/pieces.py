"""Images as a classifier sees them: cut into pieces, brought to one size, put together again."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.config import RunConfig
from tfvision.data import INPUTS
from tfvision.data.crops.pieces import Piece, aggregate, count_pieces
from tfvision.data.crops.windows import fit_image
from tfvision.data.pipeline import Samples, training_batches
from tfvision.engine.predict import as_float, predict_probabilities
from tfvision.recipe.dataset import LARGEST_CLASSIFIED, Prepared, rounded_size
from tfvision.recipe.read import Native, native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import DRAWS, SHOWN, TrainingSet, operations, training_set
from tfvision.report.augment_page import Augmented
from tfvision.tasks.classification.inference import fit_pieces

LOOKED_AT = 300  # images whose pieces tell the size to train at
WITH_REGION = {"random_background", "paste_on_background"}  # ops that ask where the object is


@dataclass(frozen=True)
class Pieces:
    """The pieces of some images, decoded.

    Attributes:
        samples: One a piece, all of one size, with the label of its image.
        owner: (n,) which of the images each is of.
        weights: (n,) what `data.aggregate: area` weighs each by.
        truth: (N,) int32 labels of the images.
        notes: Lines for the user on what could not be cut as asked.
    """

    samples: Samples
    owner: np.ndarray
    weights: np.ndarray
    truth: np.ndarray
    notes: list[str]

    def of_images(self, probabilities: np.ndarray, how: str) -> np.ndarray:
        """(n, K) of the pieces -> (N, K) of the images."""
        ends = np.cumsum(np.bincount(self.owner, minlength=len(self.truth)))[:-1]
        parts = zip(np.split(probabilities, ends), np.split(self.weights, ends), strict=True)
        return np.stack([aggregate(p, w, how) for p, w in parts])


def cut_native(recipe: Recipe, sample: Native) -> list[Piece]:
    """The pieces of one image, at their own sizes."""
    return recipe.cut(sample.image, sample.region, sample.box, white=1 / sample.scale)


def with_piece_size(config: RunConfig, prepared: Prepared, cut: Callable) -> Prepared:
    """`prepared` with the size that pieces are trained at, where the config leaves it open.

    It is that of the pieces where all have one, else their rounded median, at most
    `LARGEST_CLASSIFIED` on the longer side.
    """
    if config.data.image_size is not None:
        return replace(prepared, size=tuple(config.data.image_size), resized=True)
    indices = [i for i, split in enumerate(prepared.splits) if split == "train"]
    indices = indices[:: max(1, len(indices) // LOOKED_AT)]
    sizes = set()
    each = []
    for i in indices:
        sample = native_scanned(prepared, i)
        found = cut(sample.image, sample.region, sample.box, white=1 / sample.scale)
        each += [piece.image.shape[:2] for piece in found]
        sizes |= set(each[-len(found) :])
    largest = max(max(size) for size in sizes)
    if len(sizes) == 1 and largest <= LARGEST_CLASSIFIED:
        return replace(prepared, size=each[0], resized=False)
    size = rounded_size(np.median(np.array(each), axis=0), LARGEST_CLASSIFIED)
    heights, widths = np.array(each).T
    note = (
        f"pieces of {heights.min()}x{widths.min()} to {heights.max()}x{widths.max()} pixels are "
        f"shown to the network at {size[0]}x{size[1]}, their rounded median (at most "
        f"{LARGEST_CLASSIFIED}); data.image_size sets another"
    )
    return replace(prepared, size=size, resized=True, notes=[*prepared.notes, note])


def piece_counts(config: RunConfig, prepared: Prepared, indices: Sequence[int]) -> list[int]:
    """How many pieces a config makes of each image; they are read only where it may be several."""
    cut = INPUTS.build(config.data.input)
    facts = (prepared.scan.facts[i] for i in indices)
    several = "box" in cut.needs and any(fact and len(fact.boxes) > 1 for fact in facts)
    if cut.name != "patches" and not several:
        return [1] * len(indices)
    samples = (native_scanned(prepared, i) for i in indices)
    return [len(cut(s.image, s.region, s.box, white=1 / s.scale)) for s in samples]


def decode_pieces(recipe: Recipe, prepared: Prepared, indices: Sequence[int]) -> Pieces:
    """Reads labelled images, cuts them and brings the pieces to the run's size.

    Raises:
        InputError: The way of cutting needs masks or boxes, and no image has any.
    """
    config = recipe.config.data
    with_regions = WITH_REGION & {spec.name for spec in (*config.augment, *config.mix)}
    images, regions, scales, owner, weights, truth = [], [], [], [], [], []
    counter, has = Counter(), set()
    for number, i in enumerate(indices):
        sample = native_scanned(prepared, i)
        has |= {"region"} if sample.region is not None else set()
        has |= {"box"} if sample.box is not None else set()
        pieces = cut_native(recipe, sample)
        counter += count_pieces(pieces)
        truth.append(int(sample.targets["label"]))
        for piece in pieces:
            images.append(_fitted(piece.image, recipe.size, config.fit))
            if with_regions:
                regions.append(_region(piece, recipe))
            scales.append(sample.scale)
            owner.append(number)
            weights.append(piece.weight)
    recipe.cut.require(has)
    if len(set(scales)) > 1:  # 8-bit and 16-bit files, say
        images = [x.astype(np.float32) * np.float32(s) for x, s in zip(images, scales, strict=True)]
        scales = [1.0]
    owner, truth = np.array(owner), np.array(truth, np.int32)
    samples = Samples(
        ids=[prepared.source.records[indices[n]].id for n in owner],
        images=np.stack(images),
        scale=scales[0],
        targets={"label": truth[owner], **_stacked(regions, recipe.size)},
    )
    return Pieces(samples, owner, np.array(weights), truth, notes=recipe.cut.notes(counter))


def of_pieces(chosen: TrainingSet, pieces: Pieces) -> TrainingSet:
    """The training set of images as one of their pieces: each as often as its image."""
    weights = None if chosen.weights is None else chosen.weights[pieces.owner]
    return replace(
        chosen,
        indices=[chosen.indices[n] for n in pieces.owner],
        class_pixels=chosen.class_pixels[pieces.owner],
        weights=weights,
    )


def image_probabilities(
    recipe: Recipe,
    predictor: Any,
    samples: Iterable[Native],
    *,
    pieces: list[np.ndarray] | None = None,
    counter: Counter | None = None,
) -> Iterator[np.ndarray]:
    """The probabilities (1, 1, K) float32 of images, in order, before any rule.

    Args:
        recipe: How images are cut, and how their pieces agree.
        predictor: What predicts pieces: has `serve_float`, and `fitted` where all pieces have
            one size for it. Or a `TwoStage`, which finds what is cut out.
        samples: The images.
        pieces: Takes the probabilities (n, K) of each image's pieces, or None.
        counter: Is added what `Cut.notes` reads, image by image, or None.
    """
    for own, weights in piece_probabilities(recipe, predictor, samples, counter=counter):
        if pieces is not None:
            pieces.append(own)
        yield together(recipe, own, weights).astype(np.float32)[None, None]


def piece_probabilities(
    recipe: Recipe, predictor: Any, samples: Iterable[Native], *, counter: Counter | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each image, in order, the probabilities (n, K) float32 and weights (n,) of its pieces.

    Arguments as `image_probabilities` has them.
    """
    at_once, group = recipe.config.data.batch_size, []
    if hasattr(predictor, "located"):  # of two stages: the first one finds the boxes
        samples = predictor.located(samples, counter=counter, at_once=at_once)
        predictor = predictor.classifier
    for sample in samples:
        cut = cut_native(recipe, sample)
        if counter is not None:
            counter.update(count_pieces(cut))
        group.append((sample, cut))
        if sum(len(pieces) for _, pieces in group) >= at_once:
            yield from _predicted(recipe, predictor, group)
            group = []
    if group:
        yield from _predicted(recipe, predictor, group)


def together(recipe: Recipe, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n, K) and (n,) of the pieces of an image -> its (K,) float64, as the recipe joins them."""
    return aggregate(probabilities, weights, recipe.config.data.aggregate)


def augmented_pieces(recipe: Recipe, prepared: Prepared) -> Augmented | None:
    """Some training pieces, as cut and as the run's own pipeline gives them; see `augmented`."""
    config = recipe.config
    chosen = training_set(config, prepared, recipe.ignored)
    augment, mix = operations(config, chosen)
    if augment is None and mix is None:
        return None
    places = np.linspace(0, len(chosen.indices) - 1, SHOWN).round().astype(int)
    pieces = decode_pieces(recipe, prepared, [chosen.indices[i] for i in np.unique(places)])
    samples = pieces.samples.take(np.unique(pieces.owner, return_index=True)[1])
    stream = training_batches(
        samples, batch_size=len(samples), seed=config.seed, augment=augment, mix=mix, workers=1
    )
    draws = [{key: b[key].numpy() for key in ("image", "index")} for b in stream.take(DRAWS)]
    rows = [np.argsort(batch["index"]) for batch in draws]
    return Augmented(
        ids=list(samples.ids),
        originals=[_shown(x.astype(np.float32) * samples.scale) for x in samples.images],
        draws=[
            [_shown(batch["image"][order[i]]) for batch, order in zip(draws, rows, strict=True)]
            for i in range(len(samples))
        ],
        num_classes=prepared.num_classes,
    )


def _predicted(recipe: Recipe, predictor, group) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and weights of the pieces of images, which make up about a batch."""
    fitted = getattr(predictor, "fitted", None)
    images = [
        as_float([piece.image], [sample.scale])[0] for sample, pieces in group for piece in pieces
    ]
    if fitted is not None:
        images = [fitted(tf.constant(image[None]))[0].numpy() for image in images]
    found = []
    for batch in _runs_of_one_size(images, recipe.config.data.batch_size):
        found += list(predict_probabilities(predictor, np.stack(batch))[:, 0, 0])
    for _, pieces in group:
        own, found = np.stack(found[: len(pieces)]), found[len(pieces) :]
        yield own, np.array([piece.weight for piece in pieces])


def _runs_of_one_size(images: list[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    run: list[np.ndarray] = []
    for image in images:
        if run and (len(run) == most or image.shape != run[0].shape):
            yield run
            run = []
        run.append(image)
    if run:
        yield run


def _fitted(image: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """A piece at the run's size, of the dtype it has."""
    if image.shape[:2] == tuple(size):
        return image
    out = fit_pieces(tf.constant(image[None], tf.float32), size, how)[0].numpy()
    if image.dtype.kind in "iu":
        out = np.clip(np.rint(out), 0, np.iinfo(image.dtype).max)
    return out.astype(image.dtype)


def _region(piece: Piece, recipe: Recipe) -> np.ndarray | None:
    """Where the object is in a fitted piece; None where that is not known."""
    if piece.region is None:
        return None
    return fit_image(piece.region, recipe.size, recipe.config.data.fit, nearest=True)


def _stacked(regions: list[np.ndarray | None], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The target `region` (n, *size) uint8, 0 all over where it is not known; {} where none is."""
    if all(region is None for region in regions):
        return {}
    empty = np.zeros(size, np.uint8)
    return {"region": np.stack([empty if region is None else region for region in regions])}


def _shown(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image of 1 or 3 channels out of what the network sees, and a mask without borders."""
    channels = 3 if image.shape[-1] >= 3 else 1
    return image[..., :channels], np.zeros(image.shape[:2], np.int32)
