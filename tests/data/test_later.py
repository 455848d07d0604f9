"""Truth that comes later: values of masks read alike, classes numbered by name; kinds of issues."""

import numpy as np
import pytest
import tifffile

from tests.data.make import image, mask, save
from tfvision.data.files.issue import Issue, by_kind, listing
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.renumbered import Renumbered
from tfvision.data.truth.alike import read_alike
from tfvision.errors import InputError


@pytest.mark.parametrize(
    ("seen", "own", "classes", "values", "said"),
    [
        ({0, 1}, [0, 255], 2, [0, 1], "masks hold {0, 1}, those of the run {0, 255}"),
        ({0, 255}, None, 2, [0, 255], "masks hold {0, 255}, those of the run {0, 1}"),
        ({1}, [0, 255], 2, [0, 1], "1 is read as 255"),
        ({0}, [0, 255], 2, [0, 255], ""),  # no object in any: nothing to tell apart
        ({0, 255}, [0, 255], 2, [0, 255], ""),
        ({0, 1}, None, 2, None, ""),
        ({0, 1, 255}, [0, 255], 2, [0, 255], ""),  # an error of the scan, which names the values
        ({0, 255}, None, 3, None, ""),  # 255 is no label there
        ({0, 1}, [3, 7], 2, [3, 7], ""),
    ],
)
def test_background_and_object_are_0_and_255_or_0_and_1(seen, own, classes, values, said):
    found, text = read_alike(seen, own, classes)
    assert found == values
    assert (said in text) if said else text == ""


def test_labels_are_numbered_as_the_run_numbers_them(tmp_path):
    for name in ("ant", "bee", "cow"):
        for seed in range(2):
            save(tmp_path / name / f"{seed}.png", image(seed + len(name) * ord(name[0])))
    source = open_source(tmp_path, truth="label")
    names = ["cow", "dog", "ant", "bee"]
    other = Renumbered(source, [names.index(n) for n in source.class_names], names, names)
    found = scan(other, class_names=names)
    assert not found.errors
    for i, record in enumerate(other.records):
        assert names[other.read(i).label] == record.label
    assert found.class_pixels.sum(axis=0).tolist() == [2, 0, 2, 2]
    # What was kept of the files under their own numbers is not taken for these.
    assert scan(source).class_pixels.sum(axis=0).tolist() == [2, 2, 2]


def test_warnings_are_one_line_a_kind_with_their_count_and_advice():
    issues = [
        Issue("warning", str(i), f"masks/{i}.png", f"a mask of {i} x 3 without an image", "Add it.")
        for i in range(1, 6)
    ]
    issues.append(Issue("warning", "", "masks", "the class 'sky' (2) stands in no mask", "Look."))
    issues.append(Issue("warning", "", "masks", "the class 'tree' (3) stands in no mask", "Look."))
    issues.append(Issue("warning", "", "x.png", "has no size"))
    assert by_kind(issues) == [
        "5 times, first masks/1.png, masks/2.png, masks/3.png: a mask of 1 x 3 without an image. "
        "Add it.",
        "2 times, first masks: the class 'sky' (2) stands in no mask. Look.",
        "x.png: has no size.",
    ]
    assert by_kind([]) == []


def test_errors_of_one_cause_are_one_line_with_the_first_three_files(tmp_path):
    """Six bands; masks that are missing, each named by its own name; errors beside warnings."""
    for i in range(11):
        name = "abcdefghijk"[i]
        (tmp_path / "six").mkdir(exist_ok=True)
        tifffile.imwrite(
            tmp_path / f"six/{name}.tif",
            np.full((8, 9, 6), i, np.uint8),
            photometric="minisblack",
            planarconfig="contig",
        )
        save(tmp_path / f"gaps/images/{name}.png", image(i))
    save(tmp_path / "gaps" / "masks" / "a.png", mask(0))
    with pytest.raises(InputError) as caught:
        scan(open_source(tmp_path / "six")).raise_for_errors()
    first, line = str(caught.value).split("\n")
    assert "11 problems in the data" in first
    assert line.startswith("  11 times, first a.tif, b.tif, c.tif: has 6 bands")
    lines = listing(scan(open_source(tmp_path / "gaps")).errors).split("\n")
    assert lines[0].startswith("  10 times, first images/b.png, images/c.png, images/d.png: has no")
    assert len(lines) < 4
    mixed = [Issue(kind, "", "x", "is 3 px") for kind in ("error", "warning", "error")]
    assert by_kind(mixed) == ["2 times, first x: is 3 px.", "x: is 3 px."]
