"""Masks that belong to another image, or slipped: judged by how mask and image fit."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tfvision.data.audit.finding import Finding
from tfvision.data.audit.similar_images import Pictures
from tfvision.data.scan.mask_fit import Calibration, Fit, calibrate, measure_fit
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.sketch import unpack_map

CONTROLS = 300  # masks laid on images that are not theirs
OWNER, STRANGER = 3.0, 0.5  # ratios: fits on its own; fits rather worse than own masks do
SHOWN = 0.9  # probability of being the owner from which it is
POSSIBLE = 0.02  # probability of being the owner below which a member is suspected
NO_EDGES = Fit(0.0, 0.0, 0.0, 0.0)
SLIPPED = 2.0  # pixels that a mask must be off at least

AllFacts = Sequence[Facts | None]


def masks_under(facts: AllFacts, labelled: Sequence[bool]) -> dict[str, list[int]]:
    """Mask hash -> the labelled samples that hold it."""
    pairs = zip(facts, labelled, strict=True)
    return _holders([fact.truth_sha256 if fact and has else "" for fact, has in pairs])


def regions_under(facts: AllFacts) -> dict[str, list[int]]:
    """Region hash -> the samples that hold it, labelled or not."""
    return _holders(["" if fact is None else fact.region_sha256 for fact in facts])


def _holders(hashes: Sequence[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, value in enumerate(hashes):
        if value:
            groups.setdefault(value, []).append(index)
    return groups


def _only_value(fact: Facts, ignore: int | None) -> int | None:
    """The one value a mask or region holds, "no label" aside; None where it holds several."""
    if fact.region_sha256:
        whole = fact.height * fact.width
        return {0: 0, whole: 1}.get(fact.region_pixels)
    values = set(fact.values) - {ignore} or set(fact.values)
    return next(iter(values)) if len(values) == 1 else None


def settle(
    facts: AllFacts, groups: Mapping[str, Sequence[int]], unit: Sequence[int]
) -> Calibration | None:
    """What fits are usual here, from masks that only one picture holds.

    Args:
        facts: Of each sample.
        groups: As `masks_under` gives them.
        unit: A number of each sample's picture; near-duplicates share it.
    """
    alone = [members[0] for members in groups.values() if len({unit[i] for i in members}) == 1]
    alone = [i for i in alone if facts[i].sketch.fit is not None]
    own = [facts[i].sketch.fit for i in alone]
    return calibrate(own, _control(facts, alone, unit))


def _control(facts: AllFacts, alone: Sequence[int], unit: Sequence[int]) -> list[Fit]:
    """Fits of masks on images that are not theirs; which ones is a matter of the hashes, so
    that the order of the samples is not."""
    order = sorted(alone, key=lambda i: facts[i].image_sha256 + facts[i].truth_sha256)
    borders = {}
    for i in order[: 2 * CONTROLS]:
        borders[i] = unpack_map(facts[i].sketch.borders)
    fits = []
    for i, j in [*pairwise(borders), *zip(borders, list(borders)[7:], strict=False)][:CONTROLS]:
        edges = unpack_map(facts[i].sketch.edges)
        if edges.shape == borders[j].shape and unit[i] != unit[j]:
            fit = measure_fit(edges, borders[j])
            fits += [] if fit is None else [fit]
    return fits


def shared(
    groups: Mapping[str, Sequence[int]],
    facts: AllFacts,
    pictures: Pictures,
    usual: Calibration | None,
    *,
    ignore: int | None = None,
) -> list[Finding]:
    """A finding for each mask under several pictures.

    Args:
        groups: As `masks_under` gives them.
        facts, pictures: Of all samples.
        usual: What `settle` found.
        ignore: The value that means "no label".
    """
    findings = []
    for members in groups.values():
        unit = pictures.apart(members)
        if len(set(unit.values())) > 1:
            if _only_value(facts[members[0]], ignore) is not None:
                findings.append(_uniform(members, facts, ignore))
            else:
                findings.append(_shared(list(members), facts, unit, usual))
    return findings


def _uniform(members: Sequence[int], facts: AllFacts, ignore: int | None) -> Finding:
    value = _only_value(facts[members[0]], ignore)
    reading = (
        f"{len(members)} images have a mask that holds nothing but {value}: such masks are "
        "equal without being copies, and nothing speaks against them"
    )
    return Finding(
        "uniform_masks", "note", tuple(members), (), reading=reading, evidence={"value": int(value)}
    )


def _shared(
    members: list[int], facts: AllFacts, unit: Mapping[int, int], usual: Calibration | None
) -> Finding:
    fits = {i: facts[i].sketch.fit for i in members}
    number = len(set(unit.values()))
    evidence: dict[str, Any] = {"fit": {i: fit.here for i, fit in fits.items() if fit}}
    ratio: dict[int, float] = {}
    if usual is None or not any(fits.values()):
        why = "its borders are too short" if usual is not None else why_not(usual)
    else:
        evidence.update(calibration_evidence(usual))
        why = "" if usual.informative else why_not(usual)
        if usual.informative or number > 2:
            # The borders are the same for all: where some have a fit, the others have no edges.
            for i, fit in fits.items():
                ratio[unit[i]] = max(ratio.get(unit[i], 0.0), usual.ratio(fit or NO_EDGES))
    chance = _ownership(ratio)
    fitting = [u for u, value in ratio.items() if value >= OWNER and usual.informative]
    owners = {u for u, value in chance.items() if value >= SHOWN}
    if ratio:
        evidence["ownership"] = {i: round(chance[unit[i]], 4) for i in members}
    if len(fitting) == number:
        strangers = set()
    elif owners or number > 2:  # at most one owns it
        strangers = set(unit.values()) - owners
    else:
        strangers = _strangers(ratio, usual, fitting) if ratio else set()
    suspects = [i for i in members if unit[i] in strangers]
    if number > 2 and suspects:
        wrong = 1 - max(chance[u] for u in owners) if owners else 1 / number
        evidence["false_alarms_at_most"] = round(wrong, 4)
    reading = f"one mask under {number} different images; "
    reading += _reading(suspects, fitting, owners, number, why=why)
    severity = "note" if len(fitting) == number else "warning"
    return Finding(
        "shared_mask", severity, tuple(members), tuple(suspects), reading=reading, evidence=evidence
    )


def _ownership(ratio: Mapping[int, float]) -> dict[int, float]:
    """How probably a mask belongs to each of the pictures it lies under.

    A mask that is no accident was drawn on one picture, or on none of these; both are equally
    likely a priori. `ratio` says how much likelier each fit is for the owner, so Bayes' rule
    gives the probability of each to be it.
    """
    whole = len(ratio) + sum(ratio.values())
    return {u: value / whole for u, value in ratio.items()}


def _strangers(ratio: Mapping[int, float], usual: Calibration, fitting: Sequence[int]) -> set[int]:
    """Of two pictures without a shown owner, those that the mask does not belong to.

    Where both fit, the mask may be right for both; where none fits, both are suspected only if
    own masks never fit so badly here.
    """
    if len(fitting) > 1 or (not fitting and not usual.sharp):
        return set()
    chance = _ownership(ratio)
    return {u for u, value in ratio.items() if value < STRANGER and chance[u] < POSSIBLE}


def _reading(suspects, fitting, owners, number: int, *, why: str) -> str:
    signal = "judged by how well the mask's borders match edges of the image"
    why = why or ("" if not fitting else "the fits are too much alike")
    if len(fitting) == number:
        return f"it fits all of them: it may well be right ({signal})"
    if not suspects:
        return f"which of them it belongs to is undecided: {why or 'the fits are too much alike'}"
    if owners or (number == 2 and fitting):
        verb = "is" if len(suspects) == 1 else "are"
        return f"it fits one of them; {len(suspects)} {verb} suspected ({signal})"
    if number == 2:
        return f"it fits none of them, so those named are suspected ({signal})"
    who = "all of them are suspected, of which one may be genuine"
    if not why:
        return f"it fits none of them, so {who} ({signal})"
    return f"at most one of them owns it, and which one cannot be shown: {why}; so {who}"


def misfits(
    groups: Mapping[str, Sequence[int]],
    facts: AllFacts,
    pictures: Pictures,
    usual: Calibration | None,
) -> list[Finding]:
    """Masks of one picture that fit it only when they are moved, or not at all."""
    if usual is None or not usual.informative:
        return []
    findings = []
    for members in groups.values():
        if len(set(pictures.apart(members).values())) > 1:
            continue
        for i in members:
            fit = facts[i].sketch.fit
            if fit is None:
                continue
            evidence = {"fit": fit.here, "fit_moved": fit.best, **calibration_evidence(usual)}
            off = float(np.hypot(fit.dy, fit.dx))
            clear = max(usual.other_best + 1, fit.here + 3)
            if off >= max(SLIPPED, 4 * usual.slack) and fit.best >= clear:
                down, right = round(fit.dy), round(fit.dx)
                evidence.update(dy=down, dx=right)
                reading = (
                    f"the mask fits its image only when it is moved by {down} pixels down and "
                    f"{right} to the right (judged by how well its borders match edges of the "
                    "image)"
                )
                findings.append(
                    Finding(
                        "shifted_mask", "warning", (i,), (i,), reading=reading, evidence=evidence
                    )
                )
            elif usual.sharp and usual.ratio(fit) < POSSIBLE:
                reading = (
                    f"the mask's borders lie on edges of its image no better than another "
                    f"image's mask would (fit {fit.here:.1f}; usual here {usual.own[0]:.1f}, of "
                    f"other masks {usual.other[0]:.1f})"
                )
                findings.append(
                    Finding(
                        "doubtful_mask", "warning", (i,), (i,), reading=reading, evidence=evidence
                    )
                )
    return findings


def better_mask(
    members: Sequence[int], facts: AllFacts, usual: Calibration | None
) -> tuple[list[int], str, dict[str, Any]]:
    """Which samples of one image hold the wrong mask.

    Returns:
        The suspects, the end of the reading, and the evidence.
    """
    fits = {i: facts[i].sketch.fit for i in members}
    evidence: dict[str, Any] = {"fit": {i: fit.here for i, fit in fits.items() if fit}}
    if usual is None or not usual.informative:
        return [], "which mask is right is undecided: " + why_not(usual), evidence
    evidence.update(calibration_evidence(usual))
    ratio = {i: usual.ratio(fit) for i, fit in fits.items() if fit is not None}
    best = max(ratio.values(), default=0.0)
    suspects = [i for i, value in ratio.items() if value < STRANGER and value < best * POSSIBLE]
    if best < OWNER or not suspects:
        return [], "which mask is right is undecided: the masks fit alike", evidence
    text = (
        f"{len(suspects)} of the masks lie on edges of the image no better than another image's "
        "would, while one fits: those are suspected"
    )
    return suspects, text, evidence


def why_not(usual: Calibration | None) -> str:
    if usual is None:
        return "there are too few masks to learn from how a mask fits its image here"
    return "in this data set masks fit other images about as well as their own"


def calibration_evidence(usual: Calibration) -> dict[str, Any]:
    return {
        "fit_of_own_masks": [round(value, 2) for value in usual.own],
        "fit_of_other_masks": [round(value, 2) for value in usual.other],
    }
