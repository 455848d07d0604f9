"""Finished run folders made by hand: records and counts, no model."""

import csv
import json
from pathlib import Path

import numpy as np

from tests.support import runs

CLASSES = ["sky", "sea"]


def counts(count: int = 40, *, gain: float = 0.0, seed: int = 0, own: int = 0) -> np.ndarray:
    """(N, 2, 2): `gain` moves the recall; `seed` is of the images, `own` of the model."""
    rng, mine = np.random.default_rng(seed), np.random.default_rng([seed, own])
    truth = rng.integers(20, 80, (count, 2))
    hard = rng.normal(size=(count, 1))
    logits = 1.0 + gain + hard + 0.15 * mine.normal(size=truth.shape)
    hits = np.rint(truth / (1 + np.exp(-logits))).astype(np.int64)
    cms = np.zeros((count, 2, 2), np.int64)
    for k in range(2):
        cms[:, k, k], cms[:, k, 1 - k] = hits[:, k], truth[:, k] - hits[:, k]
    return cms


def scored_run(
    folder: Path,
    cms: np.ndarray,
    *,
    split: str = "test",
    ids: list[str] | None = None,
    config: dict | None = None,
    data: dict | None = None,
    summary: dict | None = None,
    processed: np.ndarray | None = None,
) -> Path:
    """A folder that `compare` takes for a finished run; `data` and `summary` go over its own."""
    ids = ids or [f"scene {i:03d}" for i in range(len(cms))]
    (folder / "predictions").mkdir(parents=True)
    source = folder / "no such data.npz"
    runs.write_config(folder / "config.yaml", source, **(config or {}))
    splits = {"train": ["t1", "t2"], "val": [], "test": [], split: ids}
    record = {
        "fingerprint": "0123456789abcdef" * 4,
        "layout": "scenes.npz",
        "num_classes": 2,
        "class_names": CLASSES,
        "mask_values": None,
        "white": None,
        "splits": splits,
        "hashes": {name: [f"hash of {i}" for i in named] for name, named in splits.items()},
        "labelled": {name: len(named) for name, named in splits.items()},
    }
    contract = {"ignore_labels": [], "exclude_classes": [], "absent": "skip", "average": "dataset"}
    scored = {
        "task": "segmentation",
        "arch": "unet",
        "num_parameters": 1234,
        "epochs": 2,
        "best_epoch": 2,
        "variables_sha256": folder.name,
        "contract": contract,
    }
    (folder / "data.json").write_text(json.dumps({**record, **(data or {})}))
    (folder / "summary.json").write_text(json.dumps({**scored, **(summary or {})}))
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "val_loss", "val_mean_iou"])
        writer.writerows([[1, 1.5, 1.6, 0.3], [2, 1.2, 1.4, 0.4]])
    arrays = {"ids": np.array(ids), "plain": cms}
    if processed is not None:
        arrays["processed"] = processed
    np.savez_compressed(folder / "predictions" / f"{split}_confusion.npz", **arrays)
    return folder
