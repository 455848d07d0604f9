"""The anchors of detectors from their arguments alone: those that the built detector has."""

import subprocess
import sys

import numpy as np
import pytest

from tfvision.detection.grids import GRIDS, grid_of, ratios_of
from tfvision.errors import InputError
from tfvision.models import DETECTORS
from tfvision.registry import Spec

SMALL = {"channels": 4, "backbone": {"name": "slim_resnet", "width": 4}}
CASES = [
    ("faster_rcnn", {}),
    ("faster_rcnn", {"levels": [2, 3, 4, 5, 6], "ratios_hw": [1.0, 3.0], "anchor_offset": 0.0}),
    ("retinanet", {"whole_anchors": True}),
    ("retinanet", {"levels": [4, 5, 6], "anchor_sizes": [[8, 9], [20, 30], [50, 60]]}),
    ("ssd", {}),
    ("ssd", {"levels": [3, 4], "extras": [], "anchor_sizes": [9, 20, 44], "longest": 30}),
    ("ssd", {"levels": [3, 4], "extras": [], "ratios": [[2, 3], [2]], "anchor_steps": [8, 18]}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_they_are_those_of_the_built_detector(name, arguments):
    grid, stride = grid_of(name, {**arguments, "max_detections": 7})
    small = {k: v for k, v in SMALL.items() if name != "ssd" or k != "channels"}
    spec = Spec(name=name, **arguments, **small)
    model = DETECTORS.build(spec, input_shape=(None, None, 1), num_classes=2)
    built = getattr(model, "grid", None) or model.anchors
    assert stride == model.stride
    maps = [(3, 2)] * len(grid.strides)
    for ours, theirs in zip(grid.of(maps), built.of(maps), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_detector_has_a_grid():
    assert set(GRIDS) == set(DETECTORS)
    assert grid_of("of_someone_else", {}) is None


def test_ratios_are_told_where_anchors_are_sizes_by_ratios():
    assert ratios_of("faster_rcnn", {}) == (0.5, 1.0, 2.0)
    assert ratios_of("retinanet", {"ratios_hw": [1, 2]}) == (1, 2)
    assert ratios_of("ssd", {"ratios": [[2]]}) is None
    for name in ("faster_rcnn", "retinanet"):
        grid, _ = grid_of(name, {})
        ratios = {round(h / w, 9) for level in grid.shapes for h, w in level}
        assert ratios == set(ratios_of(name, {}))


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("faster_rcnn", {"levels": [3, 5]}, "levels must follow one another"),
        ("faster_rcnn", {"anchor_sizes": [[8]]}, "anchor_sizes must have one entry for each of"),
        ("retinanet", {"anchor_sizes": 8}, "of retinanet make no anchors"),
        ("retinanet", {"ratios_hw": [0]}, "ratios_hw must be numbers above 0"),
        ("ssd", {"anchor_sizes": [8, 9]}, "anchor_sizes, but for the last"),
        ("ssd", {"ratios": [[2], [-1], [2], [2]]}, "must be above 0"),
    ],
)
def test_arguments_that_make_no_anchors_are_refused(name, arguments, match):
    with pytest.raises(InputError, match=match):
        grid_of(name, arguments)


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from tfvision.detection.grids import grid_of; grid_of('ssd', {}); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
