"""`predict`: what a run says of every image of an input."""

import hashlib
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.data.files.reading import MAX_PIXELS
from tfvision.data.sources.source import Source
from tfvision.engine.distribute import make_strategy
from tfvision.engine.files import write_text
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.read import Native, native, native_large
from tfvision.runs.load import LoadedRun, load_run, open_like, own_data, weights_sha256
from tfvision.runs.request import UseRequest
from tfvision.runs.views_and_tiles import as_requested, fitted_files, how
from tfvision.tasks.parts import Prediction
from tfvision.text import counted


def predict(request: UseRequest) -> dict[str, Any]:
    """Writes predictions for every image of an input, in its order and under its ids."""
    make_strategy(request.device)
    run = load_run(request.run, depth=request.depth)
    loaded = as_requested(run, request)
    source, indices = to_predict(loaded, request)
    ids = [source.records[i].id for i in indices]
    if len(set(ids)) < len(ids):
        ids = [f"{source.records[i].part}/{source.records[i].id}".lstrip("/") for i in indices]
    large = request.tile is not None
    made = Predictions(loaded, source, indices, large=large, quiet=request.quiet)
    shards = request.shards is not None
    predictions = stored(made, ids, request, weights_of(run)) if shards else made
    written = loaded.task.write_predictions(
        request.out / "predictions",
        ids,
        predictions,
        loaded.recipe,
        data=loaded.data,
        probabilities=request.probabilities and not shards,
    )
    notes = say_notes(loaded, made.counter, quiet=request.quiet)
    for name, file in fitted_files(request).items():
        # so that the folder tells how what is in it came about
        write_text(request.out / name, file.read_text("utf-8"))
    if not request.quiet:
        print(f"{counted(len(ids), 'image')}: {written}", file=sys.stderr)
    return {"images": len(ids), "file": str(written), **how(request), **notes}


@dataclass(frozen=True)
class Predictions:
    """What a run predicts of some records, made while it is read.

    Attributes:
        loaded: What predicts.
        source, indices: The records.
        counter: Is added what `task.notes` reads, image by image.
        large: Whether images of any size are read, since they are predicted in tiles.
        quiet: Whether nothing is said to the user.
    """

    loaded: LoadedRun
    source: Source
    indices: list[int]
    counter: Counter = field(default_factory=Counter)
    large: bool = False
    quiet: bool = True

    def raw(self, positions: Sequence[int] | None = None) -> Iterator[Prediction]:
        """The predictions of all records, or of those at these positions, before any rule."""
        loaded = self.loaded
        samples = self._samples(range(len(self.indices)) if positions is None else positions)
        return loaded.task.predictions(
            loaded.recipe, loaded.predictor, samples, counter=self.counter
        )

    def answers(self) -> Iterator[Any]:
        """What is written of each record: decoded, after all rules."""
        loaded = self.loaded
        samples = self._samples(range(len(self.indices)))
        return loaded.task.answers(loaded.recipe, loaded.predictor, samples, counter=self.counter)

    def with_images(self) -> Iterator[tuple[Native, Any]]:
        """Each image with what is written of it; no more images are held than a batch has."""
        held: deque[Native] = deque()

        def noted() -> Iterator[Native]:
            for sample in self._samples(range(len(self.indices))):
                held.append(sample)
                yield sample

        loaded = self.loaded
        answers = loaded.task.answers(
            loaded.recipe, loaded.predictor, noted(), counter=self.counter
        )
        for answer in answers:
            yield held.popleft(), answer

    def say(self, text: str) -> None:
        """Tells the user, unless told to be quiet."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def _samples(self, positions: Iterable[int]) -> Iterator[Native]:
        read = native_large if self.large else native
        for p in positions:
            sample = read(self.source, self.indices[p], self.loaded.recipe.channels)
            if not self.quiet:
                _say_if_large(sample, self.source.records[self.indices[p]].place)
            yield sample


def _say_if_large(sample: Native, place: str) -> None:
    """What it takes to hold an image that is larger than those that are read without tiles."""
    height, width, channels = sample.image.shape
    if not isinstance(sample.image, np.ndarray):
        print(f"{place}: {height} x {width} pixels, read window by window", file=sys.stderr)
    elif height * width > MAX_PIXELS:
        each = channels * sample.image.dtype.itemsize
        print(
            f"{place}: {height} x {width} pixels, decoded once and held at {each} bytes a pixel "
            f"({height * width * each / 2**30:.1f} GiB)",
            file=sys.stderr,
        )


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions that lie in a store.

    Attributes:
        loaded: What predicted.
        store: They, in order.
        made: What predicted those that were missing, and reads the images.
    """

    loaded: LoadedRun
    store: Shards
    made: Predictions

    def raw(self) -> Iterator[Prediction]:
        return (self.store.prediction(name) for name in self.store.ids)

    def answers(self) -> Iterator[Any]:
        task, recipe = self.loaded.task, self.loaded.recipe
        return (task.decode(recipe, prediction) for prediction in self.raw())

    def with_images(self) -> Iterator[tuple[Native, Any]]:
        return zip(self.made._samples(range(len(self.made.indices))), self.answers(), strict=True)

    def say(self, text: str) -> None:
        self.made.say(text)


