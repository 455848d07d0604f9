"""Ladders of a classification: on folds, on a labels file, equal epochs, rungs by --set.

In place of every process that would train or score there are folders with planted counts, save
in one slow test.
"""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support import classes, runs, scored
from tfvision.cli import commands
from tfvision.config import dump_config, load_any
from tfvision.engine.files import write_json, write_text
from tfvision.engine.signals import Interrupted
from tfvision.errors import InputError, PartFailed
from tfvision.metrics import classification
from tfvision.metrics.contract import Contract
from tfvision.runs import process
from tfvision.studies.folds.assign import assign_samples
from tfvision.studies.study import run as ladder
from tfvision.studies.study import scores as ladder_scores
from tfvision.studies.study import table as ladder_table
from tfvision.studies.study.ladder_file import read_ladder

EACH = 14  # images of each class
THREE = [
    {"name": "low"},
    {"name": "same", "over": {"model": {"name": "small_cnn", "filters": [4, 5], "units": 8}}},
    {"name": "high", "from": "low", "over": ["data.repeat=2"], "against": "low"},
]
GAINS = {"low": 0.0, "same": 0.0, "high": 2.5}


def write_file(path, rungs=THREE, **keys):
    content = {
        "base": {
            "task": "classification",
            "data": {"batch_size": 4, "test_fraction": 0},
            "model": {"name": "small_cnn", "filters": [4, 4], "units": 8},
            "train": {"optimizer": runs.SGD, "export": False},
        },
        "epochs": 2,
        "seeds": [0, 1],
        "metrics": ["macro_f1", "accuracy"],
        "rungs": rungs,
    }
    content |= keys
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


def read(path, **options):
    return read_ladder(path, **options)


def planted(names, truth, *, gain, own):
    """(N, K, K): one image a matrix, right the more often the more `gain`; how hard an image is
    depends on its name, the luck on `own`."""
    cms = np.zeros((len(names), 3, 3), np.int64)
    luck = np.random.default_rng(own)
    for place, (name, k) in enumerate(zip(names, truth, strict=True)):
        hard = np.random.default_rng(list(name.encode())).normal()
        right = 0.2 + gain + 1.2 * hard + 0.4 * luck.normal() > 0
        cms[place, k, k if right else (k + 1) % 3] = 1
    return cms


