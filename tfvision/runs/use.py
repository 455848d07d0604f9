"""Using a run that is there: evaluate, predict, export."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import RunConfig, load_any
from tfvision.data.files.images import read_mask
from tfvision.data.scan.scan import scan
from tfvision.data.sources.labels_given_later import Relabelled, read_labels_table
from tfvision.data.sources.npz import read_headers
from tfvision.data.sources.source import Source, to_labels
from tfvision.engine.checkpoint import best_weights, newest_checkpoint
from tfvision.engine.distribute import make_strategy
from tfvision.engine.evaluate import Scored, score
from tfvision.engine.files import write_text
from tfvision.engine.inference import Inference
from tfvision.engine.predictions import write_class_predictions, write_predictions
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.models import prune
from tfvision.postprocess.components import decode_images
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.dataset import Prepared, open_beside, prepare
from tfvision.recipe.pretrained import outside_architecture
from tfvision.recipe.read import native, read_native
from tfvision.recipe.recipe import Recipe, make_recipe
from tfvision.runs.finish import export_run
from tfvision.runs.record import data_differences
from tfvision.runs.request import UseRequest
from tfvision.runs.scoring import save_scored, score_split, split_metrics
from tfvision.runs.views_and_tiles import (
    as_asked,
    batch_size_of,
    how,
    into_shards,
    labels_of,
    probabilities_of,
    weights_of,
)
from tfvision.studies.ensemble.unseen import resplit
from tfvision.tasks.classification.inference import ClassInference
from tfvision.tasks.classification.pieces import score_images
from tfvision.tasks.segmentation.specialists import put_back


@dataclass(frozen=True)
class LoadedRun:
    """A run with its best weights.

    Attributes:
        folder: Where it is.
        config: Its config.
        data: Its `data.json`.
        recipe: What the config means for that data.
        inference: The model for images of any size.
    """

    folder: RunFolder
    config: RunConfig
    data: dict[str, Any]
    recipe: Recipe
    inference: Inference | ClassInference


def load_run(folder: RunFolder, *, depth: int | None = None) -> LoadedRun:
    """Rebuilds a run's model from its config and gives it the best weights.

    Args:
        folder: The run, or an ensemble of runs.
        depth: Column of a deeply supervised UNet++ to cut the model to; None: all of it.

    Raises:
        InputError: The run has no weights yet, or cannot be pruned.
    """
    if folder.is_ensemble:
        from tfvision.studies.ensemble import make as ensemble  # it imports this module

        return ensemble.load(folder, depth=depth)
    config = load_any(folder.config)
    data = folder.read_json("data.json")
    recipe = make_recipe(
        config,
        num_classes=data["num_classes"],
        channels=data["channels"],
        size=tuple(data["image_size"]),
        resized=data["resized"],
        architecture=outside_architecture(config.model, folder),
    )
    newest, _ = newest_checkpoint(folder.checkpoints, tidy=False)
    if newest is None:
        raise InputError(f"{folder.path} has no checkpoint yet. Train it first.")
    weights, problem = best_weights(folder.checkpoints, newest)
    if problem:
        print(problem, file=sys.stderr)
    model = recipe.build(recipe.open_shape)
    for variable, value in zip(recipe.trained(model).variables, weights, strict=True):
        variable.assign(value)
    put_back(folder, model)
    if depth is not None:
        if recipe.is_classification:
            raise InputError(f"--depth prunes a UNet++; {folder.path} is a classification.")
        model = prune(model, depth)
    return LoadedRun(folder, config, data, recipe, recipe.inference(model))


def evaluate(request: UseRequest) -> dict[str, Any]:
    """Scores a run under its metric contract; the scores go into the run.

    On the run's own splits they go into `summary.json`, on other data or labels into
    `evaluation.json`. With `request.out` predictions and counts go there too.
    """
    make_strategy(request.device)
    loaded = as_asked(load_run(request.run, depth=request.depth), request)
    if request.labels is not None:
        found = {"labels": _score_labels(loaded, request)}
    elif request.data is not None:
        found = {"data": _score_data(loaded, request)}
    else:
        found = _score_splits(loaded, request)
    names = loaded.data["class_names"]
    metrics = {n: split_metrics(loaded.recipe, scored, names) for n, scored in found.items()}
    own = request.labels is None and request.data is None and request.depth is None
    own = own and not how(request)
    for name, scored in found.items() if request.out is not None else ():
        save_scored(RunFolder(request.out), name, scored, loaded.data)
    summary = _save_scores(loaded, request, metrics, found, own)
    if not request.quiet:
        for name, values in metrics.items():
            show = _print_classes if loaded.recipe.is_classification else _print_scores
            show(_named(name, request), values, names)
    return summary


def predict(request: UseRequest) -> dict[str, Any]:
    """Writes labels for every image of an input, in its order and under its ids."""
    make_strategy(request.device)
    run = load_run(request.run, depth=request.depth)
    loaded = as_asked(run, request)
    source, indices = to_predict(loaded, request)
    ids = [source.records[i].id for i in indices]
    if len(set(ids)) < len(ids):
        ids = [f"{source.records[i].part}/{source.records[i].id}".lstrip("/") for i in indices]
    if loaded.recipe.is_classification:
        cut = Counter()
        labels, found = _classify(loaded, run, source, indices, ids, request, cut)
        names = loaded.data["class_labels"]
        written = write_class_predictions(request.out / "predictions", ids, labels, found, names)
        notes = said(loaded.recipe.cut.notes(cut), quiet=request.quiet)
        return {**_predicted(request, ids, written), "notes": notes}
    probabilities = None
    if request.shards is not None:
        weights = weights_of(run)
        labels = list(into_shards(loaded, source, indices, ids, request=request, weights=weights))
    elif request.probabilities:
        final = decode_images(loaded.recipe.rules, loaded.recipe.component_rules)
        labels, probabilities = [], []
        for found in probabilities_of(loaded, source, indices):
            labels.append(final(found[None])[0])
            probabilities.append(found.astype(np.float16))
    else:
        labels = list(labels_of(loaded, source, indices))
    written = write_predictions(request.out / "predictions", ids, labels, probabilities)
    return _predicted(request, ids, written)


def said(notes: list[str], *, quiet: bool) -> list[str]:
    """Prints what a user must know of how images were cut; returns it."""
    for note in () if quiet else notes:
        print(note, file=sys.stderr)
    return notes


def _predicted(request: UseRequest, ids: list[str], written: Path) -> dict[str, Any]:
    fitted = {
        "postprocess.yaml": request.postprocess,
        "aggregate.yaml": request.aggregate,
        "temperature.json": request.calibrated,
    }
    for name, given in fitted.items():
        if given is not None:  # so that the folder tells how what is in it came about
            write_text(request.out / name, given.read_text("utf-8"))
    if not request.quiet:
        print(f"{len(ids)} images: {written}", file=sys.stderr)
    return {"images": len(ids), "file": str(written), **how(request)}


def _classify(loaded, run, source: Source, indices, ids, request: UseRequest, cut: Counter):
    """(N,) labels after all rules and (N, K) probabilities before them, calibrated if asked;
    adds to `cut`."""
    if request.shards is None:
        each = probabilities_of(loaded, source, indices, counter=cut)
        found = np.array([p[0, 0] for p in each], np.float32)
    else:
        options = {"request": request, "weights": weights_of(run), "counter": cut}
        for _ in into_shards(loaded, source, indices, ids, **options):
            pass
        store = Shards.open(request.out / "probabilities")
        found = np.array([store[name][0, 0] for name in ids], np.float32)
    found = found.reshape(-1, loaded.recipe.num_classes)
    return np.asarray(decode(loaded.recipe.rules)(found)), loaded.recipe.calibrated(found)


def export(request: UseRequest) -> dict[str, Any]:
    """Writes the run's `export/` again and loads all of it back."""
    make_strategy(request.device)
    loaded = load_run(request.run, depth=request.depth)
    prepared = own_data(loaded)
    if request.run.is_ensemble:
        from tfvision.studies.ensemble import make as ensemble  # it imports this module

        rows = ensemble.export(loaded, prepared)
    else:
        rows = export_run(
            request.run, loaded.recipe, prepared, loaded.inference, depth=request.depth
        )
    summary = request.run.read_json("summary.json")
    summary["exports"] = rows
    request.run.write_json("summary.json", summary)
    if not request.quiet:
        for row in rows:
            same = "same labels" if row["labels_equal"] else "OTHER LABELS"
            print(
                f"{request.run.export / row['file']}: {row['bytes']:,} bytes, {same}, largest "
                f"difference {row['max_difference']:.2g} ({row['loaded_with']})",
                file=sys.stderr,
            )
    return summary


