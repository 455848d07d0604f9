"""The truth beside what every rung predicts, on the same test images."""

from collections.abc import Mapping

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.recipe.read import native_scanned
from tfvision.report.overlay import png_bytes
from tfvision.studies.study.plan import StudyPlan
from tfvision.studies.study.scores import RungScores
from tfvision.tasks.facts import facts_of, load


def write_pictures(plan: StudyPlan, scores: Mapping[str, RungScores]) -> list[dict[str, str]]:
    """Writes `pictures/<n>.png` of three test images: of the lowest, the middle and the highest
    mean over the rungs of the image's own score, by runs of the first seed.

    Args:
        plan: The ladder.
        scores: What each rung that has runs is scored by.

    Returns:
        `file`, relative to the ladder's folder, and `text` of each; [] where the task draws none
        or no test split is scored.
    """
    facts, first = facts_of(plan.study.task), next(iter(scores.values()))
    if not facts.side_by_side or plan.study.scored != "test":
        return []
    evidence = [each.first(first.ids) for each in scores.values()]
    own = np.mean([its.image_scores(first.score, first.contract) for its in evidence], axis=0)
    order = [int(i) for i in np.argsort(own, kind="stable") if np.isfinite(own[i])]
    if not order:
        return []
    chosen = dict.fromkeys([order[0], order[len(order) // 2], order[-1]])
    prepared, members = plan.prepared, plan.prepared.indices("test")
    places = [members[i] for i in chosen]  # the evidence is in the order of the split
    runs = {name: each.runs[0].folder for name, each in scores.items()}
    samples = [(prepared.source.records[i].id, native_scanned(prepared, i)) for i in places]
    drawn = load(facts.side_by_side)(runs, "test", samples, prepared.class_names)
    found = []
    for number, (i, picture) in enumerate(zip(chosen, drawn, strict=True), 1):
        file = f"pictures/{number}.png"
        write_bytes(plan.out / file, png_bytes(picture))
        title = facts.score(first.score).title
        text = f"{first.ids[i]}: truth, then every rung; mean {title} of this image {own[i]:.3f}"
        found.append({"file": file, "text": text})
    return found
