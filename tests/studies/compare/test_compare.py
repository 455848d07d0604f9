"""`compare`: verdicts, refusals, files; on run folders made by hand and on two real runs."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import runs
from tests.support.detections import answer, truth
from tests.support.evidence import errors
from tests.support.scored import counts, scored_run
from tfvision.cli import commands
from tfvision.engine.evidence_file import write_evidence
from tfvision.errors import InputError
from tfvision.metrics import contract
from tfvision.metrics.contract import Contract
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.studies.compare import compare as task
from tfvision.studies.compare.compare import compare
from tfvision.studies.compare.scored_run import ScoredRun
from tfvision.tasks.facts import Score, facts_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(task, "RESAMPLES", 1000)


@pytest.fixture
def base(tmp_path):
    return scored_run(tmp_path / "base", counts())


def other(tmp_path, name="other", **changes):
    return scored_run(tmp_path / name, counts(own=1), **changes)


def test_better_worse_and_cannot_tell(base, tmp_path, capsys):
    up = scored_run(tmp_path / "up", counts(gain=0.5, own=1))
    down = scored_run(tmp_path / "down", counts(gain=-0.5, own=2))
    same = scored_run(tmp_path / "same", counts(own=3))
    found = compare([base, up, down, same], out=tmp_path / "out")
    assert [pair["verdict"] for pair in found["pairs"]] == ["better", "worse", "cannot tell"]
    for pair, gain in zip(found["pairs"], (0.5, -0.5, 0), strict=True):
        expected = contract.mean_iou(counts(gain=gain, own=found["pairs"].index(pair) + 1))
        expected -= contract.mean_iou(counts())
        assert pair["difference"] == pytest.approx(expected)
        assert pair["low"] < expected < pair["high"]
        assert pair["p_adjusted"] >= pair["p_value"]
        assert [row["name"] for row in pair["classes"]] == ["sky", "sea"]
    printed = capsys.readouterr().out
    assert "mean IoU on test: 40 images" in printed
    assert "verdict needs Holm's adjusted p <= 0.05" in printed
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith(("up ", "down "))]
    assert "would find a true difference of 0.0" in printed


def test_a_family_needs_more_than_its_interval(base, tmp_path, monkeypatch):
    """What is just told apart alone is not, as one of six."""
    gain = next(
        g
        for g in np.arange(0.0, 0.3, 0.005)
        if 0.01 < _only(task, counts(), counts(gain=g, own=1)).p_value < 0.04
    )
    near = scored_run(tmp_path / "near", counts(gain=gain, own=1))
    equal = [scored_run(tmp_path / f"same{i}", counts()) for i in range(5)]
    (alone,) = compare([base, near], out=tmp_path / "a", quiet=True)["pairs"]
    family = compare([base, near, *equal], out=tmp_path / "b", quiet=True)["pairs"]
    assert alone["verdict"] != "cannot tell"
    assert (family[0]["low"], family[0]["p_value"]) == (alone["low"], alone["p_value"])
    assert family[0]["p_adjusted"] == pytest.approx(6 * alone["p_value"])
    assert family[0]["verdict"] == "cannot tell"
    assert family[1]["difference"] == family[1]["low"] == family[1]["high"] == 0


def _only(module, first, second):
    sides = (ConfusionEvidence([str(i) for i in range(len(c))], c) for c in (first, second))
    return module._differences(*sides, Contract(), "mean_iou", None)[0]


def test_files_and_the_default_folder(base, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    second = other(tmp_path)
    for folder in ("base-vs-other", "base-vs-other-2"):
        assert commands.main(["compare", str(base), str(second), "--json"]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        written = json.loads((tmp_path / "runs/compare" / folder / "compare.json").read_text())
        assert written.pop("seed") == 0
        assert written == result
        assert "<html" in (tmp_path / "runs/compare" / folder / "compare.html").read_text()


def test_images_are_matched_by_id(base, tmp_path):
    straight = other(tmp_path, "straight")
    order = np.random.default_rng(0).permutation(40)
    names = [f"scene {i:03d}" for i in range(40)]
    turned = scored_run(
        tmp_path / "turned",
        counts(own=1)[order],
        ids=[names[i] for i in order],
    )
    one, two = (
        compare([base, run], out=tmp_path / f"out {run.name}", quiet=True)["pairs"][0]
        for run in (straight, turned)
    )
    assert (one["difference"], one["low"]) == pytest.approx((two["difference"], two["low"]))


def test_groups_of_the_split_are_resampled(base, tmp_path):
    groups = [f"p{i // 4}" for i in range(36)] + [None] * 4
    grouped = scored_run(tmp_path / "grouped", counts(), data={"groups": {"test": groups}})
    second = other(tmp_path)
    found = compare([grouped, second], out=tmp_path / "out", quiet=True)
    assert (found["resampled"], found["num_units"], found["num_images"]) == ("groups", 13, 40)
    assert any("Only 13 groups" in line for line in found["cautions"])
    assert not any("frames of one video" in line for line in found["cautions"])
    plain = compare([base, second], out=tmp_path / "plain", quiet=True)
    assert (plain["resampled"], plain["num_units"]) == ("images", 40)
    assert plain["pairs"][0]["low"] != found["pairs"][0]["low"]


def test_test_is_the_default_and_val_carries_a_caution(tmp_path):
    first, second = (
        scored_run(tmp_path / name, counts(own=own), split="val")
        for own, name in enumerate(("first", "second"))
    )
    found = compare([first, second], out=tmp_path / "out", quiet=True)
    assert found["split"] == "val"
    assert any("best epoch of each run was chosen on val" in line for line in found["cautions"])
    both = [scored_run(tmp_path / f"{own}", counts(own=own)) for own in range(2)]
    assert compare(both, out=tmp_path / "test", quiet=True)["split"] == "test"


def test_metric_names_a_score_or_a_convention(base, tmp_path):
    agreed = {
        "contract": {
            "ignore_labels": [0],
            "exclude_classes": [0],
            "absent": "skip",
            "average": "dataset",
        }
    }
    first = scored_run(tmp_path / "first", counts(), summary=agreed)
    second = other(tmp_path, summary=agreed)
    expected = {
        None: contract.mean_iou(counts(), Contract((0,), (0,))),
        "pixel_accuracy": contract.pixel_accuracy(counts(), Contract((0,), (0,))),
        "per_image": contract.mean_iou(counts(), Contract(average="image")),
    }
    for metric, value in expected.items():
        found = compare([first, second], metric=metric, out=tmp_path / f"{metric}", quiet=True)
        assert found["runs"][0]["score"] == pytest.approx(value)
    with pytest.raises(InputError, match=r"Unknown metric to compare: 'iou'.*pixel_accuracy"):
        compare([first, second], metric="iou", out=tmp_path / "x")
    with pytest.raises(InputError, match=r"different metric contracts: .*\[\].*against.*\[0\]"):
        compare([base, second], out=tmp_path / "x")
    assert compare([base, second], metric="plain", out=tmp_path / "plain", quiet=True)


def test_scores_are_those_after_post_processing(base, tmp_path):
    second = other(tmp_path, processed=counts(gain=0.5, own=1))
    found = compare([base, second], out=tmp_path / "out", quiet=True)
    assert found["runs"][1]["score"] == pytest.approx(contract.mean_iou(counts(gain=0.5, own=1)))
    assert any("after post-processing: other" in line for line in found["cautions"])


def test_a_class_in_few_images_is_named(tmp_path):
    first, second = counts(), counts(own=1)
    for cms in (first, second):
        cms[3:, 1] = 0  # true sea in three images only
    both = [scored_run(tmp_path / str(i), cms) for i, cms in enumerate((first, second))]
    found = compare(both, out=tmp_path / "out", quiet=True)
    assert any("Class sea occurs in 3 images only" in line for line in found["cautions"])


def test_images_that_differ_most(base, tmp_path):
    cms = counts()
    cms[7] = np.diag(cms[7].sum(axis=1))
    cms[9] = np.fliplr(np.diag(cms[9].sum(axis=1)))
    second = scored_run(tmp_path / "second", cms)
    (pair,) = compare([base, second], out=tmp_path / "out", quiet=True)["pairs"]
    assert [(i["id"], i["run"]) for i in pair["images"]] == [("scene 009", 0), ("scene 007", 1)]
    assert pair["num_differing"] == 2
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "There are no pictures" in page  # the data is not there


def refused(folders, match, tmp_path, **options):
    with pytest.raises(InputError, match=match):
        compare(folders, out=tmp_path / "refused", **options)
    assert not (tmp_path / "refused").exists()


def test_runs_that_are_none_or_one_or_unfinished(base, tmp_path):
    refused([base], "at least two runs", tmp_path)
    refused([base, base / ".." / "base"], "is given twice", tmp_path)
    refused([base, tmp_path / "nothing"], "is no run: it has no config.yaml", tmp_path)
    second = other(tmp_path)
    with open(second / "metrics.csv", "a") as file:
        file.write("3,1,1,0.5\n")
    refused([base, second], "scored after 2 epochs and has trained 3", tmp_path)
    (second / "summary.json").unlink()
    refused([base, second], f"not finished.*--resume {second}", tmp_path)
    old = other(tmp_path, "old")
    record = json.loads((old / "data.json").read_text())
    del record["hashes"]
    (old / "data.json").write_text(json.dumps(record))
    refused([base, old], "has no hashes: an older version wrote it", tmp_path)
    other_task = other(tmp_path, "pose", summary={"task": "pose"})
    refused([base, other_task], "is a pose run", tmp_path)


def test_missing_predictions(base, tmp_path):
    second = other(tmp_path)
    (second / "predictions" / "test_confusion.npz").unlink()
    refused([base, second], f"evaluate {second} --split test", tmp_path, split="test")
    refused([base, second], "no labelled val images", tmp_path, split="val")
    (second / "predictions" / "test_confusion.npz").write_bytes(b"PK not a zip")
    refused([base, second], "test_confusion.npz cannot be read", tmp_path)


def test_different_classes_and_data(base, tmp_path):
    named = other(tmp_path, "named", data={"class_names": ["sky", "land"]})
    refused([base, named], r"different classes: \['sky', 'sea'\] against \['sky', 'land", tmp_path)
    changed = other(tmp_path, "changed", data={"fingerprint": "ff" * 32})
    refused([base, changed], "different data.*0123456789ab.*ffffffffffff", tmp_path)


def test_different_splits_say_that_the_seed_draws_them(base, tmp_path):
    ids = [f"scene {i:03d}" for i in range(4, 44)]
    moved = other(tmp_path, ids=ids, config={"seed": 2})
    refused(
        [base, moved],
        "different test splits: 36 images are in both.*base has 4: scene 000, .*"
        "seed of a config draws its hold-out split too, and the seeds are 1 and 2.*"
        f"--set data.splits={base / 'splits.csv'}",
        tmp_path,
    )
    given = {"seed": 2, "data": {"splits": "some.csv"}}
    first = scored_run(tmp_path / "first", counts(), config={"data": {"splits": "one.csv"}})
    moved = other(tmp_path, "moved", ids=ids, config=given)
    with pytest.raises(InputError, match="different test splits") as caught:
        compare([first, moved], out=tmp_path / "refused")
    assert "seed" not in str(caught.value)


def test_other_training_images_are_said(base, tmp_path):
    record = json.loads((base / "data.json").read_text())
    splits = {**record["splits"], "train": ["t1", "t3"]}
    hashes = {k: [f"hash of {i}" for i in v] for k, v in splits.items()}
    second = other(tmp_path, data={"splits": splits, "hashes": hashes})
    found = compare([base, second], out=tmp_path / "out", quiet=True)
    assert any(
        "trained on other images than base (2 and 2, 1 in both)" in c for c in found["cautions"]
    )


def test_counts_that_do_not_fit(base, tmp_path):
    cms = counts(own=1)
    cms[5, 0, 0] += 1
    refused(
        [base, scored_run(tmp_path / "truth", cms)],
        "different truths: 1 of 40 images .* the first 'scene 005'",
        tmp_path,
    )
    fewer = other(tmp_path, "fewer")
    np.savez(fewer / "predictions" / "test_confusion.npz", ids=["scene 001"], plain=cms[:1])
    refused([base, fewer], r"must hold 40 images of 2 classes; it holds 1 of 2", tmp_path)
    names = [f"other {i}" for i in range(40)]
    np.savez(fewer / "predictions" / "test_confusion.npz", ids=names, plain=counts())
    refused([base, fewer], "not in the run's test split: other 0", tmp_path)


def test_evidence_of_another_kind_has_its_own_direction_and_no_classes(tmp_path, monkeypatch):
    """A mean error: lower is better, and there are no classes to judge."""
    known = {"mean_error": Score("mean error", high=math.inf, larger_is_better=False)}
    facts = replace(
        facts_of("segmentation"), evidence="tests.support.evidence:Errors", scores=known
    )
    monkeypatch.setattr(ScoredRun, "facts", facts)
    made = {"base": errors(), "near": errors(off=2.0, own=1), "far": errors(off=9.0, own=2)}
    for name, evidence in made.items():
        run = scored_run(tmp_path / name, counts(), ids=evidence.ids)
        write_evidence(run / "predictions" / "test_errors.npz", evidence)
    folders = [tmp_path / name for name in made]
    found = compare(folders, metric="mean_error", out=tmp_path / "out", quiet=True)
    assert [pair["verdict"] for pair in found["pairs"]] == ["better", "worse"]
    assert found["pairs"][0]["difference"] < -0.5
    assert found["pairs"][1]["high"] > 1
    worst = found["pairs"][1]["images"][0]
    assert worst["run"] > worst["baseline"]
    assert [pair["classes"] for pair in found["pairs"]] == [[], []]
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "mean error on test" in page
    assert "from the per-image errors that each run keeps" in page
    assert 'id="classes"' not in page
    with pytest.raises(InputError, match=r"Unknown metric to compare.*mean_error"):
        compare(folders, metric="plain", out=tmp_path / "no")


def test_a_folder_that_holds_something_is_not_written_to(base, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="is not an empty folder"):
        compare([base, other(tmp_path)], out=tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_no_tensorflow_is_needed(base, tmp_path):
    code = f"""