def own_data(loaded: LoadedRun) -> Prepared:
    """The run's own data, which must not have changed."""
    prepared = prepare(loaded.config.data, seed=loaded.config.seed)
    if loaded.folder.is_ensemble:
        prepared = resplit(prepared, loaded.data)
    changed = data_differences(loaded.data, prepared)
    if changed:
        raise InputError(
            "The run's data set is not what it was:\n  "
            + "\n  ".join(changed)
            + "\nScore other data with --data."
        )
    return prepared


def _score_splits(loaded: LoadedRun, request: UseRequest) -> dict[str, Scored]:
    prepared = own_data(loaded)
    splits = [request.split] if request.split else ["val", "test"]
    found = {
        split: score_split(loaded.recipe, prepared, loaded.inference, split)
        for split in splits
        if prepared.indices(split)
    }
    if not found:
        raise InputError(
            f"The run has no labelled samples in: {', '.join(splits)}. Give labels with --labels, "
            "or other data with --data."
        )
    return found


def _score_data(loaded: LoadedRun, request: UseRequest) -> Scored:
    source = open_like(loaded, request.data)
    found = scan(
        source,
        class_names=loaded.data["class_names"],
        ignore_label=loaded.config.data.ignore_label,
    )
    found.raise_for_errors()
    indices = [
        i
        for i, record in enumerate(source.records)
        if record.labelled and request.split in (None, record.split)
    ]
    if not indices:
        raise InputError(f"{request.data} has no labelled samples to score.")
    if loaded.recipe.is_classification:
        return _score_classes(loaded, source, indices)
    return _score(loaded, source, indices)


