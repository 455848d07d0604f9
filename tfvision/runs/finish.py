"""What a trained segmentation run leaves behind: scores, predictions, exports, report.

`finish_classes.py` is the same of a classification, and takes from here what both need.
"""

import contextlib
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import dump_config
from tfvision.data.split.holdout import absent_classes
from tfvision.engine.evaluate import Scored, as_float
from tfvision.engine.export import check_export, write_export
from tfvision.engine.inference import Inference
from tfvision.engine.loop import Loop
from tfvision.engine.progress import duration
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import EnvironmentFault, InputError, PartFailed, out_of_memory
from tfvision.metrics import contract
from tfvision.models import is_nested, prune
from tfvision.postprocess import ON_COMPONENTS
from tfvision.recipe import audit_findings
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import augmented
from tfvision.report.overlay import Overlay
from tfvision.report.segmentation_page import Report, SplitScores, write_report
from tfvision.runs.environment import peak_memory
from tfvision.runs.request import TrainRequest
from tfvision.runs.scoring import (
    native_samples,
    open_model,
    save_scored,
    score_split,
    split_metrics,
)
from tfvision.tasks.classification.inference import ClassInference, Served
from tfvision.tasks.classification.pieces import cut_native
from tfvision.tasks.segmentation.attention import look_at
from tfvision.tasks.segmentation.baselines import baseline_scores

SHOWN = 6  # overlays each of the worst and the best


@dataclass(frozen=True)
class Trained:
    """What a training hands on to be scored, written and reported.

    Attributes:
        request, recipe, prepared: What was asked, what it means, the data.
        model: With the weights to score.
        loop: That trained it.
        surroundings: Versions and devices.
        warnings: Sentences that a reader must see first.
        timing: Seconds by phase; those after the training are added.
        began: `time.monotonic()` from which the wall time counts.
        say: Takes a line for the terminal.
    """

    request: TrainRequest
    recipe: Recipe
    prepared: Prepared
    model: keras.Model
    loop: Loop
    surroundings: dict[str, Any]
    warnings: list[str]
    timing: dict[str, float]
    began: float
    say: Callable[[str], None]

    @property
    def run(self) -> RunFolder:
        return self.request.run

    def score(self, inference: Inference | ClassInference) -> dict[str, Scored]:
        """Scores each labelled split and keeps its predictions."""
        recipe, prepared = self.recipe, self.prepared
        splits = [split for split in ("val", "test") if prepared.indices(split)]
        scored = {split: score_split(recipe, prepared, inference, split) for split in splits}
        for split, result in scored.items():
            save_scored(self.run, split, result, prepared.record())
        return scored

    def summary(self, scored: dict[str, Scored]) -> dict[str, Any]:
        """What `summary.json` says of a run of any task."""
        recipe, state = self.recipe, self.loop.state
        speeds = [row["images_per_second"] for row in state.history]
        names = self.prepared.class_names
        return {
            "task": recipe.config.task,
            "arch": recipe.config.model.name,
            "num_parameters": self.model.count_params(),
            "epochs": len(state.history),
            "best_epoch": state.best_epoch,
            "steps": state.step,
            "wall_seconds": time.monotonic() - self.began,
            "images_per_second": float(np.median(speeds)),
            "peak_memory_bytes": peak_memory(),
            "data_fingerprint": self.prepared.scan.fingerprint,
            "variables_sha256": self.loop.variables_sha256,
            "contract": asdict(recipe.contract),
            "metrics": {s: split_metrics(recipe, r, names) for s, r in scored.items()},
        }

    def export(self, summary: dict[str, Any], inference: Inference | ClassInference):
        """Exports where that is asked, with `summary.json` written before and after.

        Returns:
            What kept the export from being made, or None: the report is written all the same.
        """
        self.run.write_json("summary.json", summary)
        summary["exports"], failure = [], None
        if self.recipe.config.train.export:
            summary["exports"], failure = try_export(
                self.run, self.recipe, self.prepared, inference
            )
        summary["wall_seconds"] = time.monotonic() - self.began
        self.run.write_json("summary.json", summary)
        return failure

    def report(
        self, command: str, scored: dict[str, Scored], summary: dict[str, Any], failure
    ) -> dict[str, Any]:
        """What the report of a run of any task says, by the names of its fields.

        Args:
            command: The script that trains this task.
            scored, summary, failure: As the methods above give them.
        """
        prepared, config, state = self.prepared, self.recipe.config, self.loop.state
        return {
            "task": config.task,
            "arch": config.model.name,
            "run": self.run.path.name,
            "summary": summary,
            "config": dump_config(config),
            "command": f"python {command} --config {shlex.quote(str(self.run.config))}",
            "env": self.surroundings,
            "history": state.history,
            "contract": summary["contract"],
            "warnings": [
                *self.warnings,
                *self.loop.problems,
                *state.alarms.values(),
                *audit_findings.warning_lines(prepared.audit, config.data),
                *_own_warnings(prepared, scored, summary),
                *([] if failure is None else [f"The export failed: {failure}"]),
            ],
            "issues": prepared.scan.to_json()["issues"],
            "exports": summary["exports"],
            "timing": self.timing,
            "audit": audit_findings.to_json(
                prepared.audit, prepared.source.records, prepared.splits
            ),
        }