import sys
from tfvision.cli import commands
runs = {[str(base), str(other(tmp_path))]}
assert commands.main(["compare", *runs, "--out", {str(tmp_path / "out")!r}, "--quiet"]) == 0
assert commands.main(["compare", runs[0], runs[0]]) == 2
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "out" / "compare.html").is_file()


def test_two_real_runs_of_one_config(whole, dataset, quick, tmp_path, capsys):
    second = runs.new_run(
        tmp_path / "second",
        dataset,
        seed=2,
        data={"augment": ["flip_lr(p=0.5)"]},
        model={"normalization": "batch"},
        train={"ema": 0.9, "optimizer": runs.ADAMW},
    )
    capsys.readouterr()
    arguments = ["compare", str(whole), str(second), "--out", str(tmp_path / "out"), "--json"]
    assert commands.main(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    (pair,) = found["pairs"]
    scores = [runs.summary(run)["metrics"]["test"]["mean_iou"] for run in (whole, second)]
    assert [pair["baseline_score"], pair["run_score"]] == pytest.approx(scores)
    assert (found["split"], found["num_images"]) == ("test", 4)
    page = (tmp_path / "out" / "compare.html").read_text()
    # Image, truth and both predictions of every image that differs.
    assert len(pair["images"]) > 0
    assert page.count("data:image/png") == 4 * len(pair["images"])


def test_two_seeds_without_given_splits_are_refused_and_mended(quick, tmp_path, capsys):
    """The words of the refusal, followed, give a comparison."""
    images, masks = runs.arrays(16)
    np.savez(tmp_path / "open.npz", images=images, masks=masks)
    one, two = (
        runs.new_run(tmp_path / f"seed{s}", tmp_path / "open.npz", seed=s, train={"epochs": 1})
        for s in (1, 2)
    )
    capsys.readouterr()
    arguments = ["compare", str(one), str(two), "--out", str(tmp_path / "out")]
    assert commands.main(arguments) == 2
    said = capsys.readouterr().err
    assert "seeds are 1 and 2" in said
    advice = said.strip().rpartition("--set ")[2]
    mended = tmp_path / "mended"
    config = str(two.with_suffix(".yaml"))
    assert runs.train("--config", config, "--out", mended, "--set", advice) == 0
    assert commands.main(["compare", str(one), str(mended), "--out", str(tmp_path / "out")]) == 0


def detection_run(folder: Path, scores, point: dict | None) -> Path:
    """One box an image, found with a score each; and a wrong detection each, of 0.3."""
    box, nothing = (0, 0, 10, 10), (50, 50, 60, 60)
    answers = [answer((0, s, box), (0, 0.3, nothing)) for s in scores]
    ids = [f"scene {i:03d}" for i in range(len(scores))]
    said = {"task": "detection"} | ({} if point is None else {"operating_point": point})
    scored_run(folder, counts(len(scores)), summary=said)
    (folder / "config.yaml").write_text("task: detection\nmodel: faster_rcnn\n")
    evidence = DetectionEvidence.of(ids, answers, [truth((0, box))] * len(ids), 2)
    write_evidence(folder / "predictions" / "test_detections.npz", evidence)
    return folder


def test_f1_of_detections_is_at_the_operating_point_of_each_run(tmp_path, capsys):
    scores = np.linspace(0.32, 0.48, 40)  # nothing reaches 0.5
    low = detection_run(tmp_path / "low", scores, {"threshold": 0.31, "chosen_on": "val"})
    high = detection_run(tmp_path / "high", scores, {"threshold": 0.4, "chosen_on": "val"})
    unset = detection_run(tmp_path / "unset", scores, {"threshold": 0.5, "chosen_on": None})
    old = detection_run(tmp_path / "old", scores, None)
    found = compare([low, high, unset, old], metric="f1", out=tmp_path / "out")
    assert [run["score"] for run in found["runs"]] == pytest.approx([1.0, 2 * 20 / 60, 0.0, 0.0])
    said = (
        "f1 is of each run's operating point: low detections from a score of 0.310 on (the run's "
        "best F1 on validation); high detections from a score of 0.400 on (the run's best F1 on "
        "validation); unset detections from a score of 0.500 on (no validation chose it); old "
        "detections from a score of 0.500 on (the run has no operating point)."
    )
    assert said in found["cautions"]
    assert f"! {said}" in capsys.readouterr().out
    assert said in (tmp_path / "out" / "compare.html").read_text().replace("&#39;", "'")
    ap = compare([low, high], metric="ap", out=tmp_path / "ap", quiet=True)
    assert ap["pairs"][0]["difference"] == 0  # AP knows no threshold
    assert not any("operating point" in line for line in ap["cautions"])
    precision = compare([low, high], metric="precision", out=tmp_path / "p", quiet=True)
    assert [run["score"] for run in precision["runs"]] == [1.0, 1.0]
