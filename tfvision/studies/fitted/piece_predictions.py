"""What each fold's run says of the pieces of its own images: probabilities and areas, kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.data.crops.pieces import aggregate
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.read import native
from tfvision.runs.load import LoadedRun
from tfvision.studies.folds.folder import fold_folder, open_data, read_folds
from tfvision.studies.folds.out_of_fold import fill_store
from tfvision.studies.folds.predictions import FoldPredictions
from tfvision.tasks.classification.pieces import piece_probabilities

FOLDER = "out_of_fold_pieces"


@dataclass(frozen=True)
class PieceScores:
    """What a network says of the pieces of N images.

    Attributes:
        probabilities: N arrays (n, K) float64, rows of sum 1.
        weights: N arrays (n,) float above 0, `Piece.weight`: areas in pixels.
    """

    probabilities: list[np.ndarray]
    weights: list[np.ndarray]

    def joined(self, how: str) -> np.ndarray:
        """(N, K) float64: `aggregate` of every image."""
        pairs = zip(self.probabilities, self.weights, strict=True)
        return np.stack([aggregate(p, w, how) for p, w in pairs])


def piece_store(folder: Path, found: FoldPredictions, say: Callable[[str], None]) -> Shards:
    """The store of pieces of a folder of folds; what is missing of it is predicted.

    Args:
        folder: The folder of folds, complete.
        found: Its predictions of images.
        say: Takes lines for the user.

    Returns:
        Of each image, in the order of `found.store`, probabilities (n, 1, K) float16 of its n
        pieces by the run that did not train on it, with their areas as weights.
    """
    runs = [RunFolder(fold_folder(folder, fold)) for fold in sorted(set(found.folds))]
    source, places = open_data(folder)
    indices = list(places.values())

    def predict(loaded: LoadedRun, own: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        images = (native(source, indices[i], loaded.recipe.channels) for i in own)
        for probabilities, areas in piece_probabilities(loaded.recipe, loaded.predictor, images):
            yield probabilities[:, None], areas

    return fill_store(
        folder / FOLDER,
        runs,
        found.folds,
        predict,
        say=say,
        ids=found.store.ids,
        class_names=found.store.class_names,
        origin={
            "what": "out of fold: each piece by the run that did not train on its image",
            "runs": [run.path.name for run in runs],
            "variables_sha256": [run.read_json("summary.json")["variables_sha256"] for run in runs],
            "data_fingerprint": read_folds(folder)["data_fingerprint"],
        },
    )


def pieces_in(store: Shards, images: np.ndarray) -> PieceScores:
    """The pieces of some images of a store, by their places, in that order.

    Raises:
        InputError: Each image has one piece.
    """
    names = [store.ids[i] for i in images]
    probabilities = [store[name][:, 0].astype(np.float64) for name in names]
    if max(map(len, probabilities), default=1) == 1:
        raise InputError(
            f"Each of the {len(names)} images of {store.folder} has one piece: there is nothing to "
            "join. Masks of one component each, or data.input with max_pieces 1, give no more."
        )
    return PieceScores(probabilities, [store.weights(name) for name in names])
