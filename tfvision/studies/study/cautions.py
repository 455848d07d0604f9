"""What a ladder's table says in words: what was scored, and what to know before the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from tfvision.report.tables import decimals
from tfvision.studies.study.schema import Study

FEW = 15  # units below which the interval itself is rough
FAR = 0.2  # a score so far below that of validation is said


def what_was_scored(study: Study) -> str:
    """What stands behind the number of images: `test images`, say."""
    if study.folds is not None:
        return f"images out of {study.folds} folds"
    return "test images" if study.labels is None else f"images of {study.labels.name}"


def what_is_resampled(study: Study) -> str:
    """What is resampled."""
    if study.folds is not None:
        return "images, with what stays together in a fold as one"
    if isinstance(study.units, int):
        return f"blocks of {study.units} consecutive images" if study.units > 1 else "images"
    return {"chains": "images, near-duplicates as one"}.get(study.units, study.units)


def cautions(study: Study, table: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    """What a reader must know before the numbers.

    Args:
        study: The ladder.
        table: Its table without them.
        notes: What the plan found in the data.
    """
    rows, seeds, pairs = table["rungs"], table["seeds"], table["comparisons"]
    lines = []
    if len(seeds) < len(study.seeds):
        lines.append(f"Not finished: {len(seeds)} of {len(study.seeds)} seeds so far.")
    for row in rows:
        if row["failed"]:
            lines.append(f"{row['name']} failed and is not compared: {row['failed']}")
    lines += _failed_runs(rows)
    lines += _scored(study, table, notes)
    lines += [line for row in rows for line in (*_search(row), *_epochs(study, row))]
    what = "images" if study.scored != "test" else "test images"
    if len(seeds) == 1:
        lines.append(
            f"One seed: the intervals know the choice of {what} and nothing of the luck of "
            "training. Another seed gives other models, and can turn a verdict round."
        )
    else:
        lines.append(
            f"The intervals hold both the choice of {what} and the luck of training, as far "
            f"as {len(seeds)} seeds show it; their spread is drawn towards that of all rungs."
        )
    if table["num_units"] < FEW:
        lines.append(
            f"Only {table['num_units']} units of {what}: the intervals are rough themselves, and "
            "only large differences can be detected."
        )
    if pairs > 1:
        lines.append(
            f"{pairs} differences are a family: a verdict needs its interval to leave out 0 and "
            "Holm's adjusted p of at most 0.05; each interval is for its own difference alone."
        )
    return [*lines, *_contract_effects(study, rows), *_lengths(table)]


def _failed_runs(rows) -> list[str]:
    """Rungs that learnt nothing, or of which the sentinel said something."""
    lines = []
    for row in rows:
        if row["nothing_learnt"]:
            lines.append(
                f"{row['name']} is a failed run: {row['nothing_learnt']}. Something in its setting "
                "is wrong; it says nothing of how good the model is, and has no verdict."
            )
        lines += [f"{row['name']}, an alarm while it was trained: {text}" for text in row["alarms"]]
    return lines


def _search(row) -> list[str]:
    """What a rung's search chose, of how many, and that its score there is too high."""
    if (found := row["search"]) is None:
        return []
    best, nested = found["best_of"], found["nested"]
    where = "one hold-out" if nested is None else f"{found['folds']} folds"
    listed = ", ".join(f"{name} {decimals(score)}" for name, score in found["scores"].items())
    free = "." if nested is None else f"; nested, free of that choice, {decimals(nested['score'])}."
    return [
        f"{row['name']}: {found['winner']} was chosen among {best['candidates']} on {where} of "
        f"the training images ({found['trainings']} trainings, {found['score']}: {listed}). The "
        f"best of {best['candidates']} is too high there{free} The score in the table had no part "
        "in it."
    ]


def _epochs(study: Study, row) -> list[str]:
    """Under folds, the epoch of the best mean, which one number for all folds would choose."""
    found = row["by_epoch"]
    if study.folds is None or found is None:
        return []
    shown = {"best mean": found["best"], "last": len(found["mean"])}
    texts = [
        f"{what} {decimals(found['mean'][epoch - 1])} ± {decimals(found['deviation'][epoch - 1])} "
        f"after epoch {epoch}"
        for what, epoch in shown.items()
    ]
    return [f"{row['name']}, {found['score']} over {found['runs']} runs: {', '.join(texts)}."]


def _scored(study: Study, table: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    """What is other than one test split: folds, fewer images, a file of labels."""
    lines, rows = list(notes), table["rungs"]
    if study.scored == "folds":
        lines.append(
            "The best epoch of each fold was chosen on the part it is scored on, so scores are "
            "optimistic, of all rungs alike. All rungs and seeds share one assignment of folds: "
            "the luck of it is not in the intervals."
        )
    counts = {row["name"]: row["num_images"] for row in rows if row["num_images"] is not None}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(
            f"Rungs were scored on different numbers of images ({listed}): each score is on the "
            "rung's own images, and a difference is on the images both rungs have, so that it is "
            "not the difference of two scores."
        )
    if study.scored == "labels":
        lines.append(
            f"Scores are on {study.labels.name}, which no training opens; no choice of a rung by "
            "them is left to be judged on it. `validation` is the score on the validation split, "
            "by which the best epoch was chosen."
        )
        first = table["metrics"][0]
        for row in rows:
            score = row["scores"].get(first, {}).get("mean")
            seen = (row["validation"] or {}).get("mean")
            if score is not None and seen is not None and seen - score >= FAR:
                lines.append(
                    f"{row['name']}: validation {seen:.3f}, here {score:.3f}. What it learnt does "
                    "not hold on these images: validation shares something with training that "
                    "they lack (a background, say; `python -m tfvision audit` looks for it)."
                )
    return lines


def _contract_effects(study: Study, rows) -> list[str]:
    """Rungs that one convention moves one way and another convention otherwise."""
    lines = []
    first = study.metrics[0]
    for row in rows:
        for metric in study.metrics[1:]:
            one, other = row["compared"].get(first), row["compared"].get(metric)
            if one is None or one["verdict"] == other["verdict"] == "cannot tell":
                continue
            apart = None not in (one["difference"], other["difference"])
            apart = apart and one["difference"] * other["difference"] < 0
            if apart and one["verdict"] != other["verdict"]:
                lines.append(
                    f"{row['name']} against {row['against']}: {one['difference']:+.4f} under "
                    f"{first}, {other['difference']:+.4f} under {metric}. What is won lies in how "
                    "the score is counted, not in what the model sees."
                )
    return lines


def _lengths(table: Mapping[str, Any]) -> list[str]:
    """Where rungs do not learn equally long."""
    rows, lines = table["rungs"], []
    taken = sorted({row["steps"] for row in rows})
    steps = f"{taken[0]} to {taken[-1]}"
    if "epochs" in table["length"] and len(taken) > 1:
        lines.append(
            f"Rungs are trained for equal epochs ({table['length']['epochs']}), not equal gradient "
            f"steps: {steps}. One that makes more pieces of an image also learns longer."
        )
    elif len(taken) > 1:
        lines.append(
            f"Gradient steps differ: {steps}; epochs are whole, and some rungs are about longer "
            "training."
        )
    own = [f"{row['name']} {row['epochs']}" for row in rows if row["own_epochs"]]
    if own:
        lines.append(f"Rungs with epochs of their own: {', '.join(own)}.")
    return lines
