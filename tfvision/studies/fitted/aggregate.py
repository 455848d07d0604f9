"""`aggregate`: which rule joins the pieces of an image, chosen on out-of-fold predictions."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.crops.pieces import AGGREGATES
from tfvision.engine.distribute import make_strategy
from tfvision.engine.files import write_json, write_text
from tfvision.engine.progress import Progress
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.metrics.classification import log_loss
from tfvision.metrics.confusion import confusion_matrix
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.metrics.ratios import score_ratios
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.recipe import Recipe
from tfvision.registry import Spec
from tfvision.runs.fitted import check_pieces
from tfvision.runs.fitted_files import AggregateFile, write_aggregate
from tfvision.stats.bootstrap import holm
from tfvision.studies.fitted.piece_predictions import PieceScores, piece_store, pieces_in
from tfvision.studies.fitted.verdict import LEVEL, RESAMPLES, SEED, Gain, gain_of, refusal
from tfvision.studies.folds.folder import load_folds_config, read_folds
from tfvision.studies.folds.predictions import FEW, FoldPredictions, read_predictions


@dataclass
class Rule:
    """One way of joining pieces.

    Attributes:
        name: Of `AGGREGATES`.
        score: Under the metric contract, out of fold.
        log_loss: In nats, out of fold.
        gain: Of its score over the runs' own rule; None: it is that.
        p_adjusted: Of the gain, by Holm over all that were tried.
        verdict: `own`, `applied` or `refused`.
        reason: Of a refusal, with figures.
    """

    name: str
    score: float
    log_loss: float
    gain: Gain | None = None
    p_adjusted: float = math.nan
    verdict: str = "own"
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        values = {**vars(self), "gain": self.gain and self.gain.to_json()}
        floats = {k: v for k, v in values.items() if isinstance(v, float)}
        return {**values, **{k: v if math.isfinite(v) else None for k, v in floats.items()}}


def aggregate(
    folder: Path, *, out: Path | None = None, device: str = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Scores every rule of joining pieces out of fold, and says which to use.

    The pieces of each image are predicted by the fold's run that did not train on it, and kept
    in `out_of_fold_pieces/`. Each rule is compared with that of the runs' config.

    Args:
        folder: What `train_cls.py --folds` made, complete.
        out: YAML file for what holds, with a JSON file of all figures beside it; None:
            `aggregate.yaml` in the folder.
        device: Value of `--device`.
        quiet: Print nothing.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: The folds are not complete, of a segmentation, or have one piece an image.
    """
    out = folder / "aggregate.yaml" if out is None else out
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out {out} must be a YAML file, such as aggregate.yaml.")
    read_folds(folder)  # complete
    check_pieces(load_folds_config(folder), "aggregate")
    found = read_predictions(folder)
    make_strategy(device)
    run = RunFolder(folder)
    run.lock()
    try:
        store = piece_store(folder, found, Progress(quiet=quiet, log=run.log).line)
    finally:
        run.unlock()
    truth = np.array([int(mask[0, 0]) for mask in found.masks])
    counted = np.flatnonzero(~np.isin(truth, found.recipe.ignored))
    labels, pieces = truth[counted], pieces_in(store, counted)
    rules = judge(pieces, labels, counted, found)
    chosen = next((rule for rule in rules if rule.verdict == "applied"), rules[0])
    file = AggregateFile(
        class_names=tuple(store.class_names),
        input=found.recipe.config.data.input,
        aggregate=Spec(name=chosen.name),
    )
    result = {
        "folds": str(folder),
        **_about(found, counted),
        "num_pieces": sum(map(len, pieces.weights)),
        "input": file.model_dump(mode="json")["input"],
        "variables_sha256": store.origin["variables_sha256"],
        "rules": [rule.to_json() for rule in rules],
        "aggregate": chosen.name,
        "cautions": _cautions(found, counted, chosen),
    }
    lines = [f"How pieces are joined, chosen on {folder}; level {LEVEL}, see {out.stem}.json."]
    lines += [f"{rule.name}: {_finding(rule)}" for rule in rules]
    write_text(out, write_aggregate(file, lines))
    write_json(out.with_suffix(".json"), result)
    if not quiet:
        print(f"{_text(result, rules)}\naggregate: {out}", file=sys.stderr)
    return result


