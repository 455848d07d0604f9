"""What a trained run leaves behind: scores, predictions, exports, report."""

import contextlib
import shlex
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from tfvision.config.file import dump_config
from tfvision.data.files.issue import grouped
from tfvision.data.split.holdout import absent_classes
from tfvision.engine.loop import Loop
from tfvision.engine.progress import duration
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import EnvironmentFault, InputError, PartFailed, out_of_memory
from tfvision.recipe import audit_findings
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.model import open_model
from tfvision.report.shared import write_page
from tfvision.runs.build import Built
from tfvision.runs.environment import peak_memory
from tfvision.runs.export import examples_of, export_run
from tfvision.runs.scoring import predicting_speed, save_scored, score_splits
from tfvision.runs.set_up import SetUp
from tfvision.tasks.parts import Outcome
from tfvision.tasks.scored import Scored
from tfvision.text import counted


def finish(
    run: SetUp, built: Built, loop: Loop, timing: dict[str, float], began: float
) -> dict[str, Any]:
    """Scores the weights of a run, writes everything, returns `summary.json`.

    Args:
        run: What the training stood on.
        built: With the weights to score.
        loop: That trained it.
        timing: Seconds by phase; those after the training are added.
        began: `time.monotonic()` from which the wall time counts.
    """
    task, recipe, prepared, folder = run.task, run.recipe, run.prepared, run.request.run
    clock = Clock(timing)
    predictor = task.predictor(recipe, open_model(recipe, built.model, task.open_shape(recipe)))
    scored = score_splits(task, recipe, prepared, predictor, splits=("val", "test"))
    scored = task.decided(recipe, scored)
    for split, result in scored.items():
        save_scored(folder, task, split, result, data=prepared.record())
    speed = predicting_speed(task, recipe, prepared, predictor)
    clock.lap("score")
    outcome = Outcome(
        run=folder,
        recipe=recipe,
        prepared=prepared,
        examples=run.examples,
        model=built.model,
        predictor=predictor,
        scored=scored,
    )
    entries, pictures = task.insights(outcome)
    if pictures is not None:
        clock.lap("attention")
    summary = {**_summary(run, built, loop, scored, began=began), **entries}
    summary |= {} if speed is None else {"predicted_per_second": speed}
    failure = _export(run, predictor, summary, began)
    clock.lap("export")

    baselines = task.baselines(recipe, prepared)
    shared = _report(run, loop, scored, summary, failure=failure)
    shared.update(baselines=baselines, timing=timing)
    write_page(folder.report, task.page(shared, outcome, pictures))
    clock.lap("report")
    if failure is not None:
        raise part_failed("the export", folder, failure)
    run.say(_closing(run, summary, baselines, timing))
    return summary


def _summary(
    run: SetUp, built: Built, loop: Loop, scored: dict[str, Scored], began: float
) -> dict[str, Any]:
    """What `summary.json` says of a run of any task."""
    recipe, state = run.recipe, loop.state
    speeds = [row["images_per_second"] for row in state.history]
    names = run.prepared.class_names
    return {
        "task": recipe.config.task,
        "arch": recipe.config.model.name,
        "num_parameters": built.model.count_params(),
        "epochs": len(state.history),
        "best_epoch": state.best_epoch,
        "steps": state.step,
        "wall_seconds": time.monotonic() - began,
        "images_per_second": float(np.median(speeds)),
        "peak_memory_bytes": peak_memory(),
        "data_fingerprint": run.prepared.scan.fingerprint,
        "variables_sha256": loop.variables_sha256,
        **({"alarms": dict(state.alarms)} if state.alarms else {}),
        "contract": asdict(recipe.contract),
        "metrics": {s: run.task.metrics(recipe, r, names) for s, r in scored.items()},
    }


def _export(run: SetUp, predictor, summary: dict[str, Any], began: float) -> Exception | None:
    """Exports where that is asked, with `summary.json` written before and after.

    Returns:
        What kept the export from being made, or None: the report is written all the same.
    """
    folder = run.request.run
    folder.write_json("summary.json", summary)
    summary["exports"], failure = [], None
    if run.config.train.export:
        summary["exports"], failure = try_export(
            folder, run.task, run.recipe, run.prepared, predictor=predictor
        )
    summary["wall_seconds"] = time.monotonic() - began
    folder.write_json("summary.json", summary)
    return failure


