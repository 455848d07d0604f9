"""Groups by a pattern on the id."""

import pytest

from tfvision.data.sources.source import Record
from tfvision.data.split.groups import group_by
from tfvision.errors import InputError


def records_of(ids, labelled=True, group=None):
    return [Record(i, "", None, labelled, group, f"file {i}") for i in ids]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"^(patient\d+)_", ["patient1", "patient1", "patient22"]),
        (r"patient\d", ["patient1", "patient1", "patient2"]),
        (r"(?:left|right)/(.)", None),
        (r"_(\d*)$", ["4", "5", "4"]),
    ],
)
def test_the_first_group_or_the_whole_match_names_the_group(pattern, groups):
    records = records_of(["patient1_4", "patient1_5", "patient22_4"])
    if groups is None:
        with pytest.raises(InputError, match="names no group for 3 of 3 samples"):
            group_by(records, pattern)
    else:
        assert [record.group for record in group_by(records, pattern)] == groups


def test_ids_without_a_match_are_shown_up_to_three():
    records = records_of(["p1_a", "x", "p_b", "", "y", "p2_c"])
    with pytest.raises(InputError, match=r"for 4 of 6 samples: 'x', 'p_b', '', .*in every id"):
        group_by(records, r"^p(\d*)_")  # an empty group is none


def test_samples_without_masks_need_no_group():
    records = [*records_of(["p1_a", "p2_a"]), *records_of(["other"], labelled=False)]
    assert [record.group for record in group_by(records, r"^p\d")] == ["p1", "p2", None]


def test_groups_of_the_data_and_a_pattern_contradict_each_other():
    with pytest.raises(InputError, match=r"itself \(file a: 'left'\)\. Leave data\.groups"):
        group_by(records_of(["a"], group="left"), "a")
