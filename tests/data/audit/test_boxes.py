"""Figures of boxes, planted: shares, crowding, sizes, objects with two boxes."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfvision.data.audit.boxes import collect, crowding, one_object_twice, overlaps, sizes

NAMES = ["cat", "dog"]


def fact(*boxes, size=(100, 200)):
    """What a scan keeps of a sample with boxes, each `x1 y1 x2 y2 class`."""
    return SimpleNamespace(
        height=size[0],
        width=size[1],
        boxes=tuple(tuple(map(float, box[:4])) for box in boxes),
        box_classes=tuple(box[4] for box in boxes),
    )


FACTS = [
    fact((0, 0, 10, 10, 0), (20, 0, 30, 40, 1), (20, 1, 30, 41, 0)),
    None,  # could not be read
    fact(),
    fact((50, 50, 90, 90.5, 1), (51, 50, 91, 90, 1), (190, 90, 201, 101, 0)),
]


def test_all_boxes_are_collected_cut_at_the_edge_of_the_image():
    table = collect(FACTS, [0, 1, 2, 3])
    assert table.of == (0, 2, 3)
    assert len(table) == 6
    assert table.images.tolist() == [0, 0, 0, 3, 3, 3]
    assert table.rows.tolist() == [0, 1, 2] * 2
    np.testing.assert_array_equal(table.boxes[-1], [190, 90, 200, 100])
    assert len(collect(FACTS, [2])) == 0
    assert collect(FACTS, [1]).of == ()


def test_crowds_are_no_boxes_and_rows_stay_those_of_the_image():
    table = collect([fact((0, 0, 99, 99, -2), (0, 0, 10, 10, 0), (0, 0, 10, 10, -3))], [0])
    assert (table.classes.tolist(), table.rows.tolist(), table.of) == ([0], [1], (0,))


def test_crowding_counts_pairs_of_one_image_alone():
    said = crowding(collect(FACTS, range(4)))
    assert (said["fewest"], said["median"], said["most"], said["images_without"]) == (0, 3, 3, 1)
    assert (said["overlapping_same_class"], said["overlapping_other_class"]) == (1, 1)
    twice = collect([fact((0, 0, 9, 9, 0)), fact((0, 0, 9, 9, 1))], [0, 1])
    assert crowding(twice)["overlapping_other_class"] == 0


def test_overlaps_are_those_of_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 60, (30, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 60, (30, 2))], -1)
    images = rng.integers(0, 3, 30)
    facts = [
        fact(*((*tuple(np.float32(b)), 0) for b in boxes[images == i]), size=(200, 200))
        for i in range(3)
    ]
    table = collect(facts, range(3))
    found, ious = overlaps(table, 0.3)
    expected = {}
    for i in range(30):
        for j in range(i + 1, 30):
            a, b = table.boxes[i], table.boxes[j]
            w, h = (max(0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
            areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
            value = w * h / (sum(areas) - w * h)
            if value > 0.3 and table.images[i] == table.images[j]:
                expected[i, j] = value
    assert expected
    assert set(map(tuple, found.tolist())) == set(expected)
    np.testing.assert_allclose(ious, [expected[tuple(pair)] for pair in found.tolist()])


def test_sizes_after_scaling_have_cocos_bounds_and_ratios_are_height_over_width():
    wide = fact((0, 0, 64, 16, 0), (0, 0, 6, 8, 0), size=(200, 200))
    tall = fact((0, 0, 96, 96, 0), (0, 0, 10, 40, 0), size=(200, 200))
    table = collect([wide, tall], [0, 1])
    own = sizes(table)
    assert own["size"] == [6.9282, 26.0, 96.0]
    assert own["ratio_hw"] == [0.25, 1.1667, 4.0]
    assert (own["small"], own["medium"], own["large"]) == (2, 1, 1)  # 32 and 96 belong above
    assert (own["below_8"], own["below_16"]) == (1, 1)
    seen = sizes(table.scaled({0: (0.5, 0.5), 1: (0.25, 0.5)}))
    assert seen["size"] == pytest.approx([3.4641, 11.5355, 33.9411])
    assert seen["ratio_hw"] == pytest.approx([0.25, 0.9167, 2.0], abs=1e-4)
    assert (seen["small"], seen["below_8"], seen["below_16"]) == (3, 2, 2)


def test_two_labels_on_one_object_are_a_warning_and_name_both():
    (conflict,) = one_object_twice([FACTS[0]], NAMES, [[]])
    assert conflict.kind == "conflicting_box_labels"
    assert conflict.severity == "warning"
    assert conflict.members == (0,)
    assert conflict.suspects == ()
    assert conflict.evidence["rows"] == {0: [1, 2]}
    text = conflict.evidence["boxes"][0][0]
    assert text == "dog (20, 0, 30, 40) and cat (20, 1, 30, 41), IoU 0.951"
    assert "1 pair of boxes (IoU above 0.9) on one object with two labels" in conflict.reading


def test_one_label_twice_is_a_note_and_a_little_overlap_is_nothing():
    (repeat,) = one_object_twice([None, FACTS[3], FACTS[3]], NAMES, [[], [], []])
    assert (repeat.kind, repeat.severity) == ("repeated_boxes", "note")
    assert repeat.members == (1, 2)
    assert repeat.evidence["pairs"] == 2
    apart = fact((0, 0, 10, 10, 0), (0, 2, 10, 12, 1))
    assert one_object_twice([apart, fact()], NAMES, [[], []]) == []


def test_a_label_that_the_reader_left_out_contradicts_the_one_it_kept():
    kept = fact((5, 5, 9, 9, 1), (1, 1, 4, 4, 0))
    (conflict,) = one_object_twice([kept], NAMES, [[((5.0, 5.0, 9.0, 9.0), 0)]])
    assert conflict.evidence["rows"] == {0: [0]}
    assert conflict.evidence["boxes"][0] == ["cat (5, 5, 9, 9), left out; counted as dog"]
    assert "1 box of these is left out of training (data.source.conflicts)" in conflict.reading
