"""A ladder of detectors: the file of the digits, and a table of planted detections."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.support.detections import answer, truth
from tfvision.metrics import Contract
from tfvision.metrics.detections import DetectionEvidence
from tfvision.report import ladder_page
from tfvision.studies.study import table as ladder_table
from tfvision.studies.study.ladder_file import read_ladder
from tfvision.studies.study.scores import RungScores
from tfvision.tasks.detection.facts import FACTS

FILE = Path(__file__).parents[3] / "experiments" / "digits.yaml"
SCORES = ("ap", "ap50", "string_accuracy")


def test_the_rungs_of_the_digits_differ_in_what_they_are_about():
    study = read_ladder(FILE)
    rungs = {rung.name: rung.config for rung in study.rungs}
    assert study.metrics == SCORES
    assert list(rungs)[:4] == ["report_anchors", "proposed_anchors", "audited", "misread_ratio"]
    ratios = [rungs[n].model.kwargs["ratios_hw"] for n in ("audited", "misread_ratio")]
    np.testing.assert_allclose(ratios[1], 1 / np.array(ratios[0]))
    assert rungs["report_anchors"].model.kwargs["anchor_sizes"] == [[4], [8], [12], [24], [48]]
    assert len(rungs) == 4 + 2 * 3
    for kind in ("diou", "ciou"):
        for target, other in (
            ("cls", "cross_entropy"),
            ("box", "smooth_l1"),
            ("matched", "smooth_l1"),
        ):
            loss = rungs[f"{kind}_{target}"].loss
            moving = {term.name: term for term in loss if term.moves}
            assert set(moving) == {kind, other}
            assert moving[kind].kwargs.get("pairs", "matched") == (
                "index" if target == "box" else "matched"
            )
            for share in (0.0, 0.39, 0.4, 0.8, 1.0):
                assert sum(term.weight_at(share) for term in moving.values()) == 1.0
            heads = {(t.name, h) for t in loss for h in t.heads or ("rpn", "head")}
            plain = {(n, h) for n in ("cross_entropy", "smooth_l1") for h in ("rpn", "head")}
            assert heads == plain | {(kind, "head")}
    against = {
        rung.against for rung in study.rungs if rung.name.partition("_")[0] in ("diou", "ciou")
    }
    assert against == {"audited"}
    assert rungs["audited"].reading.leading_zeros == "keep"


def planted(seed: int, wrong: float, number: int = 80) -> DetectionEvidence:
    """Two boxes an image; some detections have the other class, and their string is wrong."""
    rng = np.random.default_rng(seed)
    answers, truths, right = [], [], []
    for _ in range(number):
        labels = rng.integers(0, 2, 2)
        mistaken = rng.random(2) < wrong
        places = [(0, 0, 20, 30), (30, 0, 50, 30)]
        rows = [
            (int(k ^ m), float(s), box)
            for k, m, s, box in zip(labels, mistaken, rng.uniform(0.5, 1, 2), places, strict=True)
        ]
        answers.append(answer(*rows))
        truths.append(truth(*((int(k), box) for k, box in zip(labels, places, strict=True))))
        right.append(not mistaken.any())
    evidence = DetectionEvidence.of([f"{i:03d}" for i in range(number)], answers, truths, 2)
    spans = np.where(np.array(right)[:, None], [0.0, 1.0], 0.0)
    return replace(evidence, spans=spans, read_from=np.full(number, 0.5))


def test_the_table_has_ap_ap50_and_strings_with_intervals_and_verdicts(monkeypatch, tmp_path):
    monkeypatch.setattr(ladder_table, "RESAMPLES", 400)
    study = read_ladder(FILE, rungs="report_anchors,proposed_anchors,audited")
    scores = {}
    for rung, wrong in zip(study.rungs, (0.5, 0.5, 0.02), strict=True):
        evidence = [planted(seed, wrong) for seed in (10, 20)]
        summary = {"steps": 50, "num_parameters": 7, "wall_seconds": 60.0}
        run = SimpleNamespace(
            score="ap", contract=Contract(), summary=summary, history=[], facts=FACTS
        )
        runs = [run] * 2
        ids = evidence[0].ids
        scores[rung.name] = RungScores(ids, evidence, ids, None, validation=None, runs=runs)
    lengths = {rung.name: SimpleNamespace(steps=50, epochs=2) for rung in study.rungs}
    plan = SimpleNamespace(study=study, lengths=lengths, notes=[], said_of_data=[], out=tmp_path)
    table = ladder_table.make_table(plan, scores, seeds=(0, 1), failed={})
    rows = {row["name"]: row for row in table["rungs"]}
    for metric in SCORES:
        compared = rows["audited"]["compared"][metric]
        assert compared["verdict"] == "better"
        assert 0 < compared["low"] < compared["difference"] < compared["high"]
        assert rows["proposed_anchors"]["compared"][metric]["verdict"] == "cannot tell"
    assert rows["audited"]["scores"]["string_accuracy"]["mean"] > 0.9
    text = ladder_page.markdown({**table, "pictures": []})
    head, row = (
        [cell.strip() for cell in line.split("|")]
        for line in text.splitlines()
        if line.startswith(("| rung", "| audited"))
    )
    told = row[head.index("difference, string_accuracy")]
    assert told.startswith("+0.")
    assert told.endswith("), better")
    assert row[head.index("difference, ap50")].endswith("), better")