class Processes:
    """In the place of `process.run_process`: leaves what the process would have left."""

    def __init__(self):
        self.gains, self.started, self.stop_after, self.fail = dict(GAINS), [], None, None
        self.assigned = {}
        self.trap = 0.0  # by which gains are greater on validation

    def __call__(self, argv, *, log=None):
        flags = dict(itertools.pairwise(argv))
        if "evaluate" in argv:
            return self.evaluate(flags["evaluate"], flags["--labels"], flags["--out"])
        out = flags.get("--resume") or flags["--out"]
        rung, seed = out.split("/")[-2:]
        if self.fail == rung:
            return 3
        if self.stop_after is not None and len(self.started) >= self.stop_after:
            raise Interrupted(15)
        self.started.append((rung, seed, "--resume" in flags))
        path = f"{out}/folds.yaml" if "--resume" in flags else flags["--config"]
        config = load_any(path)
        number = list(self.gains).index(rung) * 100 + config.seed
        train = self.folds if config.data.folds else self.run
        train(Path(out), config, self.gains[rung], number)
        return 0

    def folds(self, out, config, gain, number):
        key = str((config.data.splits, config.data.exclude))
        if key not in self.assigned:
            self.assigned[key] = assign_samples(config)
        assigned = self.assigned[key]
        truth = assigned.prepared.scan.class_pixels[assigned.indices].argmax(axis=1)
        cms = planted(assigned.names, truth, gain=gain, own=number)
        write_text(out / "folds.yaml", dump_config(config))
        for fold in range(config.data.folds):
            own = np.flatnonzero(np.array(assigned.folds) == fold)
            self.write(out / f"fold-{fold}", config, cms[own], [assigned.names[i] for i in own])
        np.savez(out / "out_of_fold_confusion.npz", ids=np.array(assigned.names), plain=cms)
        write_json(out / "summary.json", {})
        samples = {"ids": assigned.names, "folds": assigned.folds, "units": assigned.units}
        write_json(out / "folds.json", {"samples": samples})

    def run(self, out, config, gain, number):
        with open(config.data.splits, newline="") as file:
            ids = [row["id"] for row in csv.DictReader(file) if row["split"] == "val"]
        truth = [classes.NAMES.index(name.split("/")[-2]) for name in ids]
        self.write(out, config, planted(ids, truth, gain=gain + self.trap, own=number), ids)
        (out / "gain").write_text(f"{gain} {number}")

    def write(self, out, config, cms, ids):
        about = {"steps": 9, "wall_seconds": 6.0, "task": "classification", "exports": []}
        data = {"class_names": classes.NAMES, "num_classes": 3}
        scored.scored_run(out, cms, split="val", ids=ids, data=data, summary=about)
        (out / "config.yaml").write_text(dump_config(config))
        (out / "report.html").write_text("<p>")

    def evaluate(self, run, labels, out):
        self.started.append(("evaluate", *run.split("/")[-2:]))
        gain, number = Path(run, "gain").read_text().split()
        with open(labels, newline="") as file:
            rows = list(csv.DictReader(file))
        ids = [row["Id"].removesuffix(".png") for row in rows]
        truth = [classes.NAMES.index(row["Category"]) for row in rows]
        cms = planted(ids, truth, gain=float(gain), own=int(number))
        path = Path(out, "predictions")
        path.mkdir(parents=True)
        np.savez(path / "labels_confusion.npz", ids=np.array(ids), plain=cms)
        return 0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder for each class, 14 images in each."""
    root = tmp_path_factory.mktemp("data") / "cells"
    for label, name in enumerate(classes.NAMES):
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            pixels = classes.picture(100 * label + i, label)
            classes.Image.fromarray(pixels).save(root / name / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """train/ with a folder for each class, test/ flat; truth.csv of all test images but one."""
    root = tmp_path_factory.mktemp("later")
    classes.write_folders(root / "data/train", 10)
    (root / "data/test").mkdir()
    lines = ["Id,Category"]
    for i in range(40):
        pixels = classes.picture(900 + i, i % 3)
        classes.Image.fromarray(pixels).save(root / f"data/test/t{i:02d}.png")
        lines.append(f"t{i:02d}.png,{classes.NAMES[i % 3]}")
    (root / "truth.csv").write_text("\n".join(lines[:-1]) + "\n")
    return root


@pytest.fixture
def processes(monkeypatch):
    made = Processes()
    monkeypatch.setattr(process, "run_process", made)
    monkeypatch.setattr(ladder_table, "RESAMPLES", 300)
    return made


@pytest.fixture
def run_ladder(tmp_path, source, processes):
    """`run_ladder(**keys of the file)` -> ladder.json."""

    def run(rungs=THREE, *, options=None, redo=False, data=source, **keys):
        asked = read(write_file(tmp_path / "toy.yaml", rungs, **keys), data=data, **options or {})
        table = ladder.run_all(asked, tmp_path / "out", device="cpu", redo=redo)
        assert json.loads((tmp_path / "out" / "ladder.json").read_text()) == table
        return table

    return run


@pytest.fixture(scope="module")
def on_folds(tmp_path_factory, source):
    """The folder of a whole ladder on three folds, and its table."""
    folder, made = tmp_path_factory.mktemp("on_folds"), Processes()
    asked = read(write_file(folder / "toy.yaml", folds=3), data=source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "run_process", made)
        patch.setattr(ladder_table, "RESAMPLES", 300)
        table = ladder.run_all(asked, folder / "out", device="cpu")
    assert made.started == [(n, f"seed-{s}", False) for s in (0, 1) for n in GAINS]
    return folder / "out", table


def by_name(table):
    return {row["name"]: row for row in table["rungs"]}


def verdicts(table, metric="macro_f1"):
    found = {name: row["compared"].get(metric) for name, row in by_name(table).items()}
    return {name: one and one["verdict"] for name, one in found.items()}


def exclude(tmp_path, source, names):
    path = tmp_path / "exclude.csv"
    path.write_text("id,reason\n" + "".join(f"{name},doubtful\n" for name in names))
    return path


# --------------------------------------------------------------------------- folds


def test_a_better_rung_on_folds_is_found_and_an_equal_one_cannot_be_told(on_folds):
    _, table = on_folds
    assert verdicts(table) == {"low": None, "same": "cannot tell", "high": "better"}
    assert verdicts(table, "accuracy")["high"] == "better"
    assert table["scored"] == "folds"
    assert (table["num_images"], table["num_units"]) == (3 * EACH, 3 * EACH)
    assert any("one assignment of folds" in line for line in table["cautions"])


def test_scores_on_folds_are_those_of_all_counts_together(on_folds):
    out, rows = on_folds[0], by_name(on_folds[1])
    for seed in (0, 1):
        folder = out / f"runs/high/seed-{seed}"
        with np.load(folder / "out_of_fold_confusion.npz") as file:
            counts = file["plain"]
        for metric in ("macro_f1", "accuracy"):
            wanted = classification.SCORES[metric](counts, Contract())
            assert rows["high"]["scores"][metric]["each"][seed] == pytest.approx(wanted)


def test_all_rungs_and_seeds_are_assigned_alike(on_folds):
    out, _ = on_folds
    assigns = {
        tuple(sorted(zip(s["ids"], s["folds"], strict=True)))
        for path in (out / "runs").glob("*/*/folds.json")
        for s in [json.loads(path.read_text())["samples"]]
    }
    assert len(assigns) == 1
    rows = classes.rows(out / "splits.csv")
    assert sorted((r["id"], int(r["fold"])) for r in rows) == list(assigns.pop())


def test_steps_are_those_of_the_folds_own_training_parts(run_ladder, tmp_path):
    """28 of 42 images train: 7 steps of 4 an epoch; twice as many where each comes twice."""
    run_ladder(folds=3, epochs=None, steps=21, seeds=[0])
    epochs = {
        name: load_any(tmp_path / f"out/runs/{name}/seed-0/folds.yaml").train.epochs
        for name in GAINS
    }
    assert epochs == {"low": 3, "same": 3, "high": 2}  # 21 / 7, 21 / 14 rounded to even


def test_a_folds_ladder_goes_on_after_a_kill(run_ladder, processes, tmp_path):
    two, processes.stop_after = THREE[::2], 3
    with pytest.raises(Interrupted):
        run_ladder(two, folds=3)
    first = json.loads((tmp_path / "out/ladder.json").read_text())
    assert "Not finished: 1 of 2 seeds so far." in first["cautions"]
    unfinished = tmp_path / "out/runs/low/seed-1"
    (unfinished / "folds.json").unlink()  # as it is until its last fold is trained
    for path in unfinished.glob("fold-*"):
        ladder.shutil.rmtree(path)
    (unfinished / "fold-0").mkdir()  # which has come to its first step
    (unfinished / "fold-0/config.yaml").touch()
    processes.stop_after = None
    table = run_ladder(two, folds=3)
    assert processes.started[3:] == [("low", "seed-1", True), ("high", "seed-1", False)]
    assert run_ladder(two, folds=3) == table
    assert len(processes.started) == 5


def test_a_rung_that_leaves_samples_out_is_compared_on_what_both_have(
    run_ladder, tmp_path, source, processes
):
    processes.gains = {"low": 0.0, "clean": 0.0, "high": 2.5}
    names = [f"dark/{i:02d}" for i in range(5)]
    clean = {"name": "clean", "over": {"data": {"exclude": str(exclude(tmp_path, source, names))}}}
    above = {"name": "high", "from": "clean"}
    table = run_ladder([THREE[0], clean, above], folds=3, seeds=[0])
    rows, ids = by_name(table), {}
    assert [rows[n]["num_images"] for n in ("low", "clean", "high")] == [42, 37, 37]
    assert table["num_images"] == 42
    for name in rows:
        folder = tmp_path / f"out/runs/{name}/seed-0"
        record = json.loads((folder / "folds.json").read_text())["samples"]
        with np.load(folder / "out_of_fold_confusion.npz") as file:
            cms = dict(zip(record["ids"], file["plain"], strict=True))
        ids[name] = (dict(zip(record["ids"], record["folds"], strict=True)), cms)
        own = classification.macro_f1(np.stack(list(cms.values())), Contract())
        assert rows[name]["scores"]["macro_f1"]["each"][0] == pytest.approx(own)
    both = ids["clean"][0].keys()
    assert not set(names) & both
    assert ids["clean"][0] == {n: f for n, f in ids["low"][0].items() if n in both}
    found = rows["clean"]["compared"]["macro_f1"]
    assert (found["num_images"], rows["high"]["compared"]["macro_f1"]["num_images"]) == (37, 37)
    low, own = (
        classification.macro_f1(np.stack([ids[name][1][n] for n in both]), Contract())
        for name in ("low", "clean")
    )
    assert found["seed_differences"][0] == pytest.approx(own - low)
    assert verdicts(table) == {"low": None, "clean": "cannot tell", "high": "better"}
    line = next(line for line in table["cautions"] if "different numbers of images" in line)
    assert "(low 42, clean 37, high 37)" in line
    markdown = (tmp_path / "out/ladder.md").read_text()
    assert "| images | images compared |" in markdown
    assert "| 42 | – |" in markdown
    assert "| 37 | 37 |" in markdown


def test_an_exclude_list_that_changed_is_another_config(run_ladder, tmp_path, source):
    path = exclude(tmp_path, source, ["dark/00"])
    rungs = [THREE[0], {"name": "same", "over": {"data": {"exclude": str(path)}}}]
    run_ladder(rungs, folds=3, seeds=[0])
    exclude(tmp_path, source, ["dark/01"])
    with pytest.raises(InputError, match=r"same:\n    exclude_sha256: .*\nTrain these again"):
        run_ladder(rungs, folds=3, seeds=[0])


def test_units_that_only_one_side_joins_are_one():
    def scores(ids, units):
        return ladder_scores.RungScores(ids, [], units, None, None, [])

    first = scores(["a", "b", "c", "d"], ["u", "u", "u", "v"])
    second = scores(["d", "c", "a"], ["x", "y", "z"])  # b, which joined a and c, was left out
    assert ladder_scores.common(first, second) == (
        ["a", "c", "d"],
        ["0000000", "0000000", "0000002"],
    )
    joined = scores(["a", "c", "d"], ["1", "2", "2"])
    assert len(set(ladder_scores.common(first, joined)[1])) == 1


def test_no_rung_with_all_samples_is_refused(run_ladder, tmp_path, source):
    rungs = []
    for name in ("dark", "grey"):
        (tmp_path / name).mkdir()
        path = exclude(tmp_path / name, source, [f"{name}/00"])
        rungs.append({"name": name, "from": None, "over": {"data": {"exclude": str(path)}}})
    with pytest.raises(InputError, match=r"'grey' has 1 samples \('dark/00', .*no rung has all"):
        run_ladder(rungs, folds=3)


def test_folds_assigned_otherwise_are_refused(run_ladder, tmp_path):
    run_ladder(folds=3, seeds=[0])
    path = tmp_path / "out/runs/same/seed-0/folds.json"
    record = json.loads(path.read_text())
    record["samples"]["folds"][0] = 2
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"same/seed-0: 1 samples are in other folds than this"):
        run_ladder(folds=3, seeds=[0])


def test_another_number_of_folds_is_another_ladder(run_ladder):
    run_ladder(folds=3, seeds=[0])
    with pytest.raises(InputError, match="a ladder of another number of folds"):
        run_ladder(folds=2, seeds=[0])


def test_a_rung_whose_fold_fails_leaves_the_others(run_ladder, processes):
    processes.fail = "same"
    with pytest.raises(PartFailed, match=r"1 of 3 rungs failed \(same\).*exit code 3; .*says why"):
        run_ladder(folds=3, seeds=[0])


# --------------------------------------------------------------------------- labels


def test_rungs_are_scored_on_labels_and_validation_stands_beside_them(
    run_ladder, processes, later, tmp_path
):
    processes.trap = 6.0
    table = run_ladder(data=later / "data", options={"labels": later / "truth.csv"})
    rows = by_name(table)
    assert verdicts(table) == {"low": None, "same": "cannot tell", "high": "better"}
    assert (table["scored"], table["num_images"]) == ("labels", 39)
    assert rows["low"]["validation"]["mean"] == 1.0
    assert rows["low"]["scores"]["macro_f1"]["mean"] < 0.75
    said = " ".join(table["cautions"])
    assert "Scores are on truth.csv, which no training opens" in said
    assert f"low: validation 1.000, here {rows['low']['scores']['macro_f1']['mean']:.3f}" in said
    assert "high: validation" not in said
    markdown = (tmp_path / "out/ladder.md").read_text()
    assert "39 images of truth.csv" in markdown
    assert "| validation |" in markdown
    with open(tmp_path / "out/ladder.csv", newline="") as file:
        assert {row["name"]: row["validation"] for row in csv.DictReader(file)}["low"] == "1.0"


def test_labels_are_scored_once_and_again_where_they_change(run_ladder, processes, later, tmp_path):
    options = {"labels": tmp_path / "truth.csv"}
    options["labels"].write_text((later / "truth.csv").read_text())
    table = run_ladder(data=later / "data", options=options, seeds=[0])
    assert [what[0] for what in processes.started].count("evaluate") == 3
    assert run_ladder(data=later / "data", options=options, seeds=[0]) == table
    assert len(processes.started) == 6
    lines = options["labels"].read_text().splitlines()
    options["labels"].write_text("\n".join(lines[:-4]) + "\n")
    assert run_ladder(data=later / "data", options=options, seeds=[0])["num_images"] == 35
    assert [what[0] for what in processes.started[6:]] == ["evaluate"] * 3


def test_labels_that_fit_nothing_are_refused_before_training(
    run_ladder, processes, later, tmp_path
):
    path = tmp_path / "other.csv"
    path.write_text("Id,Category\nt00.png,black\n")
    with pytest.raises(InputError, match="'black' is no class"):
        run_ladder(data=later / "data", options={"labels": path})
    with pytest.raises(InputError, match="no unlabelled `test` images"):
        run_ladder(options={"labels": later / "truth.csv"})
    assert processes.started == []


# --------------------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("rungs", "keys", "message"),
    [
        (THREE, {"steps": 3}, "give steps .* or epochs .*, not both; got steps 3 and epochs 2"),
        (THREE, {"settings": {"a": {"steps": 1, "epochs": 1}}}, r"settings\.a.*not both"),
        (THREE, {"folds": 1}, "folds.*greater than or equal to 2"),
        (THREE, {"fold": 3}, "Did you mean 'folds'"),
        (THREE, {"folds": 3, "units": "images"}, r"leave out units \(images\) under folds 3"),
        (THREE, {"labels": "absent.csv"}, "--labels absent.csv: there is no such file"),
        (THREE, {"folds": 3, "labels": "a.csv"}, "under folds 3 .*Leave one out"),
        (THREE, {"metrics": ["macro_f2"]}, "score of a classification: .*'macro_f1'"),
        (THREE, {"metrics": ["plain"]}, "Unknown score of a classification: 'plain'"),
        ([THREE[0], {"name": "x", "times": 2, "epochs": 3}], {}, "times or epochs, not both"),
        ([THREE[0], {"name": "x", "epochs": 0}], {}, r"epochs.*greater than 0"),
        (
            [THREE[0], {"name": "x", "search": {"folds": 3}}],
            {},
            "serves segmentation, detection, not class",
        ),
        ([THREE[0], {"name": "x", "over": ["data.folds=3", "data.fold=0"]}], {}, "a key `folds`"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, rungs, keys, message):
    with pytest.raises(InputError, match=message):
        read(write_file(tmp_path / "toy.yaml", rungs, **keys))


def test_a_search_among_folds_is_refused(tmp_path):
    base = {"model": {"name": "unet", "width": 4}}
    rungs = [{"name": "a"}, {"name": "b", "search": {"folds": 3}}]
    path = write_file(tmp_path / "toy.yaml", rungs, base=base, metrics=None, folds=3)
    with pytest.raises(
        InputError, match="rung 'b': a search looks at all samples that are assigned"
    ):
        read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"epochs": 1, "steps": 1}, "--steps .* or --epochs, not both; got 1 and 1"),
        ({"overrides": ["hgih:data.repeat=2"]}, "--set hgih.*Unknown rung: 'hgih'.*'high'"),
    ],
)
def test_wrong_flags_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        read(write_file(tmp_path / "toy.yaml"), **options)


def test_settings_and_flags_say_what_is_scored_and_how_long(tmp_path, later):
    truth = str(later / "truth.csv")
    blocks = {"out": {"folds": 4, "steps": 50}, "later": {"labels": truth}}
    path = write_file(tmp_path / "toy.yaml", settings=blocks)
    plain, out, on = (read(path, settings=name) for name in (None, "out", "later"))
    assert [one.scored for one in (plain, out, on)] == ["test", "folds", "labels"]
    assert [(one.steps, one.epochs) for one in (plain, out)] == [(None, 2), (50, None)]
    assert (out.folds, str(on.labels)) == (4, truth)
    assert (read(path, steps=7).steps, read(path, settings="out", epochs=7).epochs) == (7, 7)
    assert read(write_file(tmp_path / "b.yaml", epochs=None)).steps == 600
    assert read(write_file(tmp_path / "b.yaml", metrics=None)).metrics == ("contract",)


def test_set_with_a_rung_before_it_goes_to_that_rung_and_those_from_it(tmp_path):
    rungs = [
        {"name": "low"},
        {"name": "cut", "from": "low", "over": {"data": {"input": "crop(margin=0.2)"}}},
        {"name": "above", "from": "cut", "over": {"train": {"unfreeze": {"every": 2}}}},
        {"name": "own", "from": "cut", "over": {"data": {"input": "full"}}},
    ]
    path = write_file(tmp_path / "toy.yaml", rungs, settings={"s": {"set": ["cut:data.repeat=3"]}})
    given = ["cut:data.input=crop(margin=0.5)", "data.groups='a:b'"]
    found = {r.name: r.config for r in read(path, settings="s", overrides=given).rungs}
    margins = {name: config.data.input.kwargs.get("margin") for name, config in found.items()}
    assert margins == {"low": None, "cut": 0.5, "above": 0.5, "own": None}
    assert {n: c.data.repeat for n, c in found.items()} == {
        "low": 1,
        "cut": 3,
        "above": 3,
        "own": 3,
    }
    assert {config.data.groups for config in found.values()} == {"a:b"}
    assert (found["above"].train.unfreeze.every, found["cut"].train.unfreeze) == (2, None)


@pytest.mark.parametrize(
    ("name", "rungs", "scored"), [("cells", 7, "folds"), ("signs", 8, "test"), ("mars", 13, "test")]
)
def test_the_ladders_of_the_repository_are_read(name, rungs, scored):
    path = Path(__file__).parents[3] / "experiments" / f"{name}.yaml"
    found = read(path)
    assert (len(found.rungs), found.scored) == (rungs, scored)
    assert all(rung.about for rung in found.rungs)


def test_a_backbone_that_is_not_there_is_said_before_anything_is_trained(run_ladder, processes):
    backbone = {"path": "absent.keras", "preprocessing": {"scale": 255}}
    over = {"model": {"name": "transfer", "backbone": backbone}}
    with pytest.raises(InputError, match=r"Rung 'high': .*absent\.keras"):
        run_ladder([THREE[0], {"name": "high", "over": over}], folds=3)
    assert processes.started == []


def test_named_scores_need_one_contract(run_ladder):
    other = {"name": "x", "over": {"metrics": ["accuracy(ignore_labels=[0])"]}}
    with pytest.raises(InputError, match=r"different metric contracts.*give all rungs one"):
        run_ladder([THREE[0], other], folds=3)


def test_epochs_of_a_rung_are_its_own(run_ladder, tmp_path):
    table = run_ladder([THREE[0], {"name": "same", "epochs": 5}], folds=3, seeds=[0])
    assert [row["epochs"] for row in table["rungs"]] == [2, 5]
    assert table["length"] == {"epochs": 2}
    assert "Rungs with epochs of their own: same 5." in table["cautions"]
    assert "equal 2 epochs" in (tmp_path / "out/ladder.md").read_text()


# --------------------------------------------------------------------------- whole


@pytest.mark.slow
def test_a_whole_folds_ladder_of_real_runs(tmp_path, source):
    """Real processes: two rungs, two folds; the table is what the folds folders say."""
    rungs = [{"name": "a"}, {"name": "b", "over": {"data": {"repeat": 2}}}]
    file = write_file(tmp_path / "toy.yaml", rungs, seeds=[3], folds=2)
    flags = ["ladder", str(file), "--data", str(source), "--out", str(tmp_path / "out")]
    assert commands.main([*flags, "--device", "cpu", "--debug"]) == 0
    table = json.loads((tmp_path / "out/ladder.json").read_text())
    for row in table["rungs"]:
        folder = tmp_path / f"out/runs/{row['name']}/seed-3"
        pooled = runs.summary(folder)["metrics"]["pooled"]
        for metric in ("macro_f1", "accuracy"):
            assert row["scores"][metric]["mean"] == pytest.approx(pooled[metric])
        steps = [runs.summary(folder / f"fold-{i}")["steps"] for i in range(2)]
        assert row["steps"] == round(np.mean(steps))
    assert commands.main([*flags, "--device", "cpu", "--debug"]) == 0
