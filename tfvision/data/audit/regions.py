"""Which of the images under one region looks unlike the others: the second signal, where the
borders of the region do not decide."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfvision.data.audit.background_features import chosen, small_images, summary
from tfvision.data.audit.finding import Finding
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Source

NEIGHBOURS = 3  # nearest images, whose mean distance is looked at
ENOUGH = 20  # other images, without which nothing is usual
UNLIKE, USUAL = 4.0, 2.0  # robust standard deviations of the distance's logarithm


def by_look(
    findings: Sequence[Finding], source: Source, scan: Scan, unit: Sequence[int], *, workers=2
) -> list[Finding]:
    """The findings; those on a shared region without suspects get another try.

    An image is suspected where its colours and texture are unlike those of all
    images of its class under other regions, as these are never to each other, while another
    image under the region is usual; where all of them are unlike the others, all are.
    """
    if not any(
        f.kind == "shared_mask" and f.severity == "warning" and not f.suspects for f in findings
    ):
        return list(findings)
    index = chosen(scan.facts, range(len(source)))
    index = sorted({*index, *(i for f in findings if f.kind == "shared_mask" for i in f.members)})

    small = small_images(source, index, workers)
    images = np.stack([image for image, _ in small.values()])
    found = dict(zip(small, summary(images, np.ones(images.shape[1:3], bool)), strict=True))
    return [_again(f, found, scan, unit) for f in findings]


def _again(finding: Finding, found: dict[int, np.ndarray], scan: Scan, unit) -> Finding:
    if finding.kind != "shared_mask" or finding.severity != "warning" or finding.suspects:
        return finding
    members = [i for i in finding.members if i in found]
    own = {unit[i] for i in members}
    others = [i for i in found if unit[i] not in own]
    if len(others) < ENOUGH:
        return finding
    unlike = _unlikeness(members, others, found, scan)
    odd = [i for i in members if unlike[i] > UNLIKE]
    usual = [i for i in members if unlike[i] < USUAL]
    evidence = {**finding.evidence, "unlike_its_class": {i: round(v, 2) for i, v in unlike.items()}}
    if not odd or len(odd) + len(usual) < len(members):
        reading = finding.reading + "; colours and texture do not decide either"
        return replace(finding, reading=reading, evidence=evidence)
    who = "all are" if not usual else f"{len(odd)} {'is' if len(odd) == 1 else 'are'}"
    text = (
        f"one mask under {len(own)} different images; {who} suspected (judged by colours and "
        "texture unlike those of the other images of the class, not by how the mask fits)"
    )
    return replace(finding, suspects=tuple(odd), reading=text, evidence=evidence)


def _unlikeness(
    members: Sequence[int], others: Sequence[int], found: dict[int, np.ndarray], scan: Scan
) -> dict[int, float]:
    """How far each member is from its nearest images, of its class where that has enough, in
    robust standard deviations of what is usual among these themselves."""
    labels = {
        i: int(scan.class_pixels[i].argmax()) if scan.class_pixels[i].any() else -1 for i in found
    }
    values = np.stack([found[i] for i in others])
    centre, spread = values.mean(axis=0), values.std(axis=0)
    scaled = {i: (found[i] - centre) / np.maximum(spread, 0.05) for i in [*members, *others]}
    result = {}
    for i in members:
        mates = [j for j in others if labels[j] == labels[i]]
        mates = mates if len(mates) >= ENOUGH else others
        x = np.stack([scaled[j] for j in mates])
        within = np.sqrt(np.maximum(_squared(x, x), 0))
        np.fill_diagonal(within, np.inf)
        usual = np.log(np.sort(within, axis=1)[:, :NEIGHBOURS].mean(axis=1) + 1e-6)
        here = np.sort(np.sqrt(np.maximum(_squared(scaled[i][None], x)[0], 0)))[:NEIGHBOURS].mean()
        middle = np.median(usual)
        width = max(1.4826 * float(np.median(np.abs(usual - middle))), 0.05)
        result[i] = float((np.log(here + 1e-6) - middle) / width)
    return result


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
