"""Boxes that detectors find in labelled images which they did not train on."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfvision.data.sources.boxes.labels_of_boxes import boxes_csv
from tfvision.engine.files import write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.runs.load import load_run
from tfvision.studies.folds.assign import names_of
from tfvision.studies.folds.folder import read_folds
from tfvision.tasks.classification.two_stage import choose


def write_detected(
    path: Path, prepared: Prepared, folds: Path, detector: Path, *, keep, fallback: str
) -> dict[str, int]:
    """Writes the boxes of every labelled image, as the detector would be used on new ones.

    Of a training image they are out of fold, from the store of `folds`; of one that is validated
    or tested on, from `detector`, which did not train on it either.

    Args:
        path: The CSV that `labels_of_boxes` reads.
        prepared: The data, split as the detector's.
        folds: Folder of folds of the detector, assigned from the training images.
        detector: Its run.
        keep, fallback: As the run of two stages has them.

    Returns:
        `images` and, among them, those that were `undetected`.

    Raises:
        InputError: An image is in neither.
    """
    store = Shards.open(folds / "out_of_fold")
    known = set(read_folds(folds)["samples"]["ids"])
    loaded = load_run(RunFolder.existing(detector))
    records, names = prepared.source.records, _names(prepared)
    rows, undetected = [], 0
    for i, record in enumerate(records):
        split = prepared.splits[i]
        if not record.labelled or split is None:
            continue
        sample = native_scanned(prepared, i)
        if split != "train":
            (found,) = loaded.task.predictions(loaded.recipe, loaded.predictor, [sample])
        elif names[i] in known:
            found = store.prediction(names[i])
        else:
            raise InputError(
                f"{folds} has no boxes of {record.place}, which is trained on. Remove it, and "
                "start again."
            )
        one = {key: tf.constant(np.asarray(found[key])[None]) for key in ("boxes", "scores")}
        one["classes"] = tf.zeros(one["scores"].shape, tf.int32)
        chosen = choose(one, tf.constant(sample.image.shape[:2]), keep=keep, fallback=fallback)
        rows.append((record, chosen["candidates"][chosen["kept"]].numpy()))
        undetected += int(chosen["fell"][0])
    write_text(path, boxes_csv(rows))
    return {"images": len(rows), "undetected": undetected}


def _names(prepared: Prepared) -> dict[int, str]:
    """Place of each labelled record -> its name in the store of folds of boxes."""
    records, _ = prepared.source.boxed(prepared.splits)
    of_record = {(records[i].part, records[i].id): name for i, name in names_of(records).items()}
    return {
        i: of_record[record.part, record.id]
        for i, record in enumerate(prepared.source.records)
        if record.labelled
    }
