"""The images that the report of a detection shows."""

import numpy as np

from tfvision.detection.crowds import is_crowd
from tfvision.engine.predict import as_float
from tfvision.postprocess.boxes import pairwise_iou, take
from tfvision.recipe.read import native_scanned
from tfvision.report.detection_page import BoxedImage, BoxLayer
from tfvision.tasks.detection.reading import reading_of, truth_text
from tfvision.tasks.parts import Outcome

PROPOSALS = 40  # drawn of an image


def by_f1(outcome: Outcome, threshold: float) -> list[tuple[int, str]]:
    """(place, what is said of it) of the images of the split that is shown, the worst first.

    By F1 at the operating point; of equal ones those with more errors, or fewer boxes, first.
    Images without a box and without a detection are left out.
    """
    if outcome.split is None:
        return []
    evidence = outcome.scored[outcome.split].evidence.at(threshold)
    contract = outcome.recipe.contract
    f1, precision = (evidence.measure(name, contract) for name in ("f1", "precision"))
    right, found = precision.above[:, 0], precision.below[:, 0]
    truths = f1.below[:, 0] - found
    there = np.flatnonzero(f1.below[:, 0] > 0)
    score = f1.above[there, 0] / f1.below[there, 0]
    wrong = (found + truths - 2 * right)[there]
    order = np.lexsort((truths[there], -wrong, score))
    return [
        (
            int(there[i]),
            f"F1 {score[i]:.2f}: {right[there[i]]:.0f} of {truths[there[i]]:.0f} found, "
            f"{(found - right)[there[i]]:.0f} wrong",
        )
        for i in order
    ]


def strings_of(outcome: Outcome) -> list[tuple[str, str]]:
    """(true, read) of each image of the split that is shown; [] where none are read."""
    read = reading_of(outcome.recipe)
    if read is None or outcome.split is None:
        return []
    details = outcome.scored[outcome.split].details
    true = [truth_text(read, truth) for truth in details["truths"]]
    return list(zip(true, details["strings"], strict=True))


def misread(outcome: Outcome, most: int) -> list[BoxedImage]:
    """Images whose string is wrong, with the boxes that are read."""
    pairs = [(i, *pair) for i, pair in enumerate(strings_of(outcome)) if pair[0] != pair[1]]
    if not pairs:
        return []
    read_from = float(outcome.scored[outcome.split].evidence.read_from[0])
    return [
        boxed(outcome, place, f"read {read}, it is {true}", read_from)
        for place, true, read in pairs[:most]
    ]


def boxed(outcome: Outcome, place: int, text: str, threshold: float) -> BoxedImage:
    """An image of the split that is shown, with its boxes and those found from a score on."""
    scored, prepared = outcome.scored[outcome.split], outcome.prepared
    sample = native_scanned(prepared, prepared.indices(outcome.split)[place])
    answer, truth = scored.answers[place], scored.details["truths"][place]
    shown = take(answer, answer["scores"] >= threshold)
    layers = [
        BoxLayer("truth", truth["boxes"], truth["classes"]),
        BoxLayer("prediction", shown["boxes"], shown["classes"], shown["scores"]),
    ]
    return BoxedImage(scored.ids[place], outcome.split, sample.picture, layers, text)


def stages(outcome: Outcome) -> list[BoxedImage]:
    """The image with the most boxes, of the split that is shown, with the anchor that lies
    nearest to each box and with the best proposals."""
    split, predictor = outcome.split, outcome.predictor
    if split is None:
        return []
    scored = outcome.scored[split]
    truths = [take(t, ~is_crowd(t["classes"])) for t in scored.details["truths"]]
    place = int(np.argmax([len(t["classes"]) for t in truths]))
    truth = truths[place]
    if not len(truth["classes"]):
        return []
    sample = native_scanned(outcome.prepared, outcome.prepared.indices(split)[place])
    images = as_float([sample.image], [sample.scale])
    name, found = scored.ids[place], []
    boxes = BoxLayer("truth", truth["boxes"], truth["classes"])
    anchors = predictor.nearest_anchors(images, truth["boxes"])
    if anchors is not None:
        nearest, best = anchors
        layer = BoxLayer("anchors", nearest, values=best)
        text = (
            f"the anchor nearest to each box, dotted: IoU {best.min():.2f} to {best.max():.2f}; "
            f"{(best >= 0.5).sum()} of {len(best)} boxes have one of at least 0.5"
        )
        found.append(BoxedImage(name, split, sample.picture, [boxes, layer], text))
    first = predictor.proposals(images)
    if first is not None:
        there = first[1][0] > 0
        proposals, scores = first[0][0][there], first[1][0][there]
        order = np.argsort(-scores, kind="stable")
        best = pairwise_iou(truth["boxes"], proposals).max(axis=1, initial=0)
        text = (
            f"the {min(PROPOSALS, len(order))} best of {len(order)} proposals, thin; "
            f"{(best >= 0.5).sum()} of {len(best)} boxes have a proposal of IoU 0.5"
        )
        layer = BoxLayer("proposals", proposals[order][:PROPOSALS], values=scores[order])
        found.append(BoxedImage(name, split, sample.picture, [boxes, layer], text))
    return found
