"""The picture of the augmentation: its cells, its lines, its place in the report."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.report.example import make_report
from tfvision.report.augment_page import Augmented, picture, picture_uri, write_picture
from tfvision.report.overlay import HATCH, palette
from tfvision.report.segmentation_page import render

GAP = 6


def pair(level, *, size=(10, 16), channels=1, label=1):
    """An even grey image with a block of another class in its middle."""
    mask = np.zeros(size, np.int32)
    mask[3:7, 5:11] = label
    return np.full((*size, channels), level, np.float32), mask


def example(count=2, draws=3, **options):
    return Augmented(
        ids=[f"tile {i}" for i in range(count)],
        originals=[pair((51 + 20 * i) / 255, **options) for i in range(count)],
        draws=[[pair((120 + 20 * j) / 255, **options) for j in range(draws)] for _ in range(count)],
        num_classes=3,
    )


def cells(page, rows, columns, height, width):
    """{(row, column): cell}, the originals set apart by a wider gap."""
    assert page.shape == (rows * (height + GAP) + GAP, columns * (width + GAP) + 3 * GAP, 3)
    found = {}
    for i in range(rows):
        for j in range(columns):
            top, left = GAP + i * (height + GAP), GAP + j * (width + GAP) + 2 * GAP * (j > 0)
            found[i, j] = page[top : top + height, left : left + width]
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_is_a_sample_and_starts_with_the_original(channels):
    found = cells(picture(example(channels=channels), 16), 2, 4, 10, 16)
    for (row, column), cell in found.items():
        level = 51 + 20 * row if column == 0 else 120 + 20 * (column - 1)
        np.testing.assert_array_equal(cell[0, 0], [level] * 3)
        np.testing.assert_array_equal(cell[5, 8], [level] * 3)  # inside the block


def test_borders_are_drawn_in_the_colour_of_the_class_on_each_side():
    (cell, *_) = cells(picture(example(), 16), 2, 4, 10, 16).values()
    background, block = palette(3)[:2]
    np.testing.assert_array_equal(cell[3, 5:11], np.tile(block, (6, 1)))
    np.testing.assert_array_equal(cell[3:7, 10], np.tile(block, (4, 1)))
    np.testing.assert_array_equal(cell[2, 5:11], np.tile(background, (6, 1)))
    np.testing.assert_array_equal(cell[3:7, 4], np.tile(background, (4, 1)))
    assert (cell == 51).all(-1).sum() == 10 * 16 - 2 * 6 - 2 * 2 - 2 * 6 - 2 * 4


def test_pixels_without_label_are_hatched():
    (cell, *_) = cells(picture(example(label=255), 16), 2, 4, 10, 16).values()
    inside = {tuple(colour) for colour in cell[4:6, 6:10].reshape(-1, 3)}
    assert inside == {tuple(int(v) for v in 51 // 2 + stripe // 2) for stripe in HATCH}


def test_small_samples_are_enlarged_and_large_ones_reduced():
    page = picture(example(), 64)
    found = cells(page, 2, 4, 40, 64)
    np.testing.assert_array_equal(
        found[0, 0][3 * 4, 5 * 4 : 11 * 4], np.tile(palette(3)[1], (24, 1))
    )
    assert (found[0, 0][3 * 4 + 1, 6 * 4] == 51).all()  # lines stay one pixel wide
    cells(picture(example(size=(100, 160)), 40), 2, 4, 25, 40)


def test_crops_of_another_size_than_the_original_fit():
    augmented = example()
    augmented.draws[0][1] = pair(200 / 255, size=(14, 12))
    found = cells(picture(augmented, 16), 2, 4, 14, 16)
    np.testing.assert_array_equal(found[0, 2][13, 11], [200] * 3)
    assert (found[0, 2][0, 12] == 244).all()


def test_the_picture_keeps_to_its_budget():
    rng = np.random.default_rng(0)
    mask = np.zeros((100, 200), int)
    rows = [[(rng.random((100, 200, 3), dtype=np.float32), mask) for _ in "abc"] for _ in "abcd"]
    augmented = Augmented(list("abcd"), [row[0] for row in rows], [row[1:] for row in rows], 3)
    assert len(picture_uri(augmented, budget=10**9)) > 900_000
    assert len(picture_uri(augmented, budget=400_000)) <= 400_000


def test_the_file_is_the_picture(tmp_path):
    write_picture(tmp_path / "new" / "x-augmentation.png", example())
    (path,) = (tmp_path / "new").iterdir()
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture(example()))


def test_the_report_shows_it_with_the_ids_and_a_link():
    text = render(make_report(augmented=example()))
    _, _, rest = text.partition('<section id="augmentation">')
    section = rest.partition("</section>")[0]
    assert "tile 0, tile 1" in section
    uri = section.partition("data:image/png;base64,")[2].partition('"')[0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))))
    np.testing.assert_array_equal(shown, picture(example()))
    assert '<a href="#augmentation">' in text


def test_a_report_without_augmentation_says_so_and_has_no_section():
    text = render(make_report())
    assert "augmentation" not in text.lower().replace("no augmentation", "")
    assert "No augmentation: training saw the samples as they are." in text
