"""A folder of two folds of a classification as training leaves it, with no model in it."""

import csv
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.support import classes
from tfvision.config import load_any
from tfvision.data.scan.scan import scan
from tfvision.engine.inference import Predictor
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.recipe.opening import open_source
from tfvision.runs import evaluate, export, predict, submit
from tfvision.runs.load import LoadedRun
from tfvision.studies.folds import out_of_fold
from tfvision.studies.folds.assign import names_of
from tfvision.tasks.task import task_of

NAMES = ["dark", "light"]
GREY = [100, 200]  # of a piece that says class 0 or 1
FOLDS = 2


def write_table(root: Path, labels, said) -> Path:
    """Images with their masks: squares of side 7, 5, 3, of which each says a class by its grey.

    Args:
        root: Where to.
        labels: N classes.
        said: N lists of classes, of the squares from the largest on.
    """
    root.mkdir(parents=True, exist_ok=True)
    rows = [["file", "label", "mask"]]
    rng = np.random.default_rng(0)
    for i, (label, own) in enumerate(zip(labels, said, strict=True)):
        image = rng.integers(0, 60, (24, 24)).astype(np.uint8)
        mask = np.zeros((24, 24), np.uint8)
        for k, says in enumerate(own):
            place = np.s_[8 * k : 8 * k + 7 - 2 * k, 8 * k : 8 * k + 7 - 2 * k]
            image[place], mask[place] = GREY[says], 255
        for name, array in (("img", image), ("mask", mask)):
            Image.fromarray(array).save(root / f"{name}_{i:03d}.png")
        rows.append([f"img_{i:03d}.png", NAMES[label], f"mask_{i:03d}.png"])
    with open(root / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "labels.csv"


def write_folds(folder: Path, table: Path, /, **data) -> Path:
    """The folder, its image-level predictions all one half."""
    folder.mkdir()
    config = classes.write_config(
        folder / "folds.yaml",
        table,
        task="classification",
        data={"input": "patches", "image_size": [7, 7], "class_names": NAMES, **data},
        metrics=["accuracy"],
    )
    source = open_source(load_any(config).data)
    found = scan(source, class_names=NAMES, ignore_label=None)
    ids = list(names_of(source.records).values())
    ids = [name for fold in range(FOLDS) for name in ids[fold::FOLDS]]
    folds = [fold for fold in range(FOLDS) for _ in ids[fold::FOLDS]]
    samples = {"ids": ids, "folds": sorted(folds), "units": [f"unit {i}" for i in ids]}
    record = {"folds": FOLDS, "data_fingerprint": found.fingerprint, "samples": samples}
    (folder / "folds.json").write_text(json.dumps(record))
    told = {
        "num_classes": 2,
        "channels": 1,
        "image_size": [7, 7],
        "resized": True,
        "class_names": NAMES,
        "class_labels": NAMES,
        "mask_values": None,
        "white": None,
        "path": str(table),
    }
    for fold in range(FOLDS):
        run = folder / f"fold-{fold}"
        run.mkdir()
        (run / "config.yaml").write_text(config.read_text())
        (run / "data.json").write_text(json.dumps(told))
        (run / "summary.json").write_text(json.dumps({"variables_sha256": f"of fold {fold}"}))
    write_store(folder, lambda name: [0.5, 0.5])
    return folder


def write_store(folder: Path, probabilities) -> None:
    """The image-level predictions: `probabilities(id)` gives two numbers."""
    ids = json.loads((folder / "folds.json").read_text())["samples"]["ids"]
    store = Shards.create(folder / "out_of_fold", ids=ids, class_names=NAMES, origin={})
    for positions in store.missing():
        rows = [np.array(probabilities(ids[p]), np.float32)[None, None] for p in positions]
        store.write(positions, rows)


def truth_of(folder: Path) -> dict[str, int]:
    """id -> class."""
    table = Path(load_any(folder / "folds.yaml").data.source.kwargs["path"])
    return {Path(r["file"]).stem: NAMES.index(r["label"]) for r in classes.rows(table)}


class Model:
    """Stands for the weights of `Seer`."""

    variables = ()


class Seer(Predictor):
    """Says of a piece the class its brightest pixel tells, and is as sure of each."""

    model = Model()

    def serve_float(self, image):
        light = tf.cast(tf.reduce_max(image, axis=(1, 2, 3)) > 0.6, tf.float32) * 0.6 + 0.2
        return {"probabilities": tf.stack([1 - light, light], -1)[:, None, None]}


def see(monkeypatch) -> list[str]:
    """Every run that is loaded predicts as a `Seer`; the names of those that were."""
    loaded = []

    def load(folder: RunFolder, *, depth=None):
        config, data = load_any(folder.config), folder.read_json("data.json")
        task = task_of(config.task)
        recipe = task.recipe(config, num_classes=2, channels=1, size=(7, 7), resized=True)
        loaded.append(folder.path.name)
        return LoadedRun(folder, task, config, data, recipe, Seer())

    for module in (evaluate, export, predict, submit, out_of_fold):
        monkeypatch.setattr(module, "load_run", load)
    return loaded
