"""Rules fitted on predictions of images the model was not trained on, and scored honestly.

Nested: the images are assigned into parts; what is scored on a part was fitted on the others. So
the evidence of `nested` is that of the whole procedure, choice of the numbers included, on
images it has not seen (Varma, Simon, "Bias in error estimation when using cross-validation for
model selection", BMC Bioinformatics 7:91, 2006). NumPy only.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.errors import InputError
from tfvision.postprocess.candidates import Rule, first_best
from tfvision.registry import unknown
from tfvision.stats.evidence import Evidence

PARTS = 5  # at least, where there are so many units


class Predictions(ABC):
    """Predictions of N images with their truth, which can be scored under any rules.

    Attributes:
        candidates: Names of rules that can be fitted, in the order in which they act.
        folds: The fold of each image, whose model predicted it; None: one model did.
    """

    candidates: Sequence[str]
    folds: Sequence[int] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """N."""

    @abstractmethod
    def evidence(self, rules: Sequence[Rule], rows: Sequence[int] | None = None) -> Evidence:
        """The evidence of images `rows` (None: of all) under `rules`."""

    def settings(self, name: str, rows: Sequence[int]) -> list[Rule]:
        """The settings of a candidate that a fit on images `rows` tries."""
        raise NotImplementedError

    def objective(self, contract: Any, score: str) -> Any:
        """What `fit_one` needs to know of the score that is to gain."""
        return contract, score

    def fit_one(
        self, name: str, rows: Sequence[int], before: Sequence[Rule], objective: Any
    ) -> Rule | None:
        """The best setting of a candidate on images `rows`, on top of the rules `before`.

        None where no setting scores higher than going without.
        """
        contract, score = objective
        folds = self.folds and [self.folds[row] for row in rows]
        settings = self.settings(name, rows)
        gains = []
        for rules in ([*before], *([*before, setting] for setting in settings)):
            measure = self.evidence(rules, rows).over_folds(score, contract, folds=folds)
            gains.append(measure.value() if measure.larger_is_better else -measure.value())
        best = first_best(gains)
        return settings[best - 1] if best else None


def fit(
    names: Sequence[str], predictions: Predictions, rows: Sequence[int], objective: Any
) -> list[Rule]:
    """Fits candidates on images `rows`, one after the other in the order in which they act.

    Each is fitted on what those before it left; one of which no setting scores higher than
    going without is left out.
    """
    rules: list[Rule] = []
    for name in sorted(names, key=list(predictions.candidates).index):
        fitted = predictions.fit_one(name, list(rows), rules, objective)
        rules += [fitted] if fitted else []
    return rules


def nested(
    names: Sequence[str],
    predictions: Predictions,
    parts: Sequence[np.ndarray],
    objective: Any,
) -> tuple[Evidence, list[list[Rule]]]:
    """Evidence of all images, each under rules fitted on the parts it is not in.

    Args:
        names: Of candidates; several are fitted on top of each other.
        predictions: N images.
        parts: Places of the images of each part; together every place once.
        objective: `predictions.objective` of what is to gain.

    Returns:
        The evidence, and the rules of each part.
    """
    scored, rules = [], []
    for part in parts:
        others = np.setdiff1d(np.arange(len(predictions)), part)
        rules.append(fit(names, predictions, others, objective))
        scored.append(predictions.evidence(rules[-1], part))
    joined = type(scored[0]).join(scored)
    return joined.take(np.argsort(np.concatenate(parts))), rules


def assign_parts(
    units: Sequence[str], folds: Sequence[int], *, at_least: int = PARTS
) -> list[np.ndarray]:
    """Assigns images into parts for `nested`; images of one unit never come apart.

    A part is a fold, so that rules are scored on predictions of a model they were not fitted
    on; where there are few folds each is cut into as many parts as make `at_least`. A unit
    that lies in several folds goes with the one that holds most of it.

    Args:
        units: The unit of each image, N names.
        folds: The fold of each image, N numbers.
        at_least: Parts wanted; fewer where units or folds do not suffice.

    Returns:
        Places of the images of each part, ascending; no part is empty.

    Raises:
        InputError: Fewer than 2 units.
    """
    members: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        members.setdefault(unit, []).append(place)
    if len(members) < 2:
        raise InputError(
            f"{len(units)} images that form {len(members)} unit (images that belong together) "
            "cannot be cut in two: a rule must be scored on other units than it is fitted on. "
            "Give more data, or check data.groups."
        )
    home: dict[int, list[str]] = {}
    for unit, places in members.items():
        counted = Counter(folds[place] for place in places)
        home.setdefault(min(counted, key=lambda f: (-counted[f], f)), []).append(unit)
    cuts = -(-at_least // len(home))
    parts = []
    for fold in sorted(home):
        piles: list[list[int]] = [[] for _ in range(min(cuts, len(home[fold])))]
        for unit in sorted(home[fold], key=lambda u: (-len(members[u]), _hash(u))):
            min(piles, key=len).extend(members[unit])
        parts += [np.sort(pile) for pile in piles]
    return parts


def check_candidates(names: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """The names in the order of `candidates`, in which they act.

    Raises:
        InputError: None, one twice, or one that there is not.
    """
    for name in names:
        if name not in candidates:
            raise InputError(unknown("candidate of post-processing", name, candidates))
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"--candidates lists what is to be tried, each once: {', '.join(candidates)}. "
            f"Received: {', '.join(names) or 'nothing'}."
        )
    return sorted(names, key=list(candidates).index)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