def _report(
    run: SetUp, loop: Loop, scored: dict[str, Scored], summary: dict[str, Any], failure
) -> dict[str, Any]:
    """What the page of a run of any task says, by the fields of `RunReport`."""
    prepared, config, state = run.prepared, run.config, loop.state
    folder, script = run.request.run, run.task.facts.script
    return {
        "task": config.task,
        "arch": config.model.name,
        "run": folder.path.name,
        "summary": summary,
        "config": dump_config(config),
        "command": f"python {script} --config {shlex.quote(str(folder.config))}",
        "env": run.surroundings,
        "data": report_data(prepared),
        "history": state.history,
        "contract": summary["contract"],
        "warnings": [
            *run.warnings,
            *loop.problems,
            *state.alarms.values(),
            *audit_findings.warning_lines(prepared.audit, config.data),
            *_own_warnings(run, scored, summary),
            *([] if failure is None else [f"The export failed: {failure}"]),
        ],
        "issues": [issue.to_dict() for issue in grouped(prepared.scan.issues)],
        "exports": summary["exports"],
        "audit": audit_findings.to_json(prepared.audit, prepared.source.records, prepared.splits),
    }


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


def try_export(
    run, task, recipe, prepared, predictor
) -> tuple[list[dict[str, Any]], Exception | None]:
    """The export's checks, and what kept it from being made: the report is written all the
    same."""
    try:
        examples = examples_of(prepared)
        record = prepared.record()
        return export_run(run, task, recipe, record, examples, predictor=predictor), None
    except (EnvironmentFault, OSError):
        raise  # the disk: the report would fare no better
    except Exception as error:
        if out_of_memory(error):
            raise
        return [], error


def report_data(prepared: Prepared) -> dict[str, Any]:
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


def _own_warnings(run: SetUp, scored: dict[str, Scored], summary: dict[str, Any]) -> list[str]:
    """What a reader must know of the scores before believing them."""
    prepared, lines = run.prepared, []
    if "val" not in scored:
        lines.append("There is no validation split: the last weights are used, and none selected.")
    absent = absent_classes(prepared.scan, prepared.source.records, prepared.splits)
    for split, names in absent.items():
        if names:
            lines.append(f"No image of the {split} split holds: {', '.join(names)}.")
    for split, result in scored.items():
        if len(result.ids) < 30:
            lines.append(
                f"The {split} split has {counted(len(result.ids), 'image')}: small differences "
                f"between "
                "two runs may be chance (`python -m tfvision compare` gives intervals)."
            )
        for name in run.task.never_predicted(result, prepared.class_names):
            lines.append(f"Class {name} is never predicted on {split}, though it occurs there.")
    for row in summary["exports"]:
        if not row["labels_equal"]:
            lines.append(
                f"{row['file']} gives other results than the live model (largest difference "
                f"{row['max_difference']:.2g})."
            )
    return lines


def _closing(run: SetUp, summary: dict[str, Any], baselines, timing: dict[str, float]) -> str:
    """What the terminal says at the end."""
    lines = []
    for split, metrics in summary["metrics"].items():
        final = metrics.get("post_processed", metrics)
        beside = ", ".join(
            f"{row['name']} {row[split]:.3f}" for row in baselines if row.get(split) is not None
        )
        headline = run.task.headline(run.recipe, final)
        lines.append(f"{split:4} {headline}" + (f"  ({beside})" if beside else ""))
    lines += run.task.insight_lines(summary)
    spent = ", ".join(f"{part} {duration(seconds)}" for part, seconds in timing.items())
    lines.append(f"best epoch {summary['best_epoch']} of {summary['epochs']}; {spent}")
    lines.append(f"report: {run.request.run.report}")
    return "\n".join(lines)


class Clock:
    """Notes how long each phase took."""

    def __init__(self, timing: dict[str, float]):
        self._timing, self._last = timing, time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._timing[name] = now - self._last
        self._last = now
