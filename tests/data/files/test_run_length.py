"""Run lengths are drawn as counted, and what masks show of order and base is right or nothing."""

import numpy as np
import pytest

from tfvision.data.files.issue import BadSample
from tfvision.data.files.run_length import (
    draw_runs,
    find_base,
    find_order,
    parse_runs,
    run_column,
)


def encoded(mask: np.ndarray, *, order: str, base: int) -> str:
    """The run lengths of a mask (H, W), pixel by pixel."""
    flat = (mask.T if order == "columns" else mask).reshape(-1)
    runs, start = [], None
    for place, value in enumerate([*flat, 0]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            runs += [start + base, place - start]
            start = None
    return " ".join(map(str, runs))


def ellipses(rng, shape, *, touching: bool) -> np.ndarray:
    """(H, W) bool: up to three ellipses; away from the borders, or one of them over a border."""
    y, x = np.indices(shape)
    mask = np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, 4))):
        radius = rng.uniform(3, 8, 2)
        low, high = radius + 2, np.array(shape) - radius - 3
        centre = rng.uniform(low, np.maximum(low, high))
        mask |= (((y, x) - centre[:, None, None]) ** 2 / radius[:, None, None] ** 2).sum(0) <= 1
    if touching:
        row = int(rng.integers(5, shape[0] - 12))
        column = int(rng.integers(5, shape[1] - 12))
        mask[:6, column : column + 7] = True
        mask[-6:, column : column + 7] = True
        mask[row : row + 7, :6] = True
        mask[row : row + 7, -6:] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_what_was_encoded_is_drawn_and_order_and_base_are_found(seed):
    rng = np.random.default_rng(seed)
    order, base = ["columns", "rows"][seed % 2], int(rng.integers(0, 2))
    masks = []
    for _ in range(6):
        shape = tuple(rng.choice([30, 41, 52, 64], 2, replace=False).tolist())
        mask = ellipses(rng, shape, touching=True)
        runs = parse_runs(encoded(mask, order=order, base=base), place="x")
        np.testing.assert_array_equal(draw_runs(runs, shape, order=order, base=base), mask)
        masks.append((runs, shape))
    assert find_order(masks, base=1) == find_order(masks, base=0) == order
    assert find_base(masks, order=order) == base


def test_what_does_not_show_is_not_guessed():
    rng = np.random.default_rng(1)
    square = [(40, 40)] * 5
    inside = [(30, 52)] * 5
    for shapes, found in ((square, None), (inside, "columns")):
        masks = [
            (
                parse_runs(
                    encoded(ellipses(rng, shape, touching=False), order="columns", base=1), place=""
                ),
                shape,
            )
            for shape in shapes
        ]
        assert find_order(masks, base=1) == found
        assert find_base(masks, order="columns") is None
    assert find_order([], base=1) is None
    noise = [
        (parse_runs(encoded(rng.random((30, 52)) < 0.5, order="rows", base=1), place=""), s)
        for s in inside
    ]
    assert find_order(noise, base=1) is None


@pytest.mark.parametrize(
    ("runs", "base"), [("0 4", 0), ("77 4", 1), ("1 2 80 1", 1), ("0 1 79 1", 0)]
)
def test_the_first_and_the_last_pixel_show_the_base(runs, base):
    masks = [(parse_runs(runs, place=""), (8, 10))]
    for order in ("columns", "rows"):
        assert find_base(masks, order=order) == base


def test_runs_outside_the_image_and_cells_that_are_none():
    with pytest.raises(BadSample, match=r"the run 79 3 lies outside the image of 8 x 10 = 80"):
        draw_runs(parse_runs("1 2 79 3", place=""), (8, 10), order="rows", base=1)
    with pytest.raises(BadSample, match="lies outside"):
        draw_runs(parse_runs("0 3", place=""), (8, 10), order="rows", base=1)
    for empty in ("", "-1", "nan", "NaN", "None"):
        assert parse_runs(empty, place="").shape == (0, 2)
    for wrong in ("1 2 3", "a b", "1.5 2", "-3 4"):
        with pytest.raises(BadSample, match="pairs of whole numbers"):
            parse_runs(wrong, place="line 3")
    with pytest.raises(BadSample, match="no pixel"):
        parse_runs("3 0", place="")


@pytest.mark.parametrize(
    ("header", "rows", "place"),
    [
        (["ImageId", "EncodedPixels"], [["a", "1 3"], ["b", ""]], 1),
        (["rle_mask", "id"], [["", "a"], ["-1", "b"]], 0),
        (["id", "annotation"], [["a", "1 3 9 2 20 5"], ["b", "4 4"]], 1),  # by its cells
        (["id", "box"], [["a", "10 20 30 40"], ["b", "4 4 8 8"]], None),
        (["id", "label"], [["a", "1"], ["b", "2"]], None),
        (["id", "targets"], [["a", "16 0 3 1 2 2"], ["b", "1 2"]], None),  # do not follow
    ],
)
def test_which_column_holds_run_lengths(header, rows, place):
    assert run_column(header, rows) == place
