"""A contest's submission file from a run: predicted in batches, written row by row."""

import sys
from typing import Any

import numpy as np

from tfvision.data.sources.boxes.coco_ids import image_ids
from tfvision.engine.distribute import make_strategy
from tfvision.engine.progress import Progress
from tfvision.engine.submission.boxes import PredictionStrings
from tfvision.engine.submission.check import check_sample
from tfvision.engine.submission.coco import coco_entries, write_coco
from tfvision.engine.submission.layouts import ImageLabels, Layout, Pixels, Runs, Strings
from tfvision.engine.submission.options import SubmitOptions
from tfvision.engine.submission.write import write_submission
from tfvision.errors import InputError
from tfvision.recipe.read import native
from tfvision.runs.load import load_run
from tfvision.runs.predict import Predictions, say_notes, to_predict
from tfvision.runs.request import UseRequest
from tfvision.runs.views_and_tiles import as_requested, how
from tfvision.text import counted


def submit(request: UseRequest, options: SubmitOptions) -> dict[str, Any]:
    """Writes the rows of every image of an input, in its order or the sample's.

    Nothing but a batch of predictions is held; the file appears when it is whole and was
    read back.

    Raises:
        InputError: Image sizes, classes or the ids of the sample do not fit.
    """
    make_strategy(request.device)
    loaded = as_requested(load_run(request.run, depth=request.depth), request)
    source, indices = to_predict(loaded, request)
    formats = loaded.task.facts.formats
    if options.format not in formats:
        raise InputError(
            f"--format {options.format} is not for a {loaded.config.task}, which "
            f"{request.run.path} is. Use --format {formats[0]}."
        )
    if options.format in ("coco", "strings"):
        indices = _by_id(source, indices)
    if options.format == "coco":
        return _submit_coco(loaded, source, indices, request, options)
    names = _names(source, indices, options)
    layout = _strings(loaded, options) or make_layout(
        options,
        num_classes=loaded.recipe.num_classes,
        class_names=loaded.data.get("class_labels") or loaded.data["class_names"],
        named=loaded.task.facts.classes_by_name,
        shape=native(source, indices[0], loaded.recipe.channels).image.shape[:2],
    )
    keys = [key for name in names for key in layout.keys(name)]
    if options.sample is not None:
        image_of = {key: i for i, name in enumerate(names) for key in layout.keys(name)}
        keys = check_sample(options.sample, layout, keys)
        order = list(dict.fromkeys(image_of[key] for key in keys))
        names, indices = [names[i] for i in order], [indices[i] for i in order]
    sizes: dict[str, tuple[int, int]] = {}
    predictions = Predictions(loaded, source, indices)
    progress = Progress(quiet=request.quiet)

    def images():
        answers = predictions.answers()
        for done, (name, labels) in enumerate(zip(names, answers, strict=True), 1):
            if isinstance(labels, np.ndarray):
                sizes.update(dict.fromkeys(layout.keys(name), labels.shape))
            progress.live(f"{done}/{len(names)} images")
            yield name, labels

    checked = write_submission(options.out, layout, images(), keys=keys, sizes=sizes)
    progress.line(
        f"{options.out}: {counted(checked.rows, 'row')} of {counted(len(names), 'image')}, "
        f"{checked.num_bytes:,} "
        f"bytes, read back{'' if options.sample is None else f'; fits {options.sample}'}"
    )
    notes = say_notes(loaded, predictions.counter, quiet=request.quiet)
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return {
        "file": str(options.out),
        "format": options.format,
        "images": len(names),
        "rows": checked.rows,
        "bytes": checked.num_bytes,
        "warnings": checked.warnings,
        **notes,
        **how(request),
    }


