"""Rules fitted on predictions that are no label maps: a planted fault is mended, noise is left."""

import numpy as np
import pytest

from tests.support.evidence import Errors, errors
from tfvision.metrics.contract import Contract
from tfvision.postprocess.fit import assign_parts
from tfvision.postprocess.fit_arrays import ArrayPredictions
from tfvision.studies.fitted.verdict import judge

IMAGES = 60
SHIFTS = [{"name": "shift", "by": by} for by in (-4, -3, -2, 2, 3)]


def predictions(answers: Errors) -> ArrayPredictions:
    def evidence(rules, rows):
        chosen = answers.take(rows)
        by = sum(rule["by"] for rule in rules)
        return Errors(chosen.ids, chosen.truth, chosen.predicted + by)

    return ArrayPredictions(len(answers), {"shift": SHIFTS}, evidence)


def judged(answers: Errors):
    return judge(
        ["shift"],
        predictions(answers),
        parts=assign_parts(answers.ids, np.arange(len(answers)) % 2),
        units=answers.ids,
        contract=Contract(),
        score="mean_error",
        resamples=500,
    )


@pytest.mark.parametrize("by", [-3, 4])
def test_a_planted_shift_is_found_and_taken_back(by):
    answers = errors(IMAGES, off=0.1)
    moved = Errors(answers.ids, answers.truth, answers.predicted + by)
    found = judged(moved)
    assert found.rules == [{"name": "shift", "by": -by}]
    (tried,) = found.tried
    assert (tried.verdict, tried.reason) == ("applied", "")
    assert tried.by_part == [found.rules[0]] * len(tried.by_part)
    declared = tried.gain.declared
    assert declared.gain == pytest.approx(-declared.difference)  # a lower error is a gain
    assert declared.second == pytest.approx(np.abs(answers.predicted - answers.truth).mean())


def test_without_a_fault_no_shift_is_applied():
    answers = errors(IMAGES, off=0.0)
    found = judged(answers)
    assert found.rules == []
    assert found.tried[0].verdict == "refused"
    assert "no setting scores higher" in found.tried[0].reason
