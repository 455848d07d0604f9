"""One mask under three images or more: at most one of them owns it."""

import numpy as np
import pytest

from tests.data.audit.planted import H, W, crop, scenes


def shared_of(found):
    (finding,) = [f for f in found.findings if f.kind == "shared_mask"]
    return finding


def unrelated(count: int, seed: int = 0):
    """Pictures whose masks have nothing to do with them: the fit shows nothing."""
    planted, masks = scenes(seed, 1), scenes(1, count).masks
    planted.images = [crop(planted.rng) for _ in range(count)]
    planted.masks = [np.roll(mask, 20, axis=1) for mask in masks]
    planted.splits = [None] * count
    return planted


@pytest.mark.parametrize("number", [3, 12])
def test_where_the_owner_cannot_be_shown_all_are_proposed_and_it_is_said(number):
    planted = unrelated(45)
    places = tuple(range(10, 10 + number))
    for i in places:
        planted.masks[i] = planted.masks[10]
    finding = shared_of(planted.audited())
    assert finding.members == finding.suspects == places
    assert "at most one of them owns it, and which one cannot be shown" in finding.reading
    assert "of which one may be genuine" in finding.reading
    assert finding.evidence["false_alarms_at_most"] == pytest.approx(1 / number, abs=1e-4)


def test_with_too_few_masks_to_judge_by_all_are_proposed_too():
    planted = unrelated(8)
    planted.masks[2] = planted.masks[5] = planted.masks[1]
    finding = shared_of(planted.audited())
    assert finding.suspects == (1, 2, 5)
    assert "too few masks" in finding.reading


def test_the_shown_owner_is_spared_and_its_probability_is_given():
    planted = scenes(3, 60)
    for i in (20, 21, 22, 23):
        planted.masks[i] = planted.masks[7]
    finding = shared_of(planted.audited())
    assert finding.members == (7, 20, 21, 22, 23)
    assert finding.suspects == (20, 21, 22, 23)
    chance = finding.evidence["ownership"]
    assert chance[7] >= 0.9
    assert finding.evidence["false_alarms_at_most"] == pytest.approx(1 - chance[7], abs=2e-4)


def test_copies_of_the_owner_are_spared_with_it():
    planted = scenes(3, 60)
    planted.add(planted.images[7], planted.masks[7])
    planted.masks[20] = planted.masks[21] = planted.masks[7]
    assert shared_of(planted.audited()).suspects == (20, 21)


def test_a_mask_of_one_class_is_nobodys_fault_with_a_rim_without_label_too():
    planted = unrelated(40)
    uniform = np.ones((H, W), np.int32)
    rim = uniform.copy()
    rim[:4], rim[-4:] = 255, 255
    for i in range(5):
        planted.masks[i], planted.masks[10 + i] = uniform, rim
    found = planted.audited()
    assert {f.kind for f in found.findings} == {"uniform_masks"}
    assert not any(f.suspects for f in found.findings)
    assert all("nothing but 1" in f.reading for f in found.findings)


def test_a_long_run_of_slices_does_not_hide_a_mask_that_was_copied_along_it():
    """Each frame is nearly the next one; those far apart are different pictures for all that."""
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[0].mean(axis=2).astype(np.uint8)
    planted = unrelated(40)
    planted.images = [photo[100 : 100 + H, 2 * k : 2 * k + W] for k in range(40)]
    places = (0, 13, 26, 39)
    for i in places:
        planted.masks[i] = planted.masks[0]
    assert shared_of(planted.audited()).suspects == places
