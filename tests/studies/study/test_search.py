"""`search`: its file, its race on run folders made by hand, and one search that trains."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support import runs, scored
from tfvision.cli import commands
from tfvision.config import load_config
from tfvision.errors import InputError
from tfvision.metrics.ratios import score_ratios
from tfvision.studies.folds.assign import assign_samples
from tfvision.studies.study.race import run_race
from tfvision.studies.study.race_table import folder_name
from tfvision.studies.study.search_file import read_search
from tfvision.tasks.segmentation.schema import SegmentationConfig

GAINS = {"good": 0.0, "also good": 0.0, "bad": -0.9}


def write(path, **content):
    base = {"data": {"source": "embedded"}, "model": {"name": "unet", "width": 4}}
    path.write_text(yaml.safe_dump({"base": base, "folds": 3, "units": "images", **content}))
    return path


def three(path, **content):
    """A file of three candidates that differ in their losses."""
    sets = ["dice", "focal", "cross_entropy"]
    candidates = [
        {"name": name, "set": {"loss": [loss]}} for name, loss in zip(GAINS, sets, strict=True)
    ]
    return write(path, candidates=candidates, **content)


def read(path, **options):
    return read_search(path, **options)


def configs_of(study):
    return {rung.name: rung.config for rung in study.rungs}


def search(study, out, *, train, quiet=True):
    """`run_race` with `train` in the place of `train_in_process`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfvision.studies.study.training.train_in_process", train)
        return run_race(study, out, quiet=quiet)


class Trainer:
    """Writes a finished run instead of training one; may be killed before its n-th."""

    def __init__(self, killed_at=None):
        self.trained, self._killed_at = [], killed_at

    def __call__(self, config, out, *, overrides, device, quiet, log):
        if (out / "summary.json").is_file():
            return
        if len(self.trained) == self._killed_at:
            raise KeyboardInterrupt
        settings = dict(o.split("=") for o in overrides)
        assert settings["data.folds"] == "3"
        fold = int(settings["data.fold"])
        loss = load_config(SegmentationConfig, config).loss[0].name
        name = dict(zip(["dice", "focal", "cross_entropy"], GAINS, strict=True))[loss]
        self.trained.append((name, fold))
        cms = scored.counts(16, gain=GAINS[name], seed=fold, own=len(name))
        ids = [f"fold {fold} scene {i:03d}" for i in range(len(cms))]
        scored.scored_run(out, cms, split="val", ids=ids)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    trainer = Trainer()
    asked = read(three(folder / "losses.yaml"))
    return asked, folder / "out", search(asked, folder / "out", quiet=True, train=trainer), trainer