def finish(trained: Trained) -> dict[str, Any]:
    """Scores the weights of a segmentation, writes everything, returns `summary.json`."""
    recipe, prepared, model = trained.recipe, trained.prepared, trained.model
    clock = Clock(trained.timing)
    inference = recipe.inference(open_model(recipe, model))
    scored = trained.score(inference)
    clock.lap("score")
    each = _by_score(recipe, scored)
    looked, looks = look_at(recipe, inference, prepared, scored, list(each))
    clock.lap("attention")
    summary = {**trained.summary(scored), "attention": looked}
    failure = trained.export(summary, inference)
    clock.lap("export")

    baselines = baseline_scores(recipe, prepared)
    write_report(
        trained.run.report,
        Report(
            **trained.report("train_seg.py", scored, summary, failure),
            data=report_data(recipe, prepared),
            scores={s: _split_scores(recipe, prepared, r) for s, r in scored.items()},
            baselines=baselines,
            overlays=_overlays(prepared, scored, each),
            looks=looks,
            augmented=augmented(recipe.config, prepared, recipe.ignored),
            depths=_depths(recipe, prepared, model),
        ),
    )
    clock.lap("report")
    if failure is not None:
        raise part_failed("the export", trained.run, failure)
    trained.say(_closing(trained.run, summary, baselines, trained.timing))
    return summary


@contextlib.contextmanager
def weights_are_kept(run: RunFolder, timing: dict[str, float]):
    """Says, where a part after the training fails, which one, and that nothing is lost.

    Args:
        run: The run.
        timing: `finish` notes here what it has done.

    Raises:
        PartFailed: In place of an error that the user can do nothing about.
    """
    try:
        yield
    except (InputError, EnvironmentFault, PartFailed):
        raise  # they say it themselves
    except Exception as error:
        if out_of_memory(error):
            raise
        part = next((name for name in ("score", "export") if name not in timing), "report")
        raise part_failed("scoring" if part == "score" else f"the {part}", run, error) from error


def part_failed(part: str, run: RunFolder, error: Exception) -> PartFailed:
    return PartFailed(
        f"Training is complete and its weights are kept, but {part} failed: "
        f"{type(error).__name__}: {error}. Try that part again with --resume {run.path}; it "
        "trains no further."
    )


def try_export(run, recipe, prepared, inference) -> tuple[list[dict[str, Any]], Exception | None]:
    """The export's checks, and what kept it from being made: the report is written all the
    same."""
    try:
        return export_run(run, recipe, prepared, inference), None
    except (EnvironmentFault, OSError):
        raise  # the disk: the report would fare no better
    except Exception as error:
        if out_of_memory(error):
            raise
        return [], error