def stored(
    predictions: Predictions, ids: list[str], request: UseRequest, weights: list[str]
) -> StoredPredictions:
    """Writes `<out>/probabilities/`, or what is missing of it.

    Answers come from the predictions as they are stored, so it makes no difference where a call
    was interrupted.

    Args:
        predictions: What is stored.
        ids: Of their records.
        request: Its `out`, `shards`, and what `how` records.
        weights: Of `weights_of`, to tell runs apart.

    Raises:
        InputError: The folder holds the predictions of another run or input, or of other views
            or tiles.
    """
    loaded = predictions.loaded
    store = Shards.create(
        request.out / "probabilities",
        ids=ids,
        class_names=loaded.data["class_names"],
        origin={
            "tta": None,
            "tile": None,
            "overlap": None,
            **{key: value for key, value in how(request).items() if key != "postprocess"},
            "weights_sha256": weights,
            "images_sha256": _images_sha256(predictions),
        },
        per_shard=request.shards,
        arrays=loaded.task.facts.arrays or None,
    )
    missing = store.missing()
    for done, positions in enumerate(missing, 1):
        rows = [loaded.task.compact(one) for one in predictions.raw(positions)]
        store.write_predictions(positions, rows)
        if not request.quiet:
            print(f"shard {done} of {len(missing)} written", file=sys.stderr)
    return StoredPredictions(loaded, Shards.open(store.folder), predictions)


def weights_of(loaded: LoadedRun) -> list[str]:
    """The SHA-256 of the weights in use, for an ensemble one a member and its share."""
    return [
        weights_sha256(member.model) + ("" if share == 1 else f" {share:.9g}")
        for member, share in zip(loaded.predictor.members, loaded.predictor.weights, strict=True)
    ]


def say_notes(loaded: LoadedRun, counter: Counter, *, quiet: bool) -> dict[str, list[str]]:
    """Prints what a user must know of how images were predicted; for the summary."""
    notes = loaded.task.notes(loaded.recipe, counter)
    if notes is None:
        return {}
    for note in () if quiet else notes:
        print(note, file=sys.stderr)
    return {"notes": notes}


def _images_sha256(predictions: Predictions) -> str:
    """Of the pixels in order, so that no store is filled up from other images."""
    digest = hashlib.sha256()
    for sample in predictions._samples(range(len(predictions.indices))):
        image, scale = sample.image, sample.scale
        digest.update(f"{image.shape} {image.dtype} {scale}\n".encode())
        digest.update(np.ascontiguousarray(image).data)
        if sample.region is not None:  # it may decide what is seen of the image
            digest.update(np.ascontiguousarray(sample.region).data)
    return digest.hexdigest()


def to_predict(loaded: LoadedRun, request: UseRequest) -> tuple[Source, list[int]]:
    """What to predict: the images of `request.input`, or those of the run's own test split.

    Raises:
        InputError: There are none; the run's data is not what it was, or has images in the split
            that cannot be used.
    """
    if request.input is not None:
        source = open_like(loaded, request.input, truth_needed=False)
        for note in () if request.quiet else source.notes:
            print(note, file=sys.stderr)
        indices = _predicted_of(source, request.split)
        if not indices:
            raise InputError(f"{source.layout}: it has no images to predict.")
        return source, indices
    prepared, split = own_data(loaded, request.data), request.split or "test"
    splits = ("train", "val", "test") if split == "all" else (split,)
    gone = {left.index for left in prepared.scan.left_out if left.index is not None}
    gone = [x.id for i, x in enumerate(prepared.source.records) if i in gone and x.split in splits]
    if gone:
        raise InputError(
            f"Predictions are one for each image of the split `{split}`, and {len(gone)} of it "
            f"cannot be used ({', '.join(gone[:3])}{', ...' * (len(gone) > 3)}; quarantine.csv of "
            "the run says why). Repair them, or name what to predict as INPUT."
        )
    indices = sorted(i for name in splits for i in prepared.indices(name, labelled=False))
    if not indices:
        raise InputError(
            f"The run's own data has no images in the split `{split}`. Name what to predict: a "
            "folder, a file or a data set, as INPUT."
        )
    return prepared.source, indices


def _predicted_of(source: Source, split: str | None) -> list[int]:
    """The records of the test set where there is one, else all."""
    records = source.records
    if split in ("train", "val", "test"):
        indices = [i for i, r in enumerate(records) if r.split == split]
        if not indices:
            raise InputError(f"{source.layout}: it has no split `{split}`.")
        return indices
    test = [i for i, r in enumerate(records) if r.split == "test"]
    return test if test and split is None else list(range(len(records)))
