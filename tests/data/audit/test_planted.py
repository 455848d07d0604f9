"""Faults planted among embedded scenes: all found, nobody genuine named, readings right.

Two seeds each; the order of samples is shuffled, so that nothing can go by it.
"""

import numpy as np
import pytest

from tests.data.audit.planted import H, W, again, crop, moved, scenes, stain, strangers

SEEDS = [1, 2]
COUNT = 100


def suspects(found) -> set[int]:
    return {i for finding in found.findings for i in finding.suspects}


def of_kind(found, *kinds):
    return [finding for finding in found.findings if finding.kind in kinds]


@pytest.mark.parametrize("owner", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_twelve_intruders_under_one_mask_among_masks_rightly_equal(seed, owner):
    planted = scenes(seed, COUNT)
    copied = planted.masks[0]
    empty = {planted.add(crop(planted.rng), np.zeros((H, W), np.int32)) for _ in range(25)}
    planted.faulty = {planted.add(image, copied) for image in strangers(planted, 12)}
    if not owner:
        planted.masks[0] = np.zeros((H, W), np.int32)
    mates = planted.faulty | {0} if owner else set(planted.faulty)
    planted.groups = [mates, empty | (set() if owner else {0})]
    planted = planted.shuffled()
    found = planted.audited()
    assert suspects(found) == planted.faulty
    (shared,) = of_kind(found, "shared_mask")
    assert set(shared.members) == planted.groups[0]
    says = "fits one of them; 12 are suspected" if owner else "fits none of them"
    assert says in shared.reading
    assert "borders match edges" in shared.reading
    (uniform,) = of_kind(found, "uniform_masks")
    assert uniform.severity == "note"
    assert set(uniform.members) == planted.groups[1]
    assert not uniform.suspects
    assert len(found.findings) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_intruders_each_with_the_mask_of_another_image(seed):
    planted = scenes(seed, COUNT)
    for owner, image in enumerate(strangers(planted, 20)):
        intruder = planted.add(image, planted.masks[owner])
        planted.faulty.add(intruder)
        planted.groups.append({owner, intruder})
    planted = planted.shuffled()
    found = planted.audited()
    named = suspects(found)
    assert named <= planted.faulty
    assert len(named) >= 0.95 * 20
    assert {finding.kind for finding in found.findings} == {"shared_mask"}
    assert sorted(map(sorted, planted.groups)) == sorted(list(f.members) for f in found.findings)
    for finding in found.findings:
        held = "fits one of them; 1 is suspected" in finding.reading
        assert held or "is undecided" in finding.reading
        assert held == bool(finding.suspects)


@pytest.mark.parametrize("seed", SEEDS)
def test_fifteen_stained_copies(seed):
    planted = scenes(seed, COUNT)
    for original in range(15):
        copy = planted.add(stain(planted.images[original], planted.rng), planted.masks[original])
        planted.faulty.add(copy)
        planted.groups.append({original, copy})
    planted = planted.shuffled()
    found = planted.audited()
    named = suspects(found)
    assert named <= planted.faulty
    assert len(named) >= 0.7 * 15
    groups = [set(finding.members) for finding in of_kind(found, "near_duplicates")]
    assert sum(group in groups for group in planted.groups) >= 0.95 * 15
    assert all(group in planted.groups for group in groups)
    assert {finding.kind for finding in found.findings} == {"near_duplicates"}
    assert not found.chains
    for finding in found.findings:
        assert "with the same mask" in finding.reading
        assert bool(finding.suspects) == ("suspected to be the altered copy" in finding.reading)
        assert finding.suspects or "is undecided" in finding.reading


@pytest.mark.parametrize("seed", SEEDS)
def test_five_leaks(seed):
    planted = scenes(seed, COUNT)
    planted.splits = ["train"] * 70 + ["test"] * 30
    for leaked in range(5):
        image = planted.images[leaked]
        copy = image if leaked < 3 else again(image, planted.rng)
        planted.groups.append({leaked, planted.add(copy, planted.masks[leaked], "test")})
    planted = planted.shuffled()
    found = planted.audited()
    exact, near = of_kind(found, "leak"), of_kind(found, "near_leak")
    assert [set(f.members) for f in exact] == sorted(planted.groups[:3], key=sorted)
    assert [set(f.members) for f in near] == sorted(planted.groups[3:], key=sorted)
    assert {f.severity for f in exact} == {"error"}
    assert {f.severity for f in near} == {"warning"}
    assert all("train and test" in finding.reading for finding in found.findings)
    assert len(found.findings) == 5
    assert not suspects(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_shifted_masks(seed):
    planted = scenes(seed, COUNT)
    shifts = {}
    for index in range(10):
        angle, length = planted.rng.uniform(0, 2 * np.pi), planted.rng.uniform(4, 10)
        shift = round(length * np.sin(angle)), round(length * np.cos(angle))
        planted.masks[index] = moved(planted.masks[index], *shift)
        planted.faulty.add(index)
        planted.groups.append({index})
        shifts[index] = shift
    planted = planted.shuffled()
    found = planted.audited()
    named = suspects(found)
    assert named <= planted.faulty
    assert len(named) >= 0.95 * 10
    shifted = of_kind(found, "shifted_mask")
    assert len(shifted) >= 8
    assert len(shifted) + len(of_kind(found, "doubtful_mask")) == len(found.findings)
    for finding in shifted:
        dy, dx = shifts[planted.groups.index(set(finding.members))]
        assert abs(finding.evidence["dy"] + dy) <= 1
        assert abs(finding.evidence["dx"] + dx) <= 1
        assert "only when it is moved" in finding.reading
