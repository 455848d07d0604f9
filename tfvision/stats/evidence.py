"""What predictions of labelled images leave behind: all that scores of them are computed from.

Comparisons, folds, studies, ensembles and what is fitted out of fold work on an `Evidence`, and
know neither task nor metric. NumPy only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np

from tfvision.stats.measure import Average, Measure, group_numbers


class Evidence(ABC):
    """What the scores of N images are computed from, image by image.

    A subclass, a dataclass, says what it holds. Where each of its fields has one row an image,
    `digest` and `measure` are all that it must write.

    Attributes:
        ids: N names of images.
        before: Of the same predictions before post-processing; None where nothing changes them.
        suffix: A run keeps it in `predictions/<split>_<suffix>.npz`.
        scores: Names of what `measure` takes.
        conventions: Name -> (score, contract) under which results are published.
        pools: Whether images that different models predicted can be scored as one set. Where
            not, as where a score ranks the predictions of one model, the scores of the models
            are averaged.
        per_class: The key of `summary` whose list, one number a class, tables show; None
            without classes.
        text: What it holds of each image: "confusion matrices".
        truth_text: What differs where `digest` does: "numbers of pixels a class".
    """

    suffix: ClassVar[str]
    scores: ClassVar[tuple[str, ...]]
    conventions: ClassVar[Mapping[str, tuple[str, Any]]] = {}
    pools: ClassVar[bool] = True
    per_class: ClassVar[str | None] = None
    text: ClassVar[str]
    truth_text: ClassVar[str] = "truths"
    ids: list[str]
    before: Self | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def processed(self) -> bool:
        """Whether post-processing was done."""
        return self.before is not None

    def arrays(self) -> dict[str, np.ndarray]:
        """What the file of a run holds: `ids`, (N,) str, and more; here the dataclass's fields."""
        columns = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        return {**columns, "ids": np.array(self.ids, dtype=str)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The evidence of `arrays`.

        Raises:
            KeyError, ValueError: One is missing, or they do not fit each other.
        """
        columns = {field.name: arrays[field.name] for field in fields(cls)}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"not one row an image in each of {', '.join(columns)}")
        return cls(**{**columns, "ids": [str(name) for name in columns["ids"]]})

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """The images at these places, in their order."""
        rows = np.asarray(rows, np.int64)
        return self.from_arrays({key: array[rows] for key, array in self.arrays().items()})

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The images of all parts, one after the other."""
        arrays = [part.arrays() for part in parts]
        return cls.from_arrays({k: np.concatenate([a[k] for a in arrays]) for k in arrays[0]})

    def renamed(self, ids: Sequence[str]) -> Self:
        """The same images under other names."""
        return self.from_arrays({**self.arrays(), "ids": np.array(ids, dtype=str)})

    @abstractmethod
    def digest(self) -> np.ndarray:
        """(N, D): two rows are equal where the images have the same truth."""

    def presence(self) -> np.ndarray:
        """(N, K) bool, which classes the truth of each image holds; K is 0 without classes."""
        return np.zeros((len(self), 0), bool)

    @abstractmethod
    def measure(
        self,
        score: str,
        contract: Any,
        *,
        groups: Sequence[str] | None = None,
        class_index: int | None = None,
    ) -> Measure:
        """A score, for the bootstrap.

        Args:
            score: A name of `scores`.
            contract: What is counted.
            groups: The group of each image, N names; None: each image for itself.
            class_index: What the class is worth beside the score; None: the score itself.

        Raises:
            InputError: An unknown score, a contract or groups that do not fit.
        """

    def image_scores(self, score: str, contract: Any) -> np.ndarray:
        """(N,) float64, each image scored alone; NaN where nothing of it is counted."""
        alone = (self.take([i]).measure(score, contract) for i in range(len(self)))
        return np.array([measure.value() for measure in alone])

    def summary(self, contract: Any) -> dict[str, Any]:
        """All scores, ready for JSON: numbers, and lists of one a class; None for NaN."""
        values = {score: self.measure(score, contract).value() for score in self.scores}
        found = {score: None if np.isnan(value) else value for score, value in values.items()}
        return {**found, "num_images": len(self)}

    def by_convention(self, contract: Any) -> dict[str, float | None]:
        """The score under `contract` ("contract") and under each of `conventions`."""
        return {}

    def out_of_fold(self, folds: Sequence[int]) -> Self:
        """The same, with what was chosen on the images themselves (a threshold of the answer)
        chosen for those of each fold on all others instead; `folds` as `over_folds` has them."""
        return self

    def at_operating_point(self, score: str, point: Mapping[str, Any] | None) -> tuple[Self, str]:
        """The same where the run that predicted it uses its predictions, for scores that depend
        on that, as F1 does on a threshold; and what is said of it. Itself and "" for others.

        Args:
            score: A name of `scores`.
            point: `operating_point` of the `summary.json` of the run, None where it has none.
        """
        return self, ""

    def over_folds(
        self,
        score: str,
        contract: Any,
        *,
        folds: Sequence[int] | None,
        groups: Sequence[str] | None = None,
    ) -> Measure:
        """`measure` of images that the models of several folds have predicted.

        Args:
            folds: The fold of each image, N numbers, see `pools`; None: one model has
                predicted all.
        """
        if self.pools or folds is None:
            return self.measure(score, contract, groups=groups)
        member, num_units = group_numbers(groups, len(self))
        folds = np.asarray(folds)
        rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
        parts = [
            self.take(places).measure(
                score,
                contract,
                groups=None if groups is None else [groups[i] for i in places],
            )
            for places in rows
        ]
        return Average(parts, [np.unique(member[places]) for places in rows], num_units)

    def classes(
        self, score: str, contract: Any, *, groups: Sequence[str] | None = None
    ) -> list[Measure]:
        """`measure` of each of the K classes."""
        return [
            self.measure(score, contract, groups=groups, class_index=k)
            for k in range(self.presence().shape[1])
        ]