def make_layout(
    options: SubmitOptions,
    *,
    num_classes: int,
    class_names: list[str],
    shape: tuple[int, int],
    named: bool = False,
) -> Layout:
    """The layout a user chose, for a run's classes and an input's first image.

    Args:
        options: The choice.
        num_classes: K.
        class_names: K, as they are written by name.
        shape: (H, W) of the first image.
        named: Classes go by name where nothing was chosen.

    Raises:
        InputError: A class is chosen that there is not.
    """
    by_name = named if options.class_as is None else options.class_as == "name"
    names = class_names if by_name else None
    if options.format == "mars":
        return Pixels(tuple(shape), num_classes, options.columns[0])
    if options.format == "labels":
        return ImageLabels(num_classes, names, options.columns)
    if options.format == "boxes":
        return PredictionStrings(
            num_classes, names, options.columns, options.box_fields, empty=options.box_empty
        )
    classes = options.classes or tuple(range(1, num_classes))
    if max(classes) >= num_classes:
        raise InputError(
            f"--classes {max(classes)}: the run has the labels 0 to {num_classes - 1} "
            f"({', '.join(class_names)})."
        )
    return Runs(
        classes,
        per_class=options.rows == "class",
        names=names,
        columns=options.columns,
        order=options.rle_order,
        base=options.rle_base,
        empty=options.rle_empty,
    )


def _by_id(source, indices: list[int]) -> list[int]:
    """Places of images by their ids in the data's own JSON, or the numbers they are called by.

    Those that go by names keep the order of the data, behind the others.

    Raises:
        InputError: Two images have one id.
    """
    ids = image_ids(source, indices)
    if len(set(ids)) < len(ids):
        double = next(name for name in ids if ids.count(name) > 1)
        raise InputError(
            f"Two images have the id {double!r} in their JSON files; predict one split at a time "
            "with --split, or one folder as INPUT."
        )
    named = [isinstance(name, str) for name in ids]
    order = sorted(range(len(ids)), key=lambda n: (named[n], n if named[n] else ids[n]))
    return [indices[n] for n in order]


def _strings(loaded, options: SubmitOptions) -> Strings | None:
    """The layout of strings; None of another format.

    Raises:
        InputError: The run reads none.
    """
    if options.format != "strings":
        return None
    if loaded.task.texts(loaded.recipe, []) is None:
        raise InputError(
            f"--format strings: {loaded.folder.path} reads no strings from its boxes. Train with "
            "--set reading={} where each class is a character."
        )
    return Strings(lambda answer: loaded.task.texts(loaded.recipe, [answer])[0], options.columns)


def _submit_coco(loaded, source, indices: list[int], request: UseRequest, options) -> dict:
    """JSON of every box, with the ids of the data's own JSON."""
    predictions = Predictions(loaded, source, indices)
    categories = loaded.data.get("category_ids")
    said = [] if categories else ["category_id counts the classes from 1: the data has no ids"]
    categories = categories or range(1, loaded.recipe.num_classes + 1)
    ids = image_ids(source, indices)
    if any(isinstance(name, str) for name in ids):
        said.append("image_id is the name of an image: it has no number, and no JSON gives one")
    entries = coco_entries(zip(ids, predictions.answers(), strict=True), categories)
    size = write_coco(options.out, entries)
    if not request.quiet:
        lines = [f"{options.out}: {counted(len(entries), 'box')} of {counted(len(ids), 'image')}"]
        print("\n".join([*lines, *said]), file=sys.stderr)
    notes = say_notes(loaded, predictions.counter, quiet=request.quiet)
    found = {"file": str(options.out), "format": "coco", "images": len(ids), "boxes": len(entries)}
    return {**found, "bytes": size, "warnings": said, **notes, **how(request)}


def _names(source, indices: list[int], options: SubmitOptions) -> list[str]:
    """What images are called in the file: by their number, or by their ids as `predict` does."""
    if options.format == "mars":
        return [str(number) for number in range(len(indices))]
    if options.format == "strings":
        return [f"{name}{options.id_suffix}" for name in image_ids(source, indices)]
    records = [source.records[i] for i in indices]
    ids = [record.id for record in records]
    if len(set(ids)) < len(ids):
        ids = [f"{record.part}/{record.id}".lstrip("/") for record in records]
    return [f"{name}{options.id_suffix}" for name in ids]
