"""Chains of near-duplicates: blocks, and the gap between splits."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.data.assigned import chain_near, data, random_data, shuffled, straddles
from tfvision.data.sources.source import Record
from tfvision.data.split.chain_blocks import Near, crossings, cut, leave_out, runs, straddling
from tfvision.data.split.holdout import holdout


def links(*pairs):
    return np.array(pairs, np.int64).reshape(-1, 2)


def no_pairs(chain):
    return np.zeros(len(chain) + 1, np.int64)


# --------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5, 0.9])
def test_blocks_are_contiguous_complete_and_of_the_length(phase):
    chain = list(range(100, 200))
    blocks = cut(chain, 20, no_pairs(chain), phase=phase)
    assert [i for block in blocks for i in block] == chain
    assert all(10 <= len(block) <= 30 for block in blocks)
    assert [len(block) for block in blocks[1:-1]] == [20] * (len(blocks) - 2)


def test_a_chain_shorter_than_a_block_and_a_half_is_whole():
    assert cut([3, 4, 5], 2.5, no_pairs([3, 4, 5]), phase=0.2) == [[3, 4, 5]]


def test_crossings_are_counted_as_by_hand():
    chain = [7, 3, 9, 1]  # the order of the chain counts, not that of the numbers
    pairs = links((3, 7), (1, 7), (3, 9), (2, 3))
    assert crossings(chain, pairs, 10).tolist() == [0, 2, 2, 1, 0]


def test_a_border_moves_to_where_fewest_pairs_cross():
    chain = list(range(40))
    near = [pair for pair in chain_near(chain, reach=3).pairs if not pair[0] <= 17 < pair[1]]
    blocks = cut(chain, 20, crossings(chain, links(*near), 40), phase=0)
    assert blocks == [chain[:18], chain[18:]]


def test_runs_end_where_a_sample_is_not_to_be_assigned():
    assert runs([0, 1, 3, 4, 5, 6, 7, 9], {0, 1, 3, 5, 6, 9}) == [[0, 1, 3], [5, 6]]


def test_a_part_is_in_order_where_long_chains_hold_a_quarter_of_it():
    labelled = [i != 7 for i in range(40)]
    _, records = data(np.ones((40, 1)), labelled=labelled)
    longer, shorter = Near(chains=[range(3, 14)]), Near(chains=[range(3, 12), [20, 21, 22]])
    short = Near(chains=[range(i, i + 4) for i in range(10, 38, 4)])
    assert longer.sequences(records) == [[*range(7), *range(8, 40)]]
    assert longer.sequences(records[:30] + [replace(r, part="b") for r in records[30:]]) == [
        [*range(7), *range(8, 30)]
    ]
    assert shorter.sequences(records) == [[3, 4, 5, 6, 8, 9, 10, 11], [20, 21, 22]]
    assert short.sequences(records) == [list(chain) for chain in short.chains]
    assert Near().sequences(records) == []


def test_frames_between_two_chains_are_not_shuffled():
    """A drive with slow stretches, which are chains, and fast ones, which are not."""
    found, records = random_data(0, count=240)
    slow = [range(start, start + 20) for start in range(0, 240, 40)]
    splits = holdout(found, records, seed=0, near=chain_near(*slow))
    assert not borders(splits, range(240))
    assert sum(a != b for a, b in pairwise(splits)) <= 24


# --------------------------------------------------------------------------- gap


@pytest.mark.parametrize(
    ("splits", "given", "left"),
    [
        (["train", "val"], [], [None, "val"]),
        (["test", "train"], [], ["test", None]),
        (["val", "test"], [], [None, "test"]),
        (["train", "test"], [0], ["train", None]),
        (["train", "test"], [1], [None, "test"]),
        (["val", "test"], [0], ["val", None]),
        (["train", "test"], [0, 1], ["train", "test"]),
        (["train", "train"], [], ["train", "train"]),
        ([None, "test"], [], [None, "test"]),
    ],
)
def test_who_of_two_is_left_out(splits, given, left):
    assert leave_out(splits, links((0, 1)), given=given) == left
    assert leave_out(splits[::-1], links((0, 1)), given=[1 - i for i in given]) == left[::-1]


def test_a_sample_that_is_left_out_spares_others():
    """The val sample goes for the test's sake; the train sample beside it may stay."""
    assert leave_out(["train", "val", "test"], links((0, 1), (1, 2))) == ["train", None, "test"]
    given = leave_out(["train", "val", "train"], links((0, 1), (1, 2)), given=[0])
    assert given == ["train", None, "train"]


def test_links_are_pairs_and_neighbours_of_samples_with_masks():
    _, records = data(np.ones((6, 1)), labelled=[True, True, False, True, True, True])
    near = Near(pairs=[(0, 4, 0.9), (1, 2, 0.9)], chains=[[1, 2, 3]])
    assert near.links(records).tolist() == [[0, 4], [1, 3]]
    assert Near().links(records).shape == (0, 2)


def test_loose_clusters_are_those_without_a_chain():
    _, records = data(np.ones((10, 1)))
    near = Near(clusters=[[0, 1, 2], [5, 9], [7, 8]], chains=[[0, 1, 2]])
    assert near.loose(records) == [[5, 9], [7, 8]]


