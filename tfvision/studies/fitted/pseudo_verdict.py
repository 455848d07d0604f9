"""Whether pseudo-labels earn their place: the gain out of fold, the verdict, the record."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfvision.engine.evidence_file import read_evidence
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.stats.bootstrap import Difference
from tfvision.stats.evidence import Evidence
from tfvision.studies.fitted.pseudo_request import Asked
from tfvision.studies.fitted.verdict import RESAMPLES, SEED, gain_of
from tfvision.studies.folds.folder import CONFIG, fold_folder
from tfvision.studies.folds.scores import contract_of
from tfvision.tasks.classification.pseudo_labels import PseudoLabel, listed
from tfvision.tasks.facts import facts_of
from tfvision.text import figure

FEW = 30  # units below which an interval is rough itself


@dataclass(frozen=True)
class Chosen:
    """Attributes:
    passed: For each fold how many images its run is sure of.
    labels: Those of them that the fold may be trained on.
    left_out: For each fold why how many others may not.
    final: What the mean of all runs is sure of.
    """

    passed: list[int]
    labels: list[list[PseudoLabel]]
    left_out: list[dict[str, int]]
    final: list[PseudoLabel]


def judge(asked: Asked, chosen: Chosen, found: np.ndarray) -> dict[str, Any]:
    """What `pseudo.json` holds: the gain of the new folds over the old ones, and the verdict."""
    names, units = asked.class_names, asked.record["samples"]["units"]
    agreed, score = contract_of(asked.record), asked.config.metrics[0].name
    old, new = _evidence(asked, chosen)
    gain = gain_of(
        type(old[0]).join(old),
        type(new[0]).join(new),
        contract=agreed,
        score=score,
        units=units,
        folds=np.repeat(np.arange(len(old)), [len(evidence) for evidence in old]),
    )
    reason = refusal(gain.declared, chosen.final)
    return {
        "folds": str(asked.folder),
        "unlabelled": asked.path and str(asked.path),
        "confidence": asked.confidence,
        "class_names": names,
        "num_unlabelled": len(asked.images.indices),
        "by_fold": [
            {
                "fold": fold,
                "passed": chosen.passed[fold],
                "used": len(labels),
                "class_counts": per_class(labels, names),
                "left_out": chosen.left_out[fold],
                "highest": float(found[fold].max()),
            }
            for fold, labels in enumerate(chosen.labels)
        ],
        "score": score,
        "contract": asdict(agreed),
        "num_samples": len(units),
        "num_units": len(set(units)),
        "resamples": RESAMPLES,
        "seed": SEED,
        "gain": gain.to_json(),
        "verdict": "refused" if reason else "applied",
        "reason": reason,
        "class_counts": per_class(chosen.final, names),
        "file": None if reason else str(asked.out / "pseudo.csv"),
        "command": None if reason else _command(asked),
        "cautions": _cautions(len(set(units)), applied=not reason),
    }


def _evidence(asked: Asked, chosen: Chosen) -> tuple[list[Evidence], list[Evidence]]:
    """Of the folds without and with pseudo-labels; one that got none counts as it did.

    Raises:
        InputError: They are of other samples.
    """
    old, new, facts = [], [], facts_of(asked.config.task)
    for fold, labels in enumerate(chosen.labels):
        before = RunFolder(fold_folder(asked.folder, fold))
        after = RunFolder(fold_folder(asked.out, fold)) if labels else before
        old.append(read_evidence(before, "val", facts))
        new.append(read_evidence(after, "val", facts))
        if old[-1].ids != new[-1].ids:
            raise InputError(
                f"{after.path} was scored on other samples than {before.path}. Remove it; it is "
                "then trained again."
            )
    return old, new


def refusal(gain: Difference, final: Sequence[PseudoLabel]) -> str:
    """Why pseudo-labels are not to be used, or "".

    Args:
        gain: Of the folds trained with them.
        final: What the mean of all folds' runs is sure of.
    """
    if not math.isfinite(gain.difference):
        return "nothing is counted under the metric contract"
    if gain.num_differing == 0:
        return "they change no prediction out of fold"
    if gain.unbounded:
        return (
            f"they change predictions of only {gain.num_differing} of {gain.num_units} units out "
            f"of fold: too few to tell whether {gain.difference:+.4f} is a gain"
        )
    if not gain.better:
        return (
            f"the gain out of fold is {gain.difference:+.4f} (95 % interval {gain.low:+.4f} to "
            f"{gain.high:+.4f}), and that interval is not {gain.better_side} 0"
        )
    if not final:
        return "the mean of the folds' runs is sure of no image, so there is nothing to train on"
    return ""


def text_of(result: dict[str, Any]) -> str:
    """The record as lines for the terminal."""
    gain = result["gain"]["declared"]
    lines = [
        f"{result['num_unlabelled']} images without labels, confidence {result['confidence']:g}; "
        f"{result['num_samples']} samples out of fold, {result['num_units']} units",
        f"{result['score']} out of fold: {figure(gain['first'])} without, "
        f"{figure(gain['second'])} with pseudo-labels",
    ]
    if result["verdict"] == "refused":
        lines.append(f"refused: {result['reason']}")
    else:
        lines += [
            f"applied: {gain['difference']:+.4f} (95 % interval {gain['low']:+.4f} to "
            f"{gain['high']:+.4f})",
            f"pseudo-labels: {result['file']} ({listed(result['class_counts'])})",
            f"train with them: {result['command']}",
        ]
    return "\n".join([*lines, *result["cautions"]])


def _command(asked: Asked) -> str:
    """What trains one run on the labels and the pseudo-labels."""
    given = ["data.folds=null", "data.fold=null", f"data.pseudo={asked.out / 'pseudo.csv'}"]
    if asked.path is not None:
        given.append(f"data.pseudo_images={asked.path}")
    words = ["python", "train_cls.py", "--config", str(asked.folder / CONFIG)]
    return shlex.join([*words, *(w for one in given for w in ("--set", one))])


def _cautions(num_units: int, *, applied: bool) -> list[str]:
    lines = [
        "Each fold was trained once with pseudo-labels and once without: the luck of training is "
        "in the gain, but not in its interval. As many epochs over more images are more steps.",
        "The runs that labelled never trained on the fold, but their best epoch was chosen on it, "
        "as that of the runs compared.",
    ]
    if num_units < FEW:
        lines.append(f"Only {num_units} units: the interval is rough itself.")
    if applied:
        lines.append(
            "The final pseudo-labels are of the runs of all folds, which have seen every sample "
            "but those of the test split: a val score of a run trained with them is too high, and "
            "so is one of folds. The test split tells."
        )
    return lines


def per_class(labels: Sequence[PseudoLabel], names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount([one.number for one in labels], minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))
