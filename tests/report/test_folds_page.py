"""The page of folds, of a segmentation and of a classification."""

import numpy as np
import pytest

from tests.report.test_segmentation_page import Page
from tfvision.metrics import contract
from tfvision.metrics.classification import count_scores
from tfvision.report.folds_page import FoldsPage, render
from tfvision.tasks.facts import facts_of

NAMES = ["sky", "<b>sea</b>"]
COUNTS = np.array([[[8, 2], [1, 9]], [[6, 4], [0, 10]]])


def page(kind, score, scored, **changes):
    rows = [{"fold": k, "run": f"fold-{k}", **scored(COUNTS[k : k + 1])} for k in range(2)]
    pooled = {**scored(COUNTS), "interval": None}
    given = {
        "name": "folds-1",
        "facts": facts_of(kind),
        "how": "assigned by group",
        "score": score,
        "class_names": NAMES,
        "assigned": [],
        "metrics": {
            "folds": rows,
            "mean": rows[0],
            "deviation": rows[1],
            "pooled": pooled,
            "test": None,
        },
        "summaries": [{"arch": "net", "num_parameters": 7}],
        "warnings": [],
        "cautions": ["optimistic"],
        "contract": {"absent": "skip"},
        "command": "python train.py",
    }
    return FoldsPage(**{**given, **changes})


@pytest.mark.parametrize(
    ("score", "scored", "kind", "title"),
    [
        ("mean_iou", contract.scores, "segmentation", "mean IoU"),
        ("macro_f1", count_scores, "classification", "macro-F1"),
        ("accuracy", count_scores, "classification", "accuracy"),
    ],
)
def test_the_page_shows_the_scores_of_its_task(score, scored, kind, title):
    made = page(kind, score, scored)
    shown = Page(render(made))
    assert shown.open == []
    assert f"folds · {kind}" in shown.text("headline")
    pooled = made.metrics["pooled"]
    assert f"pooled {title}, out of fold {pooled[score]:.3f}" in shown.text("headline")
    each = pooled["per_class_f1" if kind == "classification" else "per_class_iou"]
    assert " ".join(f"{v:.3f}" for v in each) in shown.text("scores")
    assert "<b>sea</b>" in shown.text("scores")  # as text
    assert f"{pooled[score]:.4f}" in made.text()
    other = "macro-F1" if kind == "segmentation" else "mean IoU"
    assert other not in made.text() + shown.text("scores")
