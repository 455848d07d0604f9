"""Submissions of boxes: what is written can be read back, what is wrong is named."""

import numpy as np
import pytest

from tfvision.engine.submission.boxes import PredictionStrings
from tfvision.engine.submission.options import make_options
from tfvision.engine.submission.write import write_submission
from tfvision.errors import InputError

NONE = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "classes": np.zeros(0, int)}
TWO = {
    "boxes": np.array([[1.0, 2.0, 11.5, 22.0], [0.0, 0.0, 3.0, 4.0]]),
    "scores": np.array([0.9, 0.25]),
    "classes": np.array([1, 0]),
}


def test_the_rows_of_both_usual_contests(tmp_path):
    layout = PredictionStrings(2, names=["cat", "dog"])
    out = tmp_path / "s.csv"
    checked = write_submission(out, layout, [("a", TWO), ("b", NONE)], keys=["a", "b"])
    assert checked.rows == 2
    assert out.read_text().splitlines() == [
        "image_id,PredictionString",
        "a,dog 0.90000 1.00 2.00 11.50 22.00 cat 0.25000 0.00 0.00 3.00 4.00",
        "b,",
    ]
    wheat = PredictionStrings(2, fields=("score", "x1", "y1", "w", "h"), empty="none")
    write_submission(out, wheat, [("a", TWO), ("b", NONE)], keys=["a", "b"])
    assert out.read_text().splitlines()[1:] == [
        "a,0.90000 1.00 2.00 10.50 20.00 0.25000 0.00 0.00 3.00 4.00",
        "b,none",
    ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("0 0.5 1 2 3", "5 values are no multiple of 6"),
        ("9 0.5 1 2 3 4", "'9' is no class"),
        ("0 0.5 1 2 3 x", "`y2` should be a number"),
        ("0 nan 1 2 3 4", "`score` should be a"),
    ],
)
def test_wrong_cells_are_named(cell, said):
    assert said in PredictionStrings(2).problem([cell], None)


def test_fields_are_checked_before_anything_is_predicted(tmp_path):
    given = {"box_fields": "score x1 y1 w h"}
    options = make_options("boxes", tmp_path / "s.csv", given=given)
    assert options.box_fields == ("score", "x1", "y1", "w", "h")
    with pytest.raises(InputError, match="--box-fields lists what stands of each box"):
        make_options("boxes", tmp_path / "s.csv", given={"box_fields": "score x y"})
    with pytest.raises(InputError, match="--box-fields means nothing for --format rle"):
        make_options("rle", tmp_path / "s.csv", given=given)
