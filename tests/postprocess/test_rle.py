"""Run-length codes against a loop over pixels, and codes that are none."""

import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.postprocess.rle import decode_rle, encode_rle, parse_rle


def by_hand(mask, order, base):
    """Pixel by pixel, in the order that is asked for."""
    height, width = mask.shape
    if order == "column":
        pixels = [mask[y, x] for x in range(width) for y in range(height)]
    else:
        pixels = [mask[y, x] for y in range(height) for x in range(width)]
    words, length = [], 0
    for place, value in enumerate([*pixels, 0]):
        if value:
            length += 1
        elif length:
            words += [str(place - length + base), str(length)]
            length = 0
    return " ".join(words)


@pytest.mark.parametrize("order", ["column", "row"])
@pytest.mark.parametrize("base", [0, 1])
def test_any_mask_gives_the_code_of_a_loop_and_comes_back(order, base):
    rng = np.random.default_rng(0)
    for share in (0, 0.05, 0.5, 0.95, 1):
        for _ in range(12):
            mask = rng.random(rng.integers(1, 9, size=2)) < share
            code = encode_rle(mask, order=order, base=base)
            assert code == by_hand(mask, order, base)
            back = decode_rle(code, mask.shape, order=order, base=base)
            assert back.dtype == bool
            np.testing.assert_array_equal(back, mask)


def test_the_convention_is_column_by_column_from_one():
    mask = np.array([[0, 1, 1], [0, 1, 0]])
    assert encode_rle(mask) == "3 3"
    assert encode_rle(mask, order="row") == "2 2 5 1"
    assert encode_rle(mask, base=0) == "2 3"
    assert encode_rle(np.zeros((2, 3))) == ""


def test_a_view_and_other_dtypes_are_coded_as_their_values():
    labels = np.random.default_rng(1).integers(0, 3, (6, 8)).astype(np.uint8)
    view = labels[::2, ::-1]
    assert encode_rle(view == 2) == encode_rle(np.ascontiguousarray(view == 2))
    assert encode_rle((labels == 1).astype(np.int64) * 7) == encode_rle(labels == 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1", "pairs of start and length; found 1 numbers"),
        ("1 2 5", "found 3 numbers"),
        ("1 x", "holds whole numbers; found 'x'"),
        ("1 2.0", "found '2.0'"),
        ("-1 2", "found '-1'"),
        ("1 " + "9" * 30, "found '9999"),
        ("0 2", "a run starts at 0, but pixels are counted from 1"),
        ("3 0", "a run has the length 0"),
        ("5 2 1 2", "must ascend and not overlap; the run at 1 does not"),
        ("1 3 3 2", "must ascend and not overlap; the run at 3 does not"),
        ("11 3", "the last run ends at pixel 13 of 12"),
    ],
)
def test_what_is_no_code_of_the_image_is_said(code, message):
    with pytest.raises(InputError, match=message):
        decode_rle(code, (3, 4))


def test_runs_that_touch_are_a_code_and_the_image_ends_where_it_ends():
    assert decode_rle("1 2 3 10", (3, 4)).all()
    assert parse_rle("1 2 3 10").tolist() == [[0, 2], [2, 10]]
    with pytest.raises(InputError, match="ends at pixel 13 of 12"):
        decode_rle("1 12", (3, 4), base=0)


@pytest.mark.parametrize("wrong", [{"order": "F"}, {"base": 2}])
def test_other_orders_and_bases_are_refused(wrong):
    with pytest.raises(InputError, match="order `column` or `row` and base 0 or 1"):
        encode_rle(np.ones((2, 2)), **wrong)