def judge(
    pieces: PieceScores, labels: np.ndarray, places: np.ndarray, found: FoldPredictions
) -> list[Rule]:
    """Every rule with its verdict, the runs' own first.

    A rule may be used where the 95 % interval of its gain lies above 0 and Holm's p over all
    that were tried is at most 0.05; of several the one that gains most is.

    Args:
        pieces: Of N counted images.
        labels: (N,) their classes.
        places: (N,) where they are in `found`.
        found: Units and recipe.

    Raises:
        InputError: All images that count are of one unit.
    """
    units = [found.units[i] for i in places]
    if len(set(units)) < 2:
        raise InputError(
            f"The {len(places)} images that count are of {len(set(units))} unit; an interval over "
            "units needs 2 or more."
        )
    own = found.recipe.config.data.aggregate
    rules, counts = [], {}
    for name in (own, *(name for name in AGGREGATES if name != own)):
        probabilities = pieces.joined(name)
        counts[name] = _counts(probabilities, labels, found.recipe)
        rules.append(Rule(name, _score(counts[name], found), log_loss(probabilities, labels)))
    tried = rules[1:]
    for rule in tried:
        rule.gain = gain_of(
            ConfusionEvidence(units, counts[own]),
            ConfusionEvidence(units, counts[rule.name]),
            contract=found.recipe.contract,
            score=found.recipe.config.metrics[0].name,
            units=units,
        )
    for rule, p in zip(tried, holm([r.gain.declared.p_value for r in tried]), strict=True):
        rule.p_adjusted, rule.verdict = p, "refused"
        rule.reason = refusal(rule.gain.declared, p, len(tried))
    sure = sorted((r for r in tried if not r.reason), key=lambda r: -r.gain.declared.gain)
    for rule in sure:
        rule.reason = f"{sure[0].name} gains more" if rule is not sure[0] else ""
    for rule in sure[:1]:
        rule.verdict = "applied"
    return rules


def _about(found: FoldPredictions, counted: np.ndarray) -> dict[str, Any]:
    """What of the JSON file says on what and how it was found."""
    return {
        "score": found.recipe.config.metrics[0].name,
        "contract": asdict(found.recipe.contract),
        "class_names": found.store.class_names,
        "num_images": len(counted),
        "num_units": len({found.units[i] for i in counted}),
        "num_folds": len(set(found.folds)),
        "resamples": RESAMPLES,
        "seed": SEED,
    }


def _counts(probabilities: np.ndarray, labels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(N, K, K) counts of images, after the rules that are in force."""
    predicted = np.asarray(decode(recipe.rules)(probabilities.astype(np.float32)))
    return confusion_matrix(
        labels[:, None, None], predicted[:, None, None], recipe.num_classes, recipe.void
    )


def _score(counts: np.ndarray, found: FoldPredictions) -> float:
    name = found.recipe.config.metrics[0].name
    return score_ratios(counts, found.recipe.contract, score=name).value()


def _cautions(found: FoldPredictions, counted: Sequence[int], chosen: Rule) -> list[str]:
    lines = [
        "The rule is chosen for models that saw a part of the data each. Another model, one "
        "trained on all of it or an ensemble, may see pieces otherwise."
    ]
    units = len({found.units[i] for i in counted})
    if units < FEW:
        lines.append(f"Only {units} units: the intervals are rough themselves.")
    if chosen.verdict == "applied":
        lines.append(
            "Which rule to use was chosen on the same images: the gain of the chosen is slightly "
            "too high. A test split that took no part says more."
        )
    return lines


def _text(result: dict[str, Any], rules: Sequence[Rule]) -> str:
    lines = [
        f"{result['num_pieces']} pieces of {result['num_images']} images out of fold, "
        f"{result['num_units']} units; {result['score']} under the metric contract",
        f"{'rule':12}{'score':>8}{'gain':>10}{'95 % interval':>20}{'p (Holm)':>10}"
        f"{'log-loss':>10}  verdict",
    ]
    for rule in rules:
        figures = f"{'':40}"
        if rule.gain is not None:
            gain = rule.gain.declared
            interval = f"{gain.low:+.4f} to {gain.high:+.4f}"
            figures = f"{gain.difference:+10.4f}{interval:>20}{rule.p_adjusted:10.3f}"
        lines.append(
            f"{rule.name:12}{rule.score:8.4f}{figures}{rule.log_loss:10.4f}  {rule.verdict}"
        )
    lines += [f"{rule.name}: {_finding(rule)}" for rule in rules]
    return "\n".join([*lines, *result["cautions"]])


def _finding(rule: Rule) -> str:
    if rule.gain is None:
        return "what the runs do"
    if rule.verdict == "refused":
        return f"refused: {rule.reason}"
    found = rule.gain.declared
    return (
        f"applied: {100 * found.difference:+.2f} points (95 % interval {100 * found.low:+.2f} to "
        f"{100 * found.high:+.2f})"
    )