def _score_labels(loaded: LoadedRun, request: UseRequest) -> Scored:
    """The run's own images of a split, against labels that training never opened."""
    source = open_like(loaded, request.data or _data_path(loaded))
    split = request.split or "test"
    indices = [i for i, r in enumerate(source.records) if r.split == split and not r.labelled]
    if not indices:
        raise InputError(f"{source.layout}: it has no unlabelled `{split}` images to score.")
    if loaded.recipe.is_classification:
        return _score_table(loaded, source, indices, request)
    truth = read_labels(request.labels, [source.records[i].id for i in indices], source)

    def samples():
        for i, mask in zip(indices, truth, strict=True):
            if mask is not None:
                image, scale = image_of(source, i, loaded)
                if mask.shape != image.shape[:2]:
                    raise InputError(
                        f"--labels {request.labels}: the mask of {source.records[i].id} is "
                        f"{mask.shape[0]}x{mask.shape[1]}, its image "
                        f"{image.shape[0]}x{image.shape[1]}."
                    )
                yield source.records[i].id, image, mask, scale

    return _scored(loaded, samples())


def _score_table(loaded: LoadedRun, source: Source, indices, request: UseRequest) -> Scored:
    """Images without labels, against those of a table."""
    found = read_labels_table(
        request.labels,
        [source.records[i].id for i in indices],
        loaded.data["class_names"],
        class_labels=loaded.data["class_labels"],
    )
    for note in () if request.quiet else found.notes:
        print(note, file=sys.stderr)
    told = Relabelled(source, indices, found, class_names=loaded.data["class_names"])
    return _score_classes(loaded, told, [i for i in indices if told.records[i].labelled])


def _score_classes(loaded: LoadedRun, source: Source, indices: list[int]) -> Scored:
    read = ((source.records[i].id, native(source, i, loaded.recipe.channels)) for i in indices)
    images = ((name, one, one.mask) for name, one in read)
    return score_images(loaded.recipe, loaded.inference, images)


def read_labels(path: Path, ids: list[str], source: Source) -> list[np.ndarray | None]:
    """Masks by id: an npz (`labels`, `masks` or `y`, with `ids` or in order) or a folder.

    Args:
        path: The file, or a folder of mask files named as the images.
        ids: Of the images.
        source: Its `mask_values` and `ignore_label` say what a mask's values mean.

    Returns:
        One (H, W) int32 an id, None where there is none.

    Raises:
        InputError: The file holds no such array, none of the ids, or unknown values.
    """
    masks = _masks_of_folder(path, ids) if path.is_dir() else _masks_of_file(path, ids)
    if all(mask is None for mask in masks):
        raise InputError(f"--labels {path} has none of the ids, such as {ids[0]!r}.")
    if source.mask_values is None:
        return masks
    return [
        None
        if mask is None
        else to_labels(mask, source.mask_values, source.ignore_label, place=f"{path}, id {name}")
        for name, mask in zip(ids, masks, strict=True)
    ]


def _masks_of_folder(path: Path, ids: list[str]) -> list[np.ndarray | None]:
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    by_path = {p.relative_to(path).with_suffix("").as_posix(): p for p in files}
    found = [by_path.get(name) for name in ids]
    if all(file is None for file in found):  # ids with a folder in front, files without
        found = [by_path.get(Path(name).name) for name in ids]
    return [None if file is None else read_mask(file).pixels for file in found]