def export_run(
    run, recipe: Recipe, prepared: Prepared, inference: Inference, *, depth: int | None = None
) -> list[dict[str, Any]]:
    """Writes `export/` and loads everything in it back.

    Args:
        run: The run folder.
        recipe: What the run's config means.
        prepared: The run's data; a few of its images are what the files are compared on.
        inference: The live model.
        depth: Column the live model was pruned to, or None.

    Returns:
        {file, bytes, loaded_with, max_difference, labels_equal} for each file.
    """
    shape = (*recipe.size, recipe.input_channels)
    fixed = recipe.build(shape)
    if depth is not None:
        fixed = prune(fixed, depth)
    for target, value in zip(fixed.variables, inference.model.variables, strict=True):
        target.assign(value)
    never = [k for k in recipe.contract.ignore_labels if 0 <= k < recipe.num_classes]
    rules = [{"name": s.name, **s.kwargs} for s in recipe.config.postprocess]
    description = {
        "model": {"name": recipe.model.name, **recipe.model.kwargs},
        "input_shape": list(shape),
        "depth": depth,
        "class_names": prepared.class_names,
        "image": "serving_default: uint8 in 0..255; serve_float and model.keras: float32 in [0, 1]",
        "probabilities": "sigmoid of each logit, divided by their sum"
        if getattr(inference.model, "one_vs_rest", False)
        else "softmax of the logits",
        "never_predicted": never,
        "postprocess": [rule for rule in rules if rule["name"] not in ON_COMPONENTS],
        "postprocess_left_out": [rule for rule in rules if rule["name"] in ON_COMPONENTS],
    }
    served, images = inference, example_images(prepared)
    if recipe.is_classification:
        description.update(about_classes(recipe, prepared))
        served = Served(inference, channels=recipe.input_channels)
        images = example_pieces(recipe, prepared)
    write_export(run.export, served, fixed, description)
    scale = 1 / 255 if images[0].dtype == np.uint8 else 1.0
    network = tf.image.resize(as_float([images[0]], [scale]), recipe.size).numpy()
    rows = check_export(run.export, served, fixed, images, network)
    run.write_json("export/export.json", {**description, "checks": rows})
    return rows


