"""The ladder: its file, what it trains and keeps, its table against the runs' own files.

Trainings are replaced by folders with planted counts, save in one test; how a run is trained in
a process of its own is tested in test_process or test_folds.
"""

import csv
import json
import re
import xml.dom.minidom
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from tests.support import runs, scored
from tfvision.cli import commands
from tfvision.config import load_config
from tfvision.data.sources.recognise import open_source
from tfvision.engine.signals import Interrupted
from tfvision.errors import InputError
from tfvision.metrics import contract
from tfvision.metrics.ratios import score_ratios
from tfvision.runs.process import ProcessFailed
from tfvision.stats.bootstrap import holm
from tfvision.stats.seeds import compare_seeds
from tfvision.studies.compare import compare
from tfvision.studies.study import plan, shared_split
from tfvision.studies.study import run as ladder
from tfvision.studies.study import table as ladder_table
from tfvision.studies.study import training as study_training
from tfvision.studies.study.ladder_file import read_ladder
from tfvision.tasks.segmentation.schema import SegmentationConfig

IMAGES = 40
THREE = [
    {"name": "low", "about": "the lowest", "reported": 0.4},
    {"name": "same", "over": {"model": {"name": "unet", "width": 5, "depth": 1}}},
    {"name": "high", "from": "low", "over": ["data.repeat=2"], "reported": 0.55, "against": "low"},
]
GAINS = {"low": 0.0, "same": 0.0, "high": 1.5}


def write_file(path, rungs=THREE, **keys):
    content = {
        "base": {
            "data": {"batch_size": 4},
            "model": {"name": "unet", "width": 4, "depth": 1},
            "train": {"optimizer": runs.SGD, "export": False},
        },
        "steps": 6,
        "seeds": [0, 1, 2],
        "metrics": ["plain", "keras_ignore_class_0"],
        "rungs": rungs,
    }
    path.write_text(yaml.safe_dump({**content, **keys}))
    return path