def _masks_of_file(path: Path, ids: list[str]) -> list[np.ndarray | None]:
    headers = read_headers(path)  # no bomb, no objects, and every array whole
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in headers}
    key = next((k for k in ("labels", "masks", "y") if k in arrays), None)
    if key is None:
        raise InputError(
            f"--labels {path} must hold `labels`, `masks` or `y`. It has: {', '.join(arrays)}."
        )
    names = arrays["ids"].tolist() if "ids" in arrays else ids
    if len(names) != len(arrays[key]):
        raise InputError(f"--labels {path}: {len(arrays[key])} masks for {len(names)} images.")
    by_id = {str(name): np.asarray(m, np.int32) for name, m in zip(names, arrays[key], strict=True)}
    return [by_id.get(name) for name in ids]


def _score(loaded: LoadedRun, source: Source, indices: list[int]) -> Scored:
    def samples():
        for i in indices:
            image, scale = image_of(source, i, loaded)
            yield source.records[i].id, image, source.read(i).mask, scale

    return _scored(loaded, samples())


def _scored(loaded: LoadedRun, samples) -> Scored:
    return score(
        loaded.inference,
        samples,
        num_classes=loaded.recipe.num_classes,
        rules=loaded.recipe.rules,
        component_rules=loaded.recipe.component_rules,
        ignore_labels=loaded.recipe.void,
        batch_size=batch_size_of(loaded),
    )


def _data_path(loaded: LoadedRun) -> Path:
    if loaded.data["path"] is None:
        raise InputError("The run was trained on embedded data; its images need --data.")
    return Path(loaded.data["path"])


def open_like(loaded: LoadedRun, path: Path) -> Source:
    """A data set read as the run's was: its options, its mask values and its white."""
    data = loaded.data
    return open_beside(
        loaded.config.data, path, mask_values=data["mask_values"], white=data["white"]
    )


def image_of(source: Source, index: int, loaded: LoadedRun) -> tuple[np.ndarray, float]:
    image, _, scale = read_native(source, index, loaded.recipe.channels)
    return image, scale


def to_predict(loaded: LoadedRun, request: UseRequest) -> tuple[Source, list[int]]:
    """What to predict: the images of `request.input`, or those of the run's own test split.

    Raises:
        InputError: There are none; the run's data is not what it was, or has images in the split
            that cannot be used.
    """
    if request.input is not None:
        source = open_like(loaded, request.input)
        indices = _predicted_of(source, request.split)
        if not indices:
            raise InputError(f"{source.layout}: it has no images to predict.")
        return source, indices
    prepared, split = own_data(loaded), request.split or "test"
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


def _save_scores(loaded, request, metrics, found, own: bool) -> dict[str, Any]:
    run = loaded.folder
    if own:
        summary = run.read_json("summary.json")
        summary["metrics"].update(metrics)
        run.write_json("summary.json", summary)
        for split, scored in found.items():
            save_scored(run, split, scored, loaded.data)
        return summary
    path = run.path / "evaluation.json"
    entries = json.loads(path.read_text()) if path.exists() else []
    entries.append(
        {
            "data": str(request.data) if request.data else None,
            "labels": str(request.labels) if request.labels else None,
            "split": request.split,
            "depth": request.depth,
            **how(request),
            "metrics": metrics,
        }
    )
    run.write_json("evaluation.json", entries)
    return entries[-1]


def _named(split: str, request: UseRequest) -> str:
    """`val`, or `val (tta flip_lr)`."""
    asked = ", ".join(f"{key} {value}" for key, value in how(request).items())
    return f"{split} ({asked})" if asked else split


def _print_scores(name: str, metrics: dict[str, Any], class_names: list[str]) -> None:
    final = metrics.get("post_processed", metrics)
    print(
        f"{name}: {final['num_images']} images, mean IoU {_text(final['mean_iou'])}, "
        f"pixel accuracy {_text(final['pixel_accuracy'])}"
    )
    for k, class_name in enumerate(class_names):
        print(f"  {class_name:20} IoU {_text(final['per_class_iou'][k])}")


def _print_classes(name: str, metrics: dict[str, Any], class_names: list[str]) -> None:
    final = metrics.get("post_processed", metrics)
    print(
        f"{name}: {final['num_images']} images, macro F1 {_text(final['macro_f1'])}, "
        f"accuracy {_text(final['accuracy'])}; log-loss {_text(metrics['log_loss'])}, expected "
        f"calibration error {_text(metrics['ece'])}"
    )
    for class_name in class_names:
        row = final["per_class"][class_name]
        print(f"  {class_name:20} F1 {_text(row['f1'])}  ({row['support']} images)")


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
