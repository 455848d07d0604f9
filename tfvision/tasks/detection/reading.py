"""Strings read from detections: what a config means by it, and the threshold it is done at."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.strings import THRESHOLD, best_threshold
from tfvision.postprocess import ON_STRINGS
from tfvision.postprocess.candidates import Rule
from tfvision.postprocess.fit import Predictions
from tfvision.postprocess.fit_arrays import ArrayPredictions
from tfvision.postprocess.strings import Reading, length_shares
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.scored import Scored
from tfvision.text import finite

SCORE = "string_accuracy"
RULE = "likely_string"
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRIED = [{"overlap": o, "weight": w} for o in (0.3, 0.5, 0.7) for w in (0.0, 0.5, 1.0)]


@dataclass(frozen=True)
class DetectionRecipe(Recipe):
    """The recipe of a detection.

    Attributes:
        class_names: K names.
        read_from: The threshold that validation chose for strings, or one that a user gave; None:
            nobody has.
    """

    class_names: tuple[str, ...] = ()
    read_from: float | None = None


def reading_of(recipe: Recipe) -> Reading | None:
    """How a recipe reads strings; None where it reads none.

    Raises:
        InputError: A class has no character.
    """
    config = recipe.config.reading
    if config is None:
        return None
    names = config.characters or characters_of(recipe.class_names)
    if len(names) != recipe.num_classes or any(len(name) != 1 for name in names):
        long = [name for name in names if len(name) != 1]
        what = f"the class {long[0]!r} is none" if long else f"there are {len(names)}"
        raise InputError(
            f"reading: each of the {recipe.num_classes} classes must be one character, and {what}. "
            "Give one for each class, in the order of the classes: --set "
            f"'reading.characters=[...]' for {', '.join(recipe.class_names)}; or leave reading out."
        )
    given = _rule(recipe)
    return Reading(
        tuple(names),
        overlap=given.get("overlap", config.overlap),
        leading_zeros=config.leading_zeros == "keep",
        empty=config.empty,
        shares=given.get("shares"),
        weight=given.get("weight", 1.0),
    )


def characters_of(names: Sequence[str]) -> tuple[str, ...]:
    """The character of each class by its name: of "seven" it is 7, and of "10" 0 where all others
    are digits and none is 0, as in the files of SVHN; of any other the name itself."""
    found = [str(NUMBER_WORDS.index(n.lower())) if n.lower() in NUMBER_WORDS else n for n in names]
    if "10" in found and {*found} - {"10"} <= {*"123456789"}:
        found[found.index("10")] = "0"
    return tuple(found)


def said_of_characters(recipe: Recipe) -> list[str]:
    """A line on classes that are read as another character than their name; [] where none is.

    Raises:
        InputError: A class has no character.
    """
    reading = reading_of(recipe)
    if reading is None or recipe.config.reading.characters:
        return []
    pairs = zip(recipe.class_names, reading.characters, strict=True)
    others = [f"{name} as {character}" for name, character in pairs if name != character]
    return [f"strings: classes are read {', '.join(others)}"] if others else []


def threshold_of(recipe: Recipe) -> tuple[float, str]:
    """The threshold at which strings are read, and who chose it: `config`, `val` or nobody, ""."""
    fixed = _fixed(recipe)
    if fixed is not None:
        return fixed, "config"
    return (THRESHOLD, "") if recipe.read_from is None else (recipe.read_from, "val")


def texts_of(recipe: Recipe, answers: Sequence[Mapping[str, np.ndarray]]) -> list[str] | None:
    """The string of each image; None where the recipe reads none."""
    reading = reading_of(recipe)
    if reading is None:
        return None
    return [reading.text(answer, threshold_of(recipe)[0]) for answer in answers]


def truth_text(reading: Reading, truth: Mapping[str, np.ndarray]) -> str:
    """The true string of an image: that of a table where one was given, else its boxes'."""
    return reading.normal(str(truth["string"])) if "string" in truth else reading.truth(truth)


def with_strings(recipe: Recipe, evidence: DetectionEvidence, answers, truths) -> DetectionEvidence:
    """The evidence of answers with what their strings are worth; as it is where none are read."""
    reading = reading_of(recipe)
    if reading is None:
        return evidence
    strings = [truth_text(reading, truth) for truth in truths]
    pairs = list(zip(answers, strings, strict=True))
    threshold = threshold_of(recipe)[0]
    if _fixed(recipe) is None:
        spans = np.array([reading.span(*pair) for pair in pairs]).reshape(-1, 2)
    else:  # so that nothing else chooses another
        right = [reading.text(answer, threshold) == string for answer, string in pairs]
        spans = np.where(np.array(right, bool).reshape(-1, 1), [-1.0, 2.0], 0.0)
    checksums = [
        _checksum(truth["string"]) if "string" in truth else own
        for truth, own in zip(truths, evidence.checksum, strict=True)
    ]
    return replace(
        evidence,
        spans=spans,
        read_from=np.full(len(pairs), threshold),
        checksum=np.array(checksums, np.int64),
    )