def about_classes(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """What `export.json` says of a classifier besides."""
    data = recipe.config.data
    whole = data.input.name == "full"
    return {
        "task": "classification",
        "class_labels": prepared.record()["class_labels"],
        "input": {"name": data.input.name, **data.input.kwargs},
        "aggregate": data.aggregate,
        "fit": data.fit,
        "takes": "whole images of any size, brought to the training size inside"
        if whole
        else f"pieces of images, of any size, as data.input `{data.input.name}` cuts them: the "
        "export does not cut, and answers for each piece alone; `tfvision predict` cuts and puts "
        "the answers for an image together (aggregate)",
    }


def example_pieces(recipe: Recipe, prepared: Prepared) -> list[np.ndarray]:
    """As `example_images`, what a classifier is given of them."""
    images = []
    for i in _examples(prepared):
        sample = native_scanned(prepared, i)
        image = cut_native(recipe, sample)[0].image
        byte = image.dtype == np.uint8 and sample.scale == 1 / 255
        images.append(image if byte else image.astype(np.float32) * np.float32(sample.scale))
    return [*images, _odd_part(images[0])]


def example_images(prepared: Prepared) -> list[np.ndarray]:
    """Up to four real images, and an odd-sized piece of the first."""
    images = []
    for _, image, _, scale in native_samples(prepared, _examples(prepared)):
        byte = image.dtype == np.uint8 and scale == 1 / 255
        images.append(image if byte else image.astype(np.float32) * np.float32(scale))
    return [*images, _odd_part(images[0])]


def _examples(prepared: Prepared) -> list[int]:
    indices = [i for i, split in enumerate(prepared.splits) if split in ("val", "test")]
    indices = indices or prepared.indices("train")
    return indices[:: max(1, len(indices) // 4)][:4]


def _odd_part(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image[: height - height // 3, : width - width // 5]


def _depths(recipe: Recipe, prepared: Prepared, model: keras.Model) -> list[dict] | None:
    """What each depth of a deeply supervised UNet++ costs and gives on the validation split."""
    if len(model.outputs) < 2 or not is_nested(model) or not prepared.indices("val"):
        return None
    whole = open_model(recipe, model)
    rows = []
    for depth in range(1, len(model.outputs) + 1):
        pruned = prune(whole, depth)
        inference = recipe.inference(pruned)
        first = prepared.indices("val")[:1]
        for sample in native_samples(prepared, first):  # traces the graph before the clock runs
            inference.serve_float(tf.constant(as_float([sample[1]], [sample[3]])))
        began = time.monotonic()
        scored = score_split(recipe, prepared, inference, "val")
        seconds = time.monotonic() - began
        rows.append(
            {
                "depth": depth,
                "num_parameters": pruned.count_params(),
                "val mean_iou": contract.mean_iou(scored.final, recipe.contract),
                "images_per_second": len(scored.ids) / seconds,
            }
        )
    return rows


def report_data(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """What a report says of the data."""
    record = prepared.record()
    return {
        **{k: record[k] for k in ("source", "layout", "fingerprint", "num_classes")},
        **{k: record[k] for k in ("class_names", "image_size", "how")},
        **{k: record[k] for k in ("class_pixels", "class_images")},
        "splits": record["counts"],
        "excluded": len(record["excluded"]),
        "left_out": "; ".join(prepared.exclude.notes()) or None,
    }


def _split_scores(recipe: Recipe, prepared: Prepared, scored: Scored) -> SplitScores:
    rows = contract.conventions(scored.plain, prepared.class_names, recipe.contract)
    processed = [None] * len(rows)
    if scored.processed is not None:
        processed = [
            row["mean_iou"]
            for row in contract.conventions(scored.processed, prepared.class_names, recipe.contract)
        ]
    return SplitScores(
        confusion=scored.final.sum(axis=0),
        scores=contract.scores(scored.plain, recipe.contract),
        post_processed=None
        if scored.processed is None
        else contract.scores(scored.processed, recipe.contract),
        conventions=[
            {**row, "mean_iou_post_processed": value}
            for row, value in zip(rows, processed, strict=True)
        ],
    )


def _by_score(recipe: Recipe, scored: dict[str, Scored]) -> dict[int, float]:
    """Place -> mean IoU of the images of the test split, or of validation where that has no
    labels; the worst first."""
    result = next((scored[s] for s in ("test", "val") if s in scored), None)
    if result is None:
        return {}
    each = [float(contract.mean_iou(cm[None], recipe.contract)) for cm in result.final]
    order = np.argsort(each, kind="stable")
    return {int(i): each[i] for i in order if not np.isnan(each[i])}


def _overlays(prepared: Prepared, scored: dict[str, Scored], each: dict[int, float]):
    """The worst and the best of the images that `_by_score` gives."""
    split = next((s for s in ("test", "val") if s in scored), None)
    if split is None:
        return {"worst": [], "best": []}
    result, order = scored[split], list(each)
    indices = prepared.indices(split)

    def overlay(i: int) -> Overlay:
        _, image, mask, scale = next(native_samples(prepared, [indices[i]]))
        picture = np.clip(np.rint(image.astype(np.float32) * (scale * 255)), 0, 255)
        return Overlay(
            result.ids[i], split, picture.astype(np.uint8), mask, result.labels[i], each[i]
        )

    return {
        "worst": [overlay(i) for i in order[:SHOWN]],
        "best": [overlay(i) for i in reversed(order[-SHOWN:])],
    }


def _own_warnings(prepared: Prepared, scored, summary) -> list[str]:
    """What a reader must know of the scores before believing them."""
    lines = []
    if "val" not in scored:
        lines.append("There is no validation split: the last weights are used, and none selected.")
    absent = absent_classes(prepared.scan, prepared.source.records, prepared.splits)
    for split, names in absent.items():
        if names:
            lines.append(f"No image of the {split} split holds: {', '.join(names)}.")
    for split, result in scored.items():
        if len(result.ids) < 30:
            lines.append(
                f"The {split} split has {len(result.ids)} images: a difference of a few "
                "hundredths between two runs means little."
            )
        for k, name in enumerate(prepared.class_names):
            truth = result.final[:, k].sum()
            if truth and not result.final[:, :, k].sum():
                lines.append(f"Class {name} is never predicted on {split}, though it occurs there.")
    for row in summary["exports"]:
        if not row["labels_equal"]:
            lines.append(
                f"{row['file']} gives other labels than the live model on some pixels (largest "
                f"difference {row['max_difference']:.2g})."
            )
    return lines


def _closing(run, summary, baselines, timing) -> str:
    lines = []
    for split, metrics in summary["metrics"].items():
        final = metrics.get("post_processed", metrics)
        beside = ", ".join(
            f"{row['name']} {row[split]:.3f}" for row in baselines if row.get(split) is not None
        )
        lines.append(f"{split:4} mean IoU {_number(final['mean_iou'])}  ({beside})")
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in timing.items())
    lines.append(f"best epoch {summary['best_epoch']} of {summary['epochs']}; {spent}")
    lines.append(f"report: {run.report}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


class Clock:
    """Notes how long each phase took."""

    def __init__(self, timing: dict[str, float]):
        self._timing, self._last = timing, time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._timing[name] = now - self._last
        self._last = now
