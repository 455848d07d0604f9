"""Rules fitted on predictions that are no label maps: every setting of a list is tried."""

from collections.abc import Callable, Mapping, Sequence

from tfvision.postprocess.candidates import Rule
from tfvision.postprocess.fit import Predictions
from tfvision.stats.evidence import Evidence


class ArrayPredictions(Predictions):
    """Predictions of which a task can say what they are worth under any rules.

    Args:
        count: N, of images.
        candidates: Name of a rule -> the settings that are tried; or `(self, rows=) -> settings`
            where they depend on the images that are fitted on.
        evidence: `(rules, rows) -> Evidence` of the images at these places.
    """

    def __init__(
        self,
        count: int,
        candidates: Mapping[str, list[Rule] | Callable[..., list[Rule]]],
        evidence: Callable[[Sequence[Rule], Sequence[int]], Evidence],
    ):
        self.candidates = list(candidates)
        self._count, self._settings, self._evidence = count, candidates, evidence

    def __len__(self) -> int:
        return self._count

    def evidence(self, rules: Sequence[Rule], rows: Sequence[int] | None = None) -> Evidence:
        return self._evidence(rules, range(self._count) if rows is None else rows)

    def settings(self, name: str, rows: Sequence[int]) -> list[Rule]:
        settings = self._settings[name]
        return settings(self, rows=rows) if callable(settings) else list(settings)