def test_the_bad_one_is_dropped_and_the_files_say_the_same(finished):
    asked, out, result, trainer = finished
    assert ("bad", 1) not in trainer.trained
    assert result["trainings"] == len(trainer.trained) == 7
    rows = {row["candidate"]: row for row in result["candidates"]}
    assert rows["bad"]["state"] == "dropped after fold 0"
    assert rows["bad"]["high"] < 0
    assert [row["place"] for row in result["candidates"]] == [1, 2, 3]
    assert result["winner"] == result["candidates"][0]["candidate"]
    assert json.loads((out / "search.json").read_text()) == result
    with open(out / "search.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["candidate"] for row in table] == [r["candidate"] for r in result["candidates"]]
    assert float(table[1]["difference"]) == result["candidates"][1]["difference"]
    best = load_config(SegmentationConfig, out / "best.yaml")
    assert best == configs_of(asked)[result["winner"]]
    assert best.data.folds is None


def test_scores_are_pooled_over_folds_and_the_nested_one_beside_it(finished):
    _, _, result, _ = finished
    for row in result["candidates"]:
        cms = [
            scored.counts(16, gain=GAINS[row["candidate"]], seed=f, own=len(row["candidate"]))
            for f in range(row["folds"])
        ]
        assert row["score"] == pytest.approx(score_ratios(np.concatenate(cms)).value())
    assert result["best_of"]["score"] == result["candidates"][0]["score"]
    assert result["best_of"]["low"] < result["best_of"]["score"] < result["best_of"]["high"]
    assert set(result["nested"]["choices"]) <= {"good", "also good"}
    assert len(result["nested"]["choices"]) == 3
    assert result["nested"]["score"] <= result["best_of"]["score"]
    assert result["num_units"] == 48


@pytest.mark.parametrize("killed_at", [1, 6])
def test_killed_anywhere_the_same_command_ends_with_the_same_table(finished, tmp_path, killed_at):
    asked, _, expected, whole = finished
    first, second = Trainer(killed_at), Trainer()
    with pytest.raises(KeyboardInterrupt):
        search(asked, tmp_path / "out", quiet=True, train=first)
    assert not (tmp_path / "out/search.json").exists()
    assert search(asked, tmp_path / "out", quiet=True, train=second) == expected
    assert first.trained + second.trained == whole.trained
    third = Trainer()
    assert search(asked, tmp_path / "out", quiet=True, train=third) == expected
    assert third.trained == []


def test_without_a_race_everything_is_trained(tmp_path):
    trainer = Trainer()
    asked = read(three(tmp_path / "a.yaml", drop={"rule": "none"}))
    result = search(asked, tmp_path / "out", quiet=True, train=trainer)
    assert len(trainer.trained) == 9
    assert {r["candidate"]: r["state"] for r in result["candidates"]}["bad"] == "worse"


def test_blocks_of_images_are_units(tmp_path):
    asked = read(three(tmp_path / "a.yaml", units=8))
    result = search(asked, tmp_path / "out", quiet=True, train=Trainer())
    assert (result["num_units"], result["units"]) == (6, 8)
    assert any("Only 6 units" in line for line in result["cautions"])


def test_a_changed_file_is_refused_with_the_difference(finished, tmp_path):
    _, out, _, _ = finished
    changed = read(three(tmp_path / "losses.yaml", drop={"alpha": 0.1}))
    with pytest.raises(InputError, match=r"asked otherwise:\n  drop.alpha: 0.05 -> 0.1\n"):
        search(changed, out, quiet=True, train=Trainer())
    other = read(three(tmp_path / "losses.yaml"), overrides=["train.epochs=7"])
    with pytest.raises(InputError, match=r"candidates.good.train.epochs: 40 -> 7"):
        search(other, out, quiet=True, train=Trainer())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    asked = read(three(tmp_path / "a.yaml"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no search"):
        search(asked, tmp_path / "out", train=Trainer())
    with pytest.raises(InputError, match="is a file"):
        search(asked, tmp_path / "a.yaml", train=Trainer())


def test_a_mixture_is_the_grid_of_the_simplex(tmp_path):
    terms = ["dice", "boundary(unit='diagonal')", {"name": "focal", "gamma": 1.5}]
    asked = read(write(tmp_path / "a.yaml", mixture={"terms": terms, "step": 0.25}))
    weights = [{t.name: t.weight for t in config.loss} for config in configs_of(asked).values()]
    assert len(weights) == 15
    assert all(sum(w.values()) == 1 for w in weights)
    assert len({tuple(sorted(w.items())) for w in weights}) == 15
    assert configs_of(asked)["dice 1"].loss[0].weight == 1
    mixed = configs_of(asked)["dice 0.25 + boundary 0.5 + focal 0.25"].loss
    assert [(t.name, t.weight, t.kwargs) for t in mixed] == [
        ("dice", 0.25, {}),
        ("boundary", 0.5, {"unit": "diagonal"}),
        ("focal", 0.25, {"gamma": 1.5}),
    ]
    folders = [folder_name(n, name) for n, name in enumerate(configs_of(asked))]
    assert len(set(folders)) == 15
    assert all(re.fullmatch(r"\d{3}-[A-Za-z0-9.-]+", folder) for folder in folders)


def test_a_base_may_be_a_file_beside_it_and_overrides_come_before_candidates(tmp_path):
    runs.write_config(tmp_path / "base.yaml", tmp_path / "none.npz")
    path = write(
        tmp_path / "a.yaml",
        base="base.yaml",
        candidates=[{"name": "a", "set": {"train.epochs": 3}}, {"name": "b"}],
    )
    asked = read(path, overrides=["train.epochs=5", "data.batch_size=2"])
    assert [c.train.epochs for c in configs_of(asked).values()] == [3, 5]
    assert [c.data.batch_size for c in configs_of(asked).values()] == [2, 2]


TWO = [{"name": "a", "set": {"loss": ["dice"]}}, {"name": "b"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has 0 candidates .* needs 2 to 200"),
        ({"candidates": TWO, "fold": 3}, "Unknown key .*fold"),
        ({"candidates": [TWO[1], {**TWO[1]}]}, "two candidates are called b"),
        ({"candidates": [*TWO, {"name": "c"}]}, "'b' and 'c' are the same config"),
        ({"candidates": [TWO[0], {"name": "b", "set": {"loss": ["dise"]}}]},
         "candidate 'b': .*loss: Unknown loss: 'dise'"),
        ({"candidates": [*TWO, {"name": "c", "set": {"seed": 3}}]}, "'c': seed differs from"),
        ({"candidates": [*TWO, {"name": "c", "set": {"data.folds": 2, "data.fold": 0}}]},
         "'c': the search assigns the folds itself"),
        ({"candidates": TWO, "drop": {"least": 3}}, "drop.least 3 must be less than folds, 3"),
        ({"candidates": TWO, "units": 0}, "units is a number of images, from 1 up"),
        ({"candidates": TWO, "base": "none.yaml"}, "base: there is no file .*none.yaml"),
        ({"mixture": {"terms": ["dice", "focal"], "step": 0.3}}, "step must divide 1"),
        ({"mixture": {"terms": ["dice(weight=2)", "focal"]}}, "dice has a weight of its own"),
        ({"mixture": {"terms": ["dice", "dice"]}}, "names a loss twice"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_right(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.yaml", **content))


def two_losses(folder):
    """A file of two mixtures and two folds of eight small images."""
    source = runs.write_folder(folder / "scenes", [(16, 16)] * 8)
    data = {"near_duplicates": "ignore", "test_fraction": 0}
    runs.write_config(folder / "base.yaml", source, data=data, train={"epochs": 1})
    candidates = [{"name": n, "set": {"loss": [n]}} for n in ("dice", "boundary")]
    return write(
        folder / "two.yaml", base="base.yaml", folds=2, units="auto", candidates=candidates
    )


def test_units_are_those_of_the_assignment_and_other_data_is_refused(tmp_path):
    """Images a to h in groups of two: four units. The trainings are made by hand."""
    path = two_losses(tmp_path)
    groups = ["data.groups=([ab]|[cd]|[ef]|[gh])"]
    asked = read(path, overrides=groups)
    config = next(iter(configs_of(asked).values()))
    data = config.data.model_copy(update={"folds": 2, "fold": 0})
    assignment = assign_samples(config.model_copy(update={"data": data}))

    def trainer(backwards):
        def train(config, out, *, overrides, **_):
            fold = int(dict(o.split("=") for o in overrides)["data.fold"])
            ids = [assignment.prepared.source.records[i].id for i in assignment.members(fold)]
            cms = scored.counts(len(ids), seed=fold, own="dice" in str(out))
            order = slice(None, None, -1 if backwards else 1)
            scored.scored_run(out, cms[order], split="val", ids=ids[order])

        return train

    result = search(asked, tmp_path / "out", quiet=True, train=trainer(False))
    assert result["num_units"] == len(
        {(f, u) for f, u in zip(assignment.folds, assignment.units, strict=True)}
    )
    with pytest.raises(InputError, match="Fold 0 was trained on other samples than the data has"):
        search(asked, tmp_path / "other", quiet=True, train=trainer(True))


@pytest.mark.slow
def test_runs_that_were_trained_are_found_and_scored_over_the_units_of_the_folds(tmp_path):
    """Real trainings, in this process."""

    def train(config, out, *, overrides, device, quiet, log):
        sets = [word for override in overrides for word in ("--set", override)]
        assert runs.train("--config", config, "--out", out, "--quiet", *sets) == 0

    result = search(read(two_losses(tmp_path)), tmp_path / "out", quiet=True, train=train)
    assert result["num_units"] == 8
    assert result["trainings"] == 4 - sum(r["folds"] == 1 for r in result["candidates"])
    for row in result["candidates"]:
        run = runs.summary(tmp_path / "out" / row["folder"] / "fold-0")
        assert run["exports"] == {} or not run["exports"]
    scores = [r["scores"] for r in result["rounds"]]
    folder = next(r["folder"] for r in result["candidates"] if r["candidate"] == "dice")
    fold_0 = runs.summary(tmp_path / "out" / folder / "fold-0")["metrics"]["val"]["mean_iou"]
    assert scores[0]["dice"] == pytest.approx(fold_0)


@pytest.mark.slow
def test_the_command_trains_in_processes_and_repeats_nothing(tmp_path, capsys):
    argv = ["search", two_losses(tmp_path), "--out", tmp_path / "out", "--device", "cpu"]
    argv = list(map(str, argv))
    assert commands.main([*argv, "--json"]) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    assert "the best of 2, so optimistic" in printed
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("metrics.csv")}
    assert len(times) == result["trainings"]
    assert commands.main([*argv, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert times == {p: p.stat().st_mtime_ns for p in times}


def test_the_command_hands_over_what_was_asked(tmp_path, monkeypatch, capsys):
    seen = {}

    def fake(asked, out, **options):
        seen.update(asked=asked, out=out, **options)
        return {"winner": "good"}

    monkeypatch.setattr("tfvision.studies.study.race.run_race", fake)
    path = three(tmp_path / "a.yaml")
    argv = ["search", path, "--data", tmp_path, "--set", "train.epochs=3", "--device", "cpu"]
    assert commands.main([*map(str, argv), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"winner": "good"}
    assert str(seen["out"]) == "runs/search/a"
    assert (seen["device"], seen["quiet"]) == ("cpu", True)
    config = configs_of(seen["asked"])["good"]
    assert (config.train.epochs, config.data.source.kwargs["path"]) == (3, str(tmp_path))
    assert commands.main(["search", str(tmp_path / "none.yaml")]) == 2
    assert "Cannot read the config" in capsys.readouterr().err


def test_a_start_that_trained_nothing_does_not_bind_the_folder(tmp_path):
    """A typo in the data is found before any training; the file may be mended."""
    asked = read(three(tmp_path / "a.yaml"))
    with pytest.raises(KeyboardInterrupt):
        search(asked, tmp_path / "out", quiet=True, train=Trainer(0))
    mended = read(three(tmp_path / "a.yaml"), overrides=["train.epochs=7"])
    assert search(mended, tmp_path / "out", quiet=True, train=Trainer())["trainings"] == 7


def test_the_mixtures_of_the_experiment_are_a_search(tmp_path):
    asked = read(Path(__file__).parents[3] / "experiments" / "mixtures.yaml")
    assert len(configs_of(asked)) == 15
    assert {t.name for c in configs_of(asked).values() for t in c.loss} == {
        "dice",
        "boundary",
        "focal",
    }
