"""Probabilities of images without labels by the run of each fold; see `pseudo.py`."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.distribute import make_strategy
from tfvision.engine.files import write_bytes
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import native
from tfvision.runs.load import load_run
from tfvision.studies.folds.folder import fold_folder, load_folds_config
from tfvision.tasks.classification.pieces import image_probabilities
from tfvision.tasks.classification.pseudo_images import open_images


def predict_by_folds(folder: Path, path: Path | None, out: Path, device: str) -> dict[str, Any]:
    """Writes an npz: `probabilities` (F, N, K) float32 before any rule, `image_sha256` (N,).

    Args:
        folder: A complete folds folder of a classification, of F folds.
        path: Holds the N images without labels; None: the folds' own data does.
        out: The file.
        device: Value of `--device`.

    Returns:
        `folds` and `images`, their numbers.
    """
    make_strategy(device)
    config = load_folds_config(folder)
    images = open_images(config.data, prepare(config.data, seed=config.seed), path)
    found = []
    for fold in range(config.data.folds):
        loaded = load_run(RunFolder.existing(fold_folder(folder, fold)))
        channels = loaded.recipe.channels
        read = (native(images.source, i, channels) for i in images.indices)
        each = image_probabilities(loaded.recipe, loaded.predictor, read)
        found.append(np.stack([one[0, 0] for one in each]))
    content = io.BytesIO()
    np.savez(content, probabilities=np.stack(found), image_sha256=np.array(images.hashes))
    write_bytes(out, content.getvalue())
    return {"folds": len(found), "images": len(images.indices)}