def read(path, **options):
    return read_ladder(path, **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """10 images to train, 4 to validate, 40 to test."""
    return runs.write_npz(tmp_path_factory.mktemp("data") / "scenes.npz", test=IMAGES)


class Trainer:
    """In the place of `train_in_process`: leaves a finished run with planted counts."""

    def __init__(self):
        self.gains, self.trained, self.configs = dict(GAINS), [], {}
        self.stop_after = self.fail = self.drops = None

    def __call__(self, config_path, out, *, device, log, **_):
        assert device == "cpu"
        config = load_config(SegmentationConfig, config_path)
        if (out / "summary.json").is_file():
            return json.loads((out / "summary.json").read_text())
        rung = out.parent.name
        if rung == self.fail:
            raise ProcessFailed(f"{rung} went wrong", 3)
        if self.stop_after is not None and len(self.trained) >= self.stop_after:
            raise Interrupted(15)
        self.trained.append((rung, config.seed))
        self.configs[rung, config.seed] = config
        number = list(self.gains).index(rung) * 100 + config.seed + 1
        luck = 0.02 * np.random.default_rng(number).normal()
        cms = scored.counts(IMAGES, gain=self.gains[rung] + luck, own=number)
        if rung == self.drops:  # class 0 is never predicted
            cms[:, 0] = cms[:, 0, ::-1] * 0 + np.stack(
                [np.zeros(IMAGES, int), cms[:, 0].sum(axis=1)], axis=1
            )
            cms[:, 1, 1] += cms[:, 1, 0]
            cms[:, 1, 0] = 0
        summary = {"steps": 6, "wall_seconds": 30.0}
        with open(config.data.splits, newline="") as file:
            ids = [row["id"] for row in csv.DictReader(file) if row["split"] == "test"]
        scored.scored_run(out, cms, ids=ids, config={"seed": config.seed}, summary=summary)
        return summary


@pytest.fixture
def trainer(monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(study_training, "train_in_process", trainer)
    for module in (ladder_table, compare):
        monkeypatch.setattr(module, "RESAMPLES", 300)
    return trainer


@pytest.fixture
def run_ladder(tmp_path, source, trainer, capsys):
    """`run_ladder(**keys of the file)` -> ladder.json."""

    def run(rungs=THREE, *, options=None, redo=False, data=source, **keys):
        path = write_file(tmp_path / "toy.yaml", rungs, **keys)
        asked = read(path, data=data, **(options or {}))
        table = ladder.run_all(asked, tmp_path / "out", device="cpu", redo=redo)
        assert json.loads((tmp_path / "out" / "ladder.json").read_text()) == table
        return table

    return run


def configs_of(study):
    return {rung.name: rung.config for rung in study.rungs}


def by_name(table):
    return {row["name"]: row for row in table["rungs"]}


# What is trained


def test_a_whole_ladder_of_real_runs(tmp_path, source, monkeypatch):
    """Two rungs, trained in this process: the table is what their own files say."""
    calls = []

    def here(config_path, out, *, device, log, **_):
        if not (out / "summary.json").is_file():
            calls.append(out)
            assert runs.train("--config", config_path, "--out", out, "--quiet") == 0

    monkeypatch.setattr(study_training, "train_in_process", here)
    rungs = [
        {"name": "a"},
        {"name": "b", "times": 2, "over": {"postprocess": ["drop_class(index=0)"]}},
    ]
    file = write_file(tmp_path / "toy.yaml", rungs, seeds=[3], steps=2, units=5)
    out = tmp_path / "out"
    flags = ("ladder", file, "--data", source, "--out", out, "--quiet")
    assert runs.use(*flags) == 0
    assert calls == [out / "runs" / name / "seed-3" for name in ("a", "b")]
    table = json.loads((out / "ladder.json").read_text())
    assert (table["num_images"], table["num_units"]) == (IMAGES, IMAGES // 5)
    for row, path, steps, counts in zip(
        table["rungs"], calls, (2, 4), ("plain", "processed"), strict=True
    ):
        summary = runs.summary(path)
        assert row["steps"] == summary["steps"] == steps
        assert row["parameters"] == summary["num_parameters"]
        assert summary["exports"] == []
        assert not (path / "export").exists()
        with np.load(path / "predictions" / "test_confusion.npz") as file_:
            cms = file_[counts]
        assert row["scores"]["plain"]["mean"] == pytest.approx(contract.mean_iou(cms))
        ignoring = contract.mean_iou(cms, contract.Contract(ignore_labels=(0,)))
        assert row["scores"]["keras_ignore_class_0"]["mean"] == pytest.approx(ignoring)
    members = [runs.data(path)["splits"] for path in calls]
    assert members[0] == members[1]
    assert runs.use(*flags) == 0
    assert len(calls) == 2


def test_rungs_share_split_steps_and_seeds(run_ladder, trainer):
    table = run_ladder()
    assert trainer.trained == [(name, seed) for seed in (0, 1, 2) for name in GAINS]
    splits = {config.data.splits for config in trainer.configs.values()}
    assert len(splits) == 1
    # 10 images: 2 steps of 4 an epoch; twice 10 images: 5 steps an epoch, so 1 epoch of 5.
    assert {n: trainer.configs[n, 0].train.epochs for n in GAINS} == {
        "low": 3,
        "same": 3,
        "high": 1,
    }
    assert table["seeds"] == [0, 1, 2]


def test_a_ladder_goes_on_after_a_kill(run_ladder, trainer, tmp_path):
    trainer.stop_after = 4
    with pytest.raises(Interrupted):
        run_ladder()
    first = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert first["seeds"] == [0]
    assert "Not finished: 1 of 3 seeds so far." in first["cautions"]
    trainer.stop_after = None
    table = run_ladder()
    assert len(trainer.trained) == len(set(trainer.trained)) == 9
    assert table["seeds"] == [0, 1, 2]
    assert run_ladder() == table
    assert len(trainer.trained) == 9


def test_a_rung_that_changed_is_refused_and_only_it_is_trained_again(run_ladder, trainer):
    run_ladder()
    changed = [THREE[0], {"name": "same", "over": {"data": {"batch_size": 5}}}, THREE[2]]
    with pytest.raises(InputError, match=r"rungs of another config") as error:
        run_ladder(changed)
    text = str(error.value)
    assert "same:" in text
    assert "config.data.batch_size: 4 -> 5" in text
    assert "config.model.width: 5 -> 4" in text
    assert "high:" not in text
    trainer.trained.clear()
    run_ladder(changed, redo=True)
    assert trainer.trained == [("same", seed) for seed in (0, 1, 2)]


def test_words_may_change_and_rungs_and_seeds_may_join(run_ladder, trainer):
    run_ladder()
    trainer.trained.clear()
    trainer.gains["more"] = 0.5
    new = [{**THREE[0], "about": "other words", "reported": 0.3}, *THREE[1:], {"name": "more"}]
    table = run_ladder(new, seeds=[0, 1, 2, 7])
    fresh = {("more", s) for s in (0, 1, 2)} | {(name, 7) for name in [*GAINS, "more"]}
    assert set(trainer.trained) == fresh
    assert by_name(table)["low"]["about"] == "other words"


def test_more_steps_are_another_config(run_ladder):
    run_ladder()
    with pytest.raises(InputError, match=r"low:\n    epochs: 3 -> 6"):
        run_ladder(steps=12)


def test_other_data_are_refused(run_ladder, tmp_path):
    run_ladder()
    other = runs.write_npz(tmp_path / "other.npz", train=11, test=IMAGES)
    before = (tmp_path / "out" / "splits.csv").read_text()
    with pytest.raises(InputError, match="a ladder of another data set"):
        run_ladder(data=other)
    assert (tmp_path / "out" / "splits.csv").read_text() == before


def test_a_rung_that_fails_leaves_the_others(run_ladder, trainer, tmp_path, capsys):
    trainer.fail = "same"
    with pytest.raises(Exception, match=r"1 of 3 rungs failed \(same\).*same went wrong"):
        run_ladder()
    assert [name for name, _ in trainer.trained] == ["low", "high"] * 3
    rows = by_name(json.loads((tmp_path / "out" / "ladder.json").read_text()))
    assert rows["same"]["failed"] == "same went wrong"
    assert rows["high"]["compared"]["plain"]["verdict"] == "better"
    assert "same failed and is not compared" in capsys.readouterr().out


def test_what_cannot_be_trained_is_said_of_all_rungs_before_anything_is(
    run_ladder, trainer, tmp_path
):
    rungs = [
        THREE[0],
        {"name": "hue", "over": ["data.augment=[{name: hsv}]"]},
        {"name": "coloured", "over": ["data.augment=[{name: hsv}]", "data.channels=3"]},
        {"name": "pasted", "over": ["data.mix=[{name: copy_paste, classes: [9]}]"]},
        {"name": "deep", "over": ["model.depth=9"]},
        {"name": "thin", "from": "low", "over": ["model.width=0"]},
        {"name": "typo", "over": ["model.widht=4"]},
        {"name": "again", "over": ["model.widht=4"]},
    ]
    with pytest.raises(InputError) as error:
        run_ladder(rungs)
    said = str(error.value)
    assert said.startswith("6 rungs cannot be trained, so nothing was:\nRung 'hue': hsv: changes")
    assert "\nRung 'pasted': data.mix, copy_paste: classes names 9" in said
    assert "\nRung 'deep': model.depth 9 halves" in said
    assert "\nRung 'thin': " in said
    assert "\nRungs 'typo', 'again': Unknown argument of model `unet`: 'widht'" in said
    assert not any(name in said for name in ("'coloured'", "'low'"))
    assert trainer.trained == []
    trainer.gains = {"low": 0.0, "coloured": 0.0}
    table = run_ladder([rungs[0], rungs[2]])  # in the same folder
    assert [row["name"] for row in table["rungs"]] == ["low", "coloured"]


def test_where_all_rungs_fail_no_table_is_named(run_ladder, monkeypatch, tmp_path, capsys):
    def fail(*_, **__):
        raise ProcessFailed("it went wrong", 3)

    monkeypatch.setattr(study_training, "train_in_process", fail)
    with pytest.raises(Exception, match=r"3 of 3 rungs failed .* too few are left for a table\."):
        run_ladder()
    assert "ladder.md" not in capsys.readouterr().err
    assert not (tmp_path / "out" / "ladder.md").exists()


def test_a_search_looks_at_no_test_image(run_ladder, trainer, tmp_path, monkeypatch):
    """Its loss is the rung's, for all seeds; it assigns folds of training and validation."""
    found = []

    def search(asked, out, *, device, quiet):
        found.append(asked)
        out.mkdir(parents=True, exist_ok=True)
        config = configs_of(asked)["focal alone"].model_dump()
        (out / "best.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config, default=str))))

    monkeypatch.setattr(ladder, "run_race", search)
    asked = {
        "steps": 2,
        "folds": 2,
        "candidates": [
            {"name": "dice alone", "set": {"loss": ["dice"]}},
            {"name": "focal alone", "set": {"loss": ["focal"]}},
        ],
    }
    trainer.gains = {"low": 0.0, "sought": 0.0}
    run_ladder([THREE[0], {"name": "sought", "search": asked}], seeds=[0, 1])
    assert [c.name for c in trainer.configs["sought", 1].loss] == ["focal"]
    assert [c.name for c in trainer.configs["low", 0].loss] == ["cross_entropy"]
    base = configs_of(found[0])["dice alone"]
    assert base.train.epochs == 1
    with open(base.data.splits, newline="") as file:
        said = [row["split"] for row in csv.DictReader(file)]
    assert (said.count("train"), said.count("val"), said.count("test")) == (14, 0, IMAGES)


@pytest.mark.parametrize(
    ("length", "searched"),
    [({"epochs": 100}, 40), ({"epochs": 2}, 2), ({"steps": 30}, 3), ({"steps": 800}, 40)],
)
def test_a_search_is_no_longer_than_the_training_that_it_is_for(length, searched):
    """`--epochs 2` is a first look; 40 epochs of each candidate before it were none."""
    study = SimpleNamespace(**{"epochs": None, "steps": None, **length})
    rung = SimpleNamespace(epochs=None, times=1.0, search={"steps": 400})
    assert plan._length(study, rung, [10, 10]).search_epochs == searched


# The table


def test_planted_steps_get_their_verdicts(run_ladder, trainer):
    trainer.gains = {"low": 0.0, "same": 0.0, "high": 1.5, "down": 0.0}
    table = run_ladder([*THREE, {"name": "down"}])
    rows = by_name(table)
    found = {name: row["compared"].get("plain", {}).get("verdict") for name, row in rows.items()}
    assert found == {"low": None, "same": "cannot tell", "high": "better", "down": "worse"}
    assert rows["high"]["against"] == "low"
    assert rows["high"]["reported_difference"] == pytest.approx(0.15)
    assert rows["down"]["against"] == "high"


def test_numbers_are_those_of_the_runs(run_ladder, tmp_path):
    table = run_ladder(units=4)
    cms = {
        name: [
            np.load(tmp_path / "out" / "runs" / name / f"seed-{s}/predictions/test_confusion.npz")[
                "plain"
            ]
            for s in (0, 1, 2)
        ]
        for name in GAINS
    }
    groups = [f"{i // 4:03d}" for i in range(IMAGES)]
    for metric, agreed in (
        ("plain", contract.Contract()),
        ("keras_ignore_class_0", contract.Contract(ignore_labels=(0,))),
    ):
        parts = {
            name: [score_ratios(c, agreed, groups=groups) for c in each]
            for name, each in cms.items()
        }
        pairs = [("low", "same"), ("low", "high")]
        expected = compare_seeds(
            [list(zip(parts[a], parts[b], strict=True)) for a, b in pairs], resamples=300
        )
        adjusted = holm([e.p_value for e in expected])
        for (_, name), one, p in zip(pairs, expected, adjusted, strict=True):
            found = by_name(table)[name]["compared"][metric]
            got = [found[k] for k in ("difference", "low", "high", "p_value", "p_adjusted")]
            assert got == pytest.approx([one.difference, one.low, one.high, one.p_value, p])
        for name, each in cms.items():
            scores = by_name(table)[name]["scores"][metric]
            values = [contract.mean_iou(c, agreed) for c in each]
            assert scores["each"] == pytest.approx(values)
            assert scores["mean"] == pytest.approx(np.mean(values))
            assert scores["deviation"] == pytest.approx(np.std(values, ddof=1))


def test_one_seed_is_what_compare_says(run_ladder, tmp_path):
    table = run_ladder(seeds=[5])
    assert any("nothing of the luck of training" in line for line in table["cautions"])
    folders = [tmp_path / "out" / "runs" / name / "seed-5" for name in ("low", "high")]
    expected = compare.compare(folders, metric="plain", out=tmp_path / "compare", quiet=True)
    pair, found = expected["pairs"][0], by_name(table)["high"]["compared"]["plain"]
    for key in ("difference", "low", "high", "p_value"):
        assert found[key] == pytest.approx(pair[key])


def test_blocks_widen_the_interval_of_dependent_frames(run_ladder, trainer, tmp_path, monkeypatch):
    """Frames that are copies of each other are no more evidence than one of them."""
    counts = scored.counts

    def frames(count, **options):
        return np.repeat(counts(count // 10, **options), 10, axis=0)

    monkeypatch.setattr(scored, "counts", frames)
    alone = by_name(run_ladder())["high"]["compared"]["plain"]
    table = run_ladder(units=10)
    blocks = by_name(table)["high"]["compared"]["plain"]
    assert blocks["units_error"] > 2.5 * alone["units_error"]
    assert table["num_units"] == 4
    assert any("Only 4 units" in line for line in table["cautions"])


def test_an_effect_of_the_contract_is_called_one(run_ladder, trainer):
    trainer.drops = "dropped"
    trainer.gains = {"low": 0.0, "dropped": 0.0}
    rungs = [THREE[0], {"name": "dropped", "from": "low"}]
    table = run_ladder(rungs, metrics=["keras_ignore_class_0", "plain"])
    compared = by_name(table)["dropped"]["compared"]
    assert compared["keras_ignore_class_0"]["verdict"] == "better"
    assert compared["plain"]["verdict"] == "worse"
    assert any(
        line.startswith("dropped against low: +") and "how the score is counted" in line
        for line in table["cautions"]
    )


def test_every_form_has_every_rung(run_ladder, tmp_path, trainer):
    trainer.gains = {"low": 0.0, "same": 0.0, "high": 1.5}
    table = run_ladder([{**THREE[0], "about": "<b>bold</b> & a | bar"}, *THREE[1:]])
    out = tmp_path / "out"
    page, picture = (out / "ladder.html").read_text(), (out / "ladder.svg").read_text()
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; a | bar" in page
    assert "<script" not in page
    texts = [
        node.firstChild.data
        for node in xml.dom.minidom.parseString(picture).getElementsByTagName("text")
    ]
    markdown = (out / "ladder.md").read_text()
    with open(out / "ladder.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    for row in table["rungs"]:
        assert row["name"] in texts
        mean = row["scores"]["plain"]["mean"]
        assert f"| {row['name']} | {mean:.4f} |" in markdown
        assert float(rows[row["name"]]["plain.mean"]) == pytest.approx(mean)
        assert f"{mean:.4f}" in page
    assert rows["high"]["plain.verdict"] == "better"
    assert "a \\| bar" in markdown
    heads = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if "|" in line}
    assert len(heads) == 2  # of the table's rows, and of the sentence with an escaped bar


# What is refused


@pytest.mark.parametrize(
    ("rungs", "keys", "message"),
    [
        ([THREE[0], {"nam": "x"}], {}, r"rungs\.1\.nam.*Did you mean 'rungs\.1\.name'"),
        ([THREE[0], {"name": "x", "form": "low"}], {}, r"Did you mean 'rungs\.1\.from'"),
        (THREE[:2], {"sedes": [1]}, "Did you mean 'seeds'"),
        ([THREE[0], {"name": "x", "from": "lwo"}], {}, "rung 'x', from: .* Did you mean 'low'"),
        ([{"name": "x", "against": "low"}, THREE[0]], {}, "rung 'x', against: .*before it"),
        ([THREE[0], {"name": "LOW"}], {}, "two rungs have this name"),
        ([THREE[0], {"name": "a/b"}], {}, "a name becomes a folder"),
        (THREE[:1], {}, "rungs.*at least 2"),
        ([THREE[0], {"name": "x", "over": {"train": {"epochs": 3}}}], {}, "leave out train.epochs"),
        ([THREE[0], {"name": "x", "over": ["train.time_budget=5m"]}], {}, "train.time_budget"),
        ([THREE[0], {"name": "x", "over": ["seed=1"]}], {}, "rung 'x': leave out seed"),
        ([THREE[0], {"name": "x", "over": ["data.folds=3", "data.fold=0"]}], {}, "out data.folds"),
        ([THREE[0], {"name": "x", "over": {"model": "unte"}}], {}, "rung 'x': model: .*'unet'"),
        ([THREE[0], {"name": "x", "over": {"dta": {}}}], {}, "rung 'x': .*Did you mean 'data'"),
        (THREE[:2], {"metrics": ["plian"]}, "convention: 'plian'. Did you mean 'plain'"),
        (THREE[:2], {"metrics": ["plain", "plain"]}, "stands there twice"),
        (THREE[:2], {"seeds": [1, 1]}, "seeds must differ"),
        (THREE[:2], {"units": 0}, "units is a number of images, from 1 up"),
        ([THREE[0], {"name": "x", "search": {"fold": 3}}], {}, "rung 'x', search.*'folds'"),
        ([THREE[0], {"name": "x", "search": {"base": {}}}], {}, "search: leave out base"),
        ([THREE[0], {"name": "x", "search": {"steps": 0}}], {}, "steps is a whole number"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, rungs, keys, message):
    with pytest.raises(InputError, match=message):
        read(write_file(tmp_path / "toy.yaml", rungs, **keys))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": "mras"}, "Unknown settings: 'mras'. Did you mean 'mars'"),
        ({"seeds": "0,x"}, "--seeds takes whole numbers"),
        ({"seeds": "0,0"}, "--seeds: seeds must differ"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"rungs": "lowest"}, "--rungs: .*Unknown rung: 'lowest'. Did you mean 'low'"),
        ({"rungs": "low"}, "--rungs leaves only 'low'"),
    ],
)
def test_wrong_flags_are_refused(tmp_path, options, message):
    file = write_file(tmp_path / "toy.yaml", settings={"mars": {"steps": 3}})
    with pytest.raises(InputError, match=message):
        read(file, **options)


def test_settings_and_flags_go_over_the_file(tmp_path, source):
    file = write_file(
        tmp_path / "toy.yaml",
        settings={"mars": {"set": ["data.batch_size=7"], "steps": 9, "seeds": [4], "units": 10}},
    )
    found = read(file, settings="mars", data=source, overrides=["model.width=3"], seeds="8,9")
    assert (found.name, found.steps, found.seeds, found.units) == ("toy-mars", 9, (8, 9), 10)
    for rung in found.rungs:
        assert rung.config.data.batch_size == 7
        assert rung.config.model.kwargs["width"] == 3
        assert rung.config.data.source.kwargs == {"path": str(source)}
    assert [rung.against for rung in found.rungs] == [None, "low", "low"]
    assert [r.name for r in read(file, rungs="high").rungs] == ["low", "high"]


def test_a_mapping_with_a_name_replaces(tmp_path):
    rungs = [
        {"name": "a", "over": {"data": {"batch_size": 3}, "model": {"name": "pan", "width": 8}}},
        {"name": "b", "from": "a", "over": {"data": {"repeat": 2}, "model": {"name": "unet"}}},
    ]
    _, config = (rung.config for rung in read(write_file(tmp_path / "toy.yaml", rungs)).rungs)
    assert (config.data.batch_size, config.data.repeat) == (3, 2)
    assert (config.model.name, config.model.kwargs) == ("unet", {})


def test_without_test_masks_no_rung_can_be_scored(run_ladder, tmp_path):
    images, masks = runs.arrays(12)
    bare = tmp_path / "bare.npz"
    np.savez(bare, x_train=images, y_train=masks, x_test=images[:3])
    with pytest.raises(InputError, match=r"no test image has a mask.*data\.test_fraction"):
        run_ladder(data=bare)


def test_masks_that_come_later_take_the_place_of_the_test_split(
    run_ladder, trainer, tmp_path, monkeypatch
):
    images, masks = runs.arrays(12 + IMAGES)
    data, labels = tmp_path / "bare.npz", tmp_path / "labels.npz"
    np.savez(data, x_train=images[:12], y_train=masks[:12], x_test=images[12:])
    np.savez(labels, labels=masks[12:])
    ids = [r.id for r in open_source(data, truth="masks").records if r.split == "test"]
    scored_on = []

    def evaluate(run, given, out, *, device, log):
        scored_on.append((run, given))
        rung = run.parent.name
        number = list(trainer.gains).index(rung) * 100 + 7
        cms = scored.counts(IMAGES, gain=trainer.gains[rung], own=number)
        (out / "predictions").mkdir(parents=True)
        np.savez(out / "predictions/labels_confusion.npz", ids=np.array(ids), plain=cms)

    monkeypatch.setattr(ladder, "evaluate_in_process", evaluate)
    table = run_ladder(data=data, options={"labels": labels}, seeds=[0], units=4)
    rows = by_name(table)
    assert rows["high"]["compared"]["plain"]["verdict"] == "better"
    assert rows["same"]["compared"]["plain"]["verdict"] == "cannot tell"
    assert (table["num_images"], table["num_units"]) == (IMAGES, IMAGES // 4)
    assert rows["low"]["validation"] is None
    assert scored_on == [(tmp_path / f"out/runs/{name}/seed-0", labels) for name in GAINS]


def test_groups_that_are_not_there_are_refused(run_ladder):
    with pytest.raises(InputError, match="units: groups, but the data has no groups"):
        run_ladder(units="groups")


def test_groups_and_chains_are_units():
    """Three test images, of which two belong together; one stands alone."""
    records = [SimpleNamespace(group=g) for g in ("a", "b", "b", None)]
    data = SimpleNamespace(
        indices=lambda split: {"test": [1, 2, 3]}[split],
        source=SimpleNamespace(records=records),
        audit=SimpleNamespace(clusters=[[0, 1, 3]]),
    )
    first, second, third = shared_split.units_of(data, "groups", [1, 2, 3])
    assert first == second != third
    first, second, third = shared_split.units_of(data, "chains", [1, 2, 3])
    assert first == third != second
    assert len(set(shared_split.units_of(data, "images", [1, 2, 3]))) == 3
    assert len(set(shared_split.units_of(data, 2, [1, 2, 3]))) == 2


def test_different_contracts_need_a_convention(run_ladder):
    rungs = [THREE[0], {"name": "x", "over": {"metrics": ["mean_iou(ignore_labels=[0])"]}}]
    with pytest.raises(
        InputError, match=r"different metric contracts.*plain, in place of contract"
    ):
        run_ladder(rungs, metrics=["contract"])


def test_a_folder_of_something_else_is_left_alone(run_ladder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="is not empty and holds no ladder"):
        run_ladder()


def test_wrong_input_ends_with_2(tmp_path, capsys):
    file = write_file(tmp_path / "toy.yaml", [THREE[0], {"name": "x", "from": "y"}])
    assert commands.main(["ladder", str(file)]) == 2
    assert "Unknown rung (one that stands before it): 'y'" in capsys.readouterr().err