def test_straddling_pairs_are_counted_and_the_first_is_named():
    records = [Record(i, "", None, i != "e", None, i) for i in "abcde"]
    splits = ["test", "train", "val", None, "train"]
    pairs = [(0, 1, 0.9), (0, 2, 0.9), (0, 3, 0.9), (1, 4, 0.9), (0, 4, 1.0), (2, 1, 0.8)]
    found = straddling(records, splits, pairs)
    assert [line.split(":")[0] for line in found] == [
        "1 pairs of nearly equal images stand in train and test (first",
        "1 pairs of nearly equal images stand in train and val (first",
        "1 pairs of nearly equal images stand in val and test (first",
    ]
    assert "'b' and 'a'" in found[0]


# --------------------------------------------------------------------------- hold-out


def borders(splits, chain):
    """Neighbours of a chain that stand in two different splits, with no gap between."""
    return [(i, j) for i, j in pairwise(chain) if len({splits[i], splits[j]} - {None}) == 2]


@pytest.mark.parametrize("seed", range(4))
def test_a_video_is_cut_into_few_blocks_with_gaps(seed):
    found, records = random_data(seed, count=200)
    near = chain_near(range(200))
    splits = holdout(found, records, seed=seed, near=near)
    assert not straddles(splits, near.pairs)
    assert not borders(splits, range(200))
    counts = Counter(splits)
    assert abs(counts["val"] - 40) <= 10
    assert abs(counts["test"] - 40) <= 10
    assert counts[None] <= 30
    stretches = Counter(s for s, t in pairwise([*splits, "end"]) if s != t and s is not None)
    assert stretches["val"] <= 4
    assert stretches["test"] <= 4


def test_the_gap_is_a_sample_wide_where_no_pair_crosses():
    """A chain that is known by its order alone: neighbours still do not straddle."""
    found, records = random_data(3, count=120)
    near = Near(chains=[range(120)], clusters=[range(120)])
    splits = holdout(found, records, seed=0, near=near)
    assert not borders(splits, range(120))
    assert 0 < splits.count(None) <= 12


def test_a_long_stretch_of_one_picture_is_not_cut():
    """60 frames before a red light are all alike; cut there, most would be left out."""
    found, records = random_data(0, count=200)
    near = chain_near(range(200), reach=1)
    still = [(i, j) for i in range(70, 130) for j in range(i + 1, 130)]
    near = Near([*near.pairs, *still], near.clusters, near.chains)
    splits = holdout(found, records, seed=1, near=near)
    assert len(set(splits[75:125])) == 1
    assert splits.count(None) < 20


def test_chains_and_samples_on_their_own_fill_the_shares():
    found, records = random_data(1, count=400)
    near = chain_near(range(150), range(150, 180), range(180, 190))
    splits = holdout(found, records, seed=0, near=near)
    counts = Counter(splits)
    assert abs(counts["val"] - 80) <= 4
    assert abs(counts["test"] - 80) <= 4
    assert counts[None] <= 16
    assert not straddles(splits, near.pairs)


def test_classes_of_a_chain_are_spread_better_than_by_chance():
    """Each class stands in some scenes of the video only, as in a drive through a town."""

    def distance(present, rows):
        return np.abs(present[rows].mean(axis=0) - present.mean(axis=0)).mean()

    ours, chance = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        present = np.repeat(rng.random((25, 4)) < [0.9, 0.5, 0.5, 0.3], 12, axis=0)
        found, records = data(present)
        splits = holdout(found, records, seed=seed, near=chain_near(range(300)))
        ours.append(distance(present, [i for i, s in enumerate(splits) if s == "val"]))
        blocks = rng.permutation(20)[:4]  # as many blocks of as many frames, anywhere
        chance.append(distance(present, [i for b in blocks for i in range(15 * b, 15 * b + 15)]))
        assert all(present[np.array(splits) == name].any(axis=0).all() for name in ("val", "test"))
    assert np.mean(ours) < 0.7 * np.mean(chance)


def test_seed_moves_the_blocks_and_the_order_of_records_does_not():
    found, records = random_data(2, count=80)
    near = chain_near(range(20, 38))
    splits = holdout(found, records, seed=1, near=near)
    assert splits == holdout(found, records, seed=1, near=near)
    assert splits != holdout(found, records, seed=2, near=near)
    found, records, near, order = shuffled(found, records, near)
    assert holdout(found, records, seed=1, near=near) == [splits[i] for i in order]


def test_a_group_in_a_chain_is_not_cut():
    """The slices of each patient follow each other, and the last are like the next's first."""
    groups = [f"patient {i // 20}" for i in range(200)]
    found, records = random_data(0, count=200, groups=groups)
    near = chain_near(range(200))
    splits = holdout(found, records, seed=0, near=near)
    sides = {}
    for group, split in zip(groups, splits, strict=True):
        sides.setdefault(group, set()).add(split)
    assert all(len(side - {None}) == 1 for side in sides.values())
    assert not borders(splits, range(200))


def test_a_chain_that_runs_into_a_given_test_set():
    given = [*[None] * 150, *["test"] * 50]
    found, records = random_data(0, count=200, splits=given)
    near = chain_near(range(200), reach=3)
    splits = holdout(found, records, seed=0, near=near)
    assert splits[150:] == ["test"] * 50
    assert splits[147:150] == [None] * 3
    assert not straddles(splits, near.pairs)
    assert abs(splits.count("val") - 30) <= 8
