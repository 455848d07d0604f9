"""What a summary says of a detection: scores, and an operating point that validation chose."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.report.detection_example import CAT, DOG, NOTHING, evidence_of, planted
from tests.support.detections import answer, random_case, truth
from tfvision.metrics import Contract
from tfvision.metrics.coco import coco_numbers
from tfvision.metrics.detections import DetectionEvidence
from tfvision.registry import Spec
from tfvision.tasks.detection import results, shown
from tfvision.tasks.scored import Scored


def recipe_of(num_classes: int = 2, *, metric: str = "ap", rules=(), exclude=()):
    config = SimpleNamespace(metrics=[Spec(name=metric)], postprocess=tuple(rules), reading=None)
    contract = Contract(exclude_classes=exclude)
    return SimpleNamespace(config=config, contract=contract, num_classes=num_classes)


def scored_of(split: str) -> Scored:
    answers, truths = planted(split)
    return Scored(evidence_of(split), answers, {"truths": truths})


def outcome_of(*splits: str):
    """A run that has been scored, as far as results look at it."""
    return SimpleNamespace(
        recipe=recipe_of(),
        scored={split: scored_of(split) for split in splits},
        split="test" if "test" in splits else splits[0],
    )


def test_the_threshold_is_that_of_validation_where_test_would_choose_another():
    point = results.operating_point(recipe_of(), outcome_of("val", "test").scored)
    alone = results.operating_point(recipe_of(), {"val": scored_of("test")})
    assert point["threshold"] == np.float32(0.8)
    assert alone["threshold"] == np.float32(0.4)  # what test would have chosen
    assert point["chosen_on"] == "val"
    assert point["by_class"] == [np.float32(0.8)] * 2
    assert point["splits"]["val"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    # From 0.8 on test has one box, and it is wrong.
    assert point["splits"]["test"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    json.dumps(point, allow_nan=False)


def test_without_validation_the_threshold_is_a_half_and_nobody_chose_it():
    point = results.operating_point(recipe_of(), {"test": scored_of("test")})
    assert (point["threshold"], point["by_class"], point["chosen_on"]) == (0.5, [0.5, 0.5], None)
    lines = results.insight_lines({"operating_point": point, "errors": {}})
    assert lines == [
        "from a score of 0.500 on (validation chose none): test precision 0.0000, recall "
        "0.0000, F1 0.0000"
    ]


def test_a_class_that_is_not_counted_has_no_say_in_the_threshold():
    wrong = [(1, 0.6, NOTHING)] * 3
    answers = [answer((0, 0.9, CAT), (1, 0.2, DOG), *wrong)]
    evidence = DetectionEvidence.of(["a"], answers, [truth((0, CAT), (1, DOG))], 2)
    scored = {"val": Scored(evidence, answers, {})}
    assert results.operating_point(recipe_of(), scored)["threshold"] == np.float32(0.9)
    only_dogs = results.operating_point(recipe_of(exclude=(0,)), scored)
    assert only_dogs["threshold"] == np.float32(0.2)
    assert only_dogs["splits"]["val"] == {"precision": 0.25, "recall": 1.0, "f1": 0.4}


def test_where_validation_finds_nothing_the_threshold_is_a_half():
    evidence = DetectionEvidence.of(["a"], [answer()], [truth((0, CAT))], 2)
    point = results.operating_point(recipe_of(), {"val": Scored(evidence, [answer()], {})})
    assert point["threshold"] == 0.5
    assert point["splits"]["val"] == {"precision": None, "recall": 0.0, "f1": 0.0}


def test_the_entry_of_a_split_has_the_numbers_of_coco():
    answers, truths = random_case(3, images=8)
    evidence = DetectionEvidence.of([str(i) for i in range(8)], answers, truths, 3)
    found = results.metrics_of(recipe_of(3), Scored(evidence, answers, {}), ["a", "b", "c"])
    expected = coco_numbers(answers, truths, 3)
    assert {key: found[key] for key in expected} == expected
    assert found["num_images"] == 8
    assert found["num_boxes"] == sum(found["per_class_boxes"])
    assert found["num_boxes"] == sum((~one["crowd"]).sum() for one in truths)
    assert len(found["per_class_ap50"]) == 3
    assert "f1" not in found  # of which threshold?
    declared = results.metrics_of(recipe_of(3, metric="f1"), Scored(evidence, answers, {}), "abc")
    assert 0 < declared["f1"] < 1


def test_score_lines_begin_with_the_images_and_end_with_the_classes_weakest_first():
    scored = scored_of("test")
    lines = results.score_lines(results.metrics_of(recipe_of(), scored, []), ["cat", "dog"])
    cat, dog = (one.value() for one in scored.evidence.classes("ap", None))
    assert dog < cat
    assert lines[0].startswith("6 images, 12 boxes: AP 0.")
    assert lines[1].startswith("  AP of small ")
    assert lines[1].endswith("large -")
    assert lines[3] == f"  dog                  AP {dog:.4f}, AP50 {dog:.4f}  (6 boxes)"
    assert lines[4].startswith("  cat ")


def test_what_goes_wrong_is_said_by_what_mending_gains():
    entries, pictures = results.insights(outcome_of("val", "test"))
    assert pictures is None
    assert entries["errors"]["val"]["counts"]["background"] == 6
    assert entries["errors"]["test"]["counts"]["class"] == 1
    json.dumps(entries, allow_nan=False)
    first, second = results.insight_lines(entries)
    assert first.startswith("from a score of 0.800 on (the best F1 on validation): val precision 1")
    assert second.startswith("what mending errors would add to AP50 on test: class +0.")


def test_images_are_ordered_by_f1_at_the_operating_point_and_said_so():
    outcome = outcome_of("val", "test")
    by_place = dict(shown.by_f1(outcome, 0.4))
    assert by_place[0] == "F1 1.00: 2 of 2 found, 0 wrong"
    assert by_place[5] == "F1 0.50: 1 of 2 found, 1 wrong"
    assert next(place for place, _ in shown.by_f1(outcome, 0.4)) == 5
    strict = shown.by_f1(outcome, 0.8)
    assert strict[0] == (5, "F1 0.00: 0 of 2 found, 1 wrong")
    assert strict[1][1] == "F1 0.00: 0 of 2 found, 0 wrong"


def test_an_image_with_nothing_to_find_and_nothing_found_is_neither_worst_nor_best():
    answers, truths = [answer(), answer((0, 0.9, CAT))], [truth(), truth((0, CAT))]
    evidence = DetectionEvidence.of(["empty", "cat"], answers, truths, 2)
    outcome = outcome_of("test")
    outcome.scored["test"] = Scored(evidence, answers, {"truths": truths})
    assert [place for place, _ in shown.by_f1(outcome, 0.5)] == [1]


@pytest.fixture
def run(tmp_path):
    """A folder of a run whose config has a rule of its own."""
    from tfvision.engine.run_folder import RunFolder

    text = "task: detection\nmodel: faster_rcnn\npostprocess: [score_threshold(minimum=0.1)]\n"
    (tmp_path / "config.yaml").write_text(text)
    return RunFolder(tmp_path)


OWN = Spec(name="score_threshold", minimum=0.1)


def test_pictures_are_drawn_from_the_operating_point_on_and_it_is_said(run):
    point = {"threshold": 0.625, "chosen_on": "val"}
    run.write_json("summary.json", {"operating_point": point})
    threshold, said = results.drawn_from(run, recipe_of(rules=[OWN]))
    assert threshold == 0.625
    assert "from a score of 0.625 on (the run's best F1 on validation)" in said
    run.write_json("summary.json", {"operating_point": {"threshold": 0.5, "chosen_on": None}})
    assert "(no validation chose it)" in results.drawn_from(run, recipe_of(rules=[OWN]))[1]


def test_pictures_of_a_run_without_an_operating_point_are_drawn_from_a_half_on(run):
    threshold, said = results.drawn_from(run, recipe_of(rules=[OWN]))
    assert threshold == 0.5
    assert "(the run has no operating point)" in said


def test_a_given_threshold_decides_what_is_drawn(run):
    run.write_json("summary.json", {"operating_point": {"threshold": 0.9, "chosen_on": "val"}})
    given = Spec(name="score_threshold", minimum=0.3)
    threshold, said = results.drawn_from(run, recipe_of(rules=[OWN, given]))
    assert threshold == 0.0  # the rules have left out what lies below
    assert said == "boxes below the given threshold of the score are left out"


@pytest.mark.parametrize(
    ("point", "start"),
    [
        (
            {"threshold": 0.4, "chosen_on": "val"},
            "from a score of 0.400 on, the run's best F1 on validation",
        ),
        ({"threshold": 0.5, "chosen_on": None}, "from a score of 0.500 on, no validation chose it"),
        (None, "from a score of 0.500 on, the run has no operating point"),
    ],
)
def test_what_is_evaluated_is_said_at_the_operating_point_of_the_run(run, point, start):
    run.write_json("summary.json", {} if point is None else {"operating_point": point})
    answers = [answer((0, 0.45, CAT), (0, 0.6, NOTHING), (1, 0.9, DOG))]
    evidence = DetectionEvidence.of(["a"], answers, [truth((0, CAT), (1, DOG))], 2)
    scored = Scored(evidence, answers, {})
    found = results.at_point_of(run, recipe_of(rules=[OWN]), scored)
    right = 2 if point and point["threshold"] == 0.4 else 1
    f1 = 2 * right / (right + 1 + 2)
    assert (found["precision"], found["recall"], found["f1"]) == (
        right / (right + 1),
        right / 2,
        f1,
    )
    metrics = results.metrics_of(recipe_of(), scored, ["cat", "dog"])
    lines = results.score_lines({**metrics, "operating_point": found}, ["cat", "dog"])
    assert f"  {start}: precision {right / (right + 1):.4f}, recall {right / 2:.4f}" in lines[3]
    assert lines[3].endswith(f"F1 {f1:.4f}")


def test_a_given_threshold_goes_before_the_operating_point(run):
    run.write_json("summary.json", {"operating_point": {"threshold": 0.9, "chosen_on": "val"}})
    answers = [answer((0, 0.45, CAT), (0, 0.35, NOTHING))]
    evidence = DetectionEvidence.of(["a"], answers, [truth((0, CAT))], 2)
    recipe = recipe_of(rules=[OWN, Spec(name="score_threshold", minimum=0.3)])
    found = results.at_point_of(run, recipe, Scored(evidence, answers, {}))
    assert (found["precision"], found["recall"]) == (0.5, 1.0)
    metrics = results.metrics_of(recipe_of(), Scored(evidence, answers, {}), ["cat", "dog"])
    lines = results.score_lines({**metrics, "operating_point": found}, ["cat", "dog"])
    assert lines[3].startswith("  all that the given threshold leaves: precision 0.5000")