def decided(recipe: Recipe, scored: dict[str, Scored]) -> dict[str, Scored]:
    """The scores of a run with strings of all splits read at the threshold that is best on
    validation, where there is one and nothing was fixed."""
    reading = reading_of(recipe)
    if "val" not in scored or reading is None or _fixed(recipe) is not None:
        return scored
    best = best_threshold(scored["val"].evidence.spans)
    return {
        split: replace(
            one,
            evidence=replace(one.evidence, read_from=np.full(len(one.evidence), best)),
            details={**one.details, "strings": [reading.text(a, best) for a in one.answers]},
        )
        for split, one in scored.items()
    }


def entry(recipe: Recipe, scored: dict[str, Scored]) -> dict[str, Any] | None:
    """`reading` of `summary.json`: the threshold, who chose it, the accuracy of each split."""
    if reading_of(recipe) is None or not scored:
        return None
    fixed = threshold_of(recipe)
    chosen_on = fixed[1] or ("val" if "val" in scored else None)
    threshold = float(next(iter(scored.values())).evidence.read_from[0])
    return {
        "threshold": threshold,
        "chosen_on": chosen_on,
        "splits": {k: finite(s.evidence.measure(SCORE, None).value()) for k, s in scored.items()},
    }


def as_trained(recipe: Recipe, run: RunFolder) -> Recipe:
    """The recipe with the threshold that the validation of a finished run chose."""
    if recipe.config.reading is None or not (run.path / "summary.json").exists():
        return recipe
    known = run.read_json("summary.json").get("reading") or {}
    chosen = known.get("chosen_on") == "val"
    return replace(recipe, read_from=known["threshold"]) if chosen else recipe


def likely_rules(
    predictions: Predictions, rows: Sequence[int], reading: Reading, strings: Sequence[str]
) -> list[Rule]:
    """Settings of `likely_string`, each with the threshold that is best on images `rows`.

    Args:
        predictions: What they are tried on.
        rows: Images whose lengths are counted.
        reading: Of the runs.
        strings: The true string of each image.
    """
    shares = length_shares([strings[i] for i in rows], reading.empty)
    rules = []
    for setting in TRIED:
        prior = {"shares": shares} if setting["weight"] else {}
        rule = {"name": RULE, **prior, **setting}
        best = best_threshold(predictions.evidence([rule], rows).spans)
        rules.append({**rule, "threshold": round(best, 4)})
    return rules


def with_reading(
    predictions: Predictions, recipe: Recipe, truths: Sequence[Mapping[str, np.ndarray]]
) -> Predictions:
    """Predictions to which `likely_string` can be fitted, too, where strings are what is scored.

    Images that are fitted on are read at the threshold that is best on them, so that a rule is
    held against the best that goes without.
    """
    reading = reading_of(recipe)
    if reading is None or recipe.config.metrics[0].name != SCORE:
        return predictions

    def evidence(rules: Sequence[Rule], rows: Sequence[int]) -> DetectionEvidence:
        found = predictions.evidence(rules, rows)
        return replace(found, read_from=np.full(len(found), best_threshold(found.spans)))

    def known(_, rows: Sequence[int], name: str) -> list[Rule]:
        return predictions.settings(name, rows)

    strings = [truth_text(reading, truth) for truth in truths]
    settings = {name: partial(known, name=name) for name in predictions.candidates}
    settings[RULE] = partial(likely_rules, reading=reading, strings=strings)
    return ArrayPredictions(len(predictions), settings, evidence)


def _rule(recipe: Recipe) -> dict[str, Any]:
    """The arguments of the last rule on strings."""
    given = [spec.kwargs for spec in recipe.config.postprocess if spec.name in ON_STRINGS]
    return given[-1] if given else {}


def _fixed(recipe: Recipe) -> float | None:
    """The threshold that a rule or the config sets."""
    own = _rule(recipe).get("threshold")
    return recipe.config.reading.threshold if own is None else own


def _checksum(text: Any) -> int:
    return zlib.crc32(str(text).encode())
