"""Fitted post-processing: applied where it surely gains, refused with figures elsewhere."""

import json

import numpy as np
import pytest
import yaml

from experiments import fitted_postprocess as simulated
from tests.support import class_folds, runs
from tfvision.cli import commands
from tfvision.config import load_config
from tfvision.data.scan.scan import scan
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.metrics import contract as metric
from tfvision.metrics.contract import Contract
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.postprocess.candidates import apply
from tfvision.postprocess.fit import assign_parts
from tfvision.postprocess.fit_masks import MaskPredictions
from tfvision.recipe.opening import open_source
from tfvision.runs.fitted_files import as_text, read_rules
from tfvision.studies.fitted import verdict as judged_rules
from tfvision.studies.fitted.postprocess import postprocess
from tfvision.studies.fitted.verdict import gain_of, judge
from tfvision.studies.folds.assign import names_of
from tfvision.tasks.segmentation.schema import SegmentationConfig

CONTRACTS = [
    Contract(),
    Contract(ignore_labels=(0, 255)),
    Contract(ignore_labels=(1,), exclude_classes=(1,), absent="zero"),
    Contract(absent="one"),
    Contract(average="image"),
    Contract(ignore_labels=(0,), absent="one", average="image"),
]


@pytest.mark.parametrize("score", ["mean_iou", "mean_dice", "pixel_accuracy"])
@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_the_fit_maximises_the_score_of_the_contract(contract, score):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (5, 4, 3, 3)) * (rng.random((5, 4, 3, 3)) < 0.4)
    counts[0, 0] = counts[1] = 0  # nothing to count in an image, and in none
    counts[2, 1, 1:] = 0  # nothing but true pixels of class 0
    objective = MaskPredictions([], ids=[], kind=ConfusionEvidence, num_classes=3).objective(
        contract, score
    )
    given = counts if objective.per_image else counts.sum(axis=1, keepdims=True)
    want = [getattr(metric, score)(cms, contract) for cms in given]
    np.testing.assert_allclose(objective.score(given), want, atol=1e-12)
    assert objective.per_image == (contract.average == "image")


def test_on_noise_everything_is_refused_and_nested_gains_are_unbiased():
    """The short form of experiments/fitted_postprocess.py."""
    names = ["class_prior_offsets", "class_thresholds"]
    outcomes = [
        simulated.try_set("noise", seed, candidates=names, images=40, resamples=300, fresh=100)
        for seed in range(8)
    ]
    assert not any(any(o.applied.values()) for o in outcomes)
    for name in names:
        off, reach = simulated.bias(outcomes, name)
        reach *= 2.84 / 1.96  # Student's t of 8 sets, and two candidates at once
        optimism = np.mean([o.apparent[name] - o.by_part[name] for o in outcomes])
        # What the fit seems to gain on its own images is no such estimate.
        assert abs(off) <= reach < optimism


def test_a_planted_shift_is_undone_once():
    """The short form of experiments/fitted_postprocess.py."""
    names = ["drop_class", "class_prior_offsets", "class_thresholds"]
    for seed in range(2):
        found = simulated.try_set("shift", seed, candidates=names, resamples=300, fresh=100)
        assert found.recovered >= 0.8
        assert found.offset_error < 0.4
        # Thresholds alone would gain as well; on top of the offsets they do not.
        assert found.nested["class_thresholds"] > 0.03
        assert found.applied == {
            "drop_class": False,
            "class_prior_offsets": True,
            "class_thresholds": False,
        }


def judged(contract, names=("drop_class",), **options):
    predictions, units = simulated.contract_case(0)
    return judge(
        names,
        predictions,
        parts=assign_parts(units, [i % 5 for i in range(len(units))]),
        units=units,
        contract=contract,
        score="mean_iou",
        resamples=500,
        **options,
    )


def test_a_gain_that_only_the_contract_makes_is_told_from_a_real_one():
    """Where true pixels of class 0 do not count, never predicting it gains, for no merit."""
    found = judged(Contract(ignore_labels=(0,)))
    (one,) = found.tried
    assert one.verdict == "applied"
    assert found.rules == [{"name": "drop_class", "index": 0}]
    assert one.gain.declared.difference > 0.1
    assert one.gain.plain.difference < -0.05
    difference = one.gain.declared.difference - one.gain.plain.difference
    assert one.gain.contract_effect == pytest.approx(difference)
    # Against the scores of the counts themselves, under both contracts.
    predictions, _ = simulated.contract_case(0)
    before, after = predictions.counts([]), predictions.counts(found.rules)
    for contract, gain in (
        (Contract(ignore_labels=(0,)), one.gain.declared),
        (Contract(), one.gain.plain),
    ):
        want = metric.mean_iou(after, contract) - metric.mean_iou(before, contract)
        assert gain.difference == pytest.approx(want, abs=1e-12)


def test_under_the_plain_contract_no_gain_is_an_effect_of_the_contract():
    (one,) = judged(Contract()).tried
    assert one.gain.contract_effect == 0
    assert one.verdict == "refused"
    assert "no setting scores higher than going without" in one.reason


def test_a_gain_that_many_candidates_could_have_by_luck_is_refused(monkeypatch):
    contract = Contract(ignore_labels=(0,))
    monkeypatch.setattr(judged_rules, "holm", lambda p: [0.2 for _ in p])
    found = judged(contract)
    assert found.rules == []
    assert found.together is None
    assert "of 1 candidates tried: Holm's p is 0.200" in found.tried[0].reason


def test_two_that_mend_different_faults_are_both_applied():
    """Wrong specks of class 2, and blocks of a class that does not occur."""
    rng, pairs = np.random.default_rng(0), []
    for _ in range(20):
        truth = np.zeros((24, 24), int)
        truth[:, 12:] = 1
        truth[4:7, 4:7] = truth[14:17, 4:7] = 2  # true ones of 9 pixels
        labels = truth.copy()
        labels[rng.choice([1, 9, 11, 19, 21], rng.integers(1, 5)), 8:11] = 2
        labels[12:18, 14 : 18 + rng.integers(0, 4)] = 3
        scores = 0.6 * np.eye(4)[labels] + 0.4 * np.eye(4)[truth]
        pairs.append((scores.astype(np.float32), truth))
    units = [str(i) for i in range(20)]
    found = judge(
        ["drop_class", "smallest_component"],
        MaskPredictions(pairs, ids=units, kind=ConfusionEvidence, num_classes=4),
        parts=assign_parts(units, [i % 5 for i in range(20)]),
        units=units,
        contract=Contract(),
        score="mean_iou",
        resamples=300,
    )
    dropped, smallest = found.tried
    assert [one.verdict for one in found.tried] == ["applied", "applied"]
    assert found.rules == [
        {"name": "drop_class", "index": 3},
        {"name": "smallest_component", "pixels": 4},
    ]
    assert (dropped.added, smallest.on_top_of) == (None, ["drop_class"])
    total = found.together.declared
    assert total.second == pytest.approx(1)  # both faults are mended whole
    assert total.difference == pytest.approx(
        dropped.gain.declared.difference + smallest.added.declared.difference
    )


def evidence(counts):
    return ConfusionEvidence([str(i) for i in range(len(counts))], counts)


def test_the_gain_is_paired_over_units():
    """Two images a unit: as many draws as units, and the interval of the sums."""
    predictions, _ = simulated.contract_case(1)
    before, after = predictions.counts([]), predictions.counts([{"name": "drop_class", "index": 1}])
    units = [f"u{i // 2}" for i in range(len(before))]
    options = {"contract": Contract(), "score": "mean_iou", "resamples": 200}
    found = gain_of(evidence(before), evidence(after), units=units, **options).declared
    summed = [cms.reshape(-1, 2, 4, 4).sum(axis=1) for cms in (before, after)]
    ordered = sorted(range(len(summed[0])), key=lambda i: f"u{i}")
    alone = [f"{i:03}" for i in range(len(ordered))]
    want = gain_of(*(evidence(c[ordered]) for c in summed), units=alone, **options).declared
    assert found.num_units == len(before) // 2
    assert (found.low, found.high) == pytest.approx((want.low, want.high))
    assert found.difference < 0


COUNT, FOLDS = 20, 2


@pytest.fixture
def make(tmp_path):
    """A folder of two folds as training leaves it, with predictions that favour class 1."""

    def folds(*, classes=("a", "b", "c"), factor=8.0, **sections):
        data = tmp_path / "data.npz"
        images, masks = runs.arrays(COUNT)
        np.savez(data, images=images, masks=masks)
        folder = tmp_path / "folds"
        folder.mkdir()
        config = runs.write_config(folder / "folds.yaml", data, **sections)
        read = load_config(SegmentationConfig, config)
        source = open_source(read.data)
        ids = list(names_of(source.records).values())
        record = {
            "folds": FOLDS,
            "data_fingerprint": scan(source).fingerprint,
            "samples": {
                "ids": ids,
                "folds": [i * FOLDS // COUNT for i in range(COUNT)],
                "units": [f"unit {i}" for i in range(COUNT)],
            },
        }
        (folder / "folds.json").write_text(json.dumps(record))
        told = {
            "num_classes": 3,
            "channels": 1,
            "image_size": [16, 16],
            "resized": False,
            "class_names": list(classes),
        }
        for fold in range(FOLDS):
            (folder / f"fold-{fold}").mkdir()
            (folder / f"fold-{fold}/config.yaml").write_text(config.read_text())
            (folder / f"fold-{fold}/data.json").write_text(json.dumps(told))
        write_store(folder, ids, masks, classes, factor)
        return folder

    return folds


def write_store(folder, ids, masks, classes, factor):
    rng = np.random.default_rng(0)
    store = Shards.create(folder / "out_of_fold", ids=ids, class_names=classes, origin={})
    logits = 2.0 * np.eye(3)[masks] + rng.normal(size=(*masks.shape, 3))
    found = np.exp(logits) * [1.0, factor, 1.0]
    found /= found.sum(-1, keepdims=True)
    for positions in store.missing():
        store.write(positions, [found[p] for p in positions])


def call(folder, *options):
    return commands.main(["postprocess", str(folder), *map(str, options), "--debug"])


def test_the_command_writes_a_section_for_a_config_and_all_it_tried(make, capsys, tmp_path):
    folder = make()
    out = tmp_path / "rules.yaml"
    assert call(folder, "--out", out, "--candidates", "drop_class,class_prior_offsets") == 0
    told = json.loads(out.with_suffix(".json").read_text())
    dropped, offsets = told["candidates"]
    assert (dropped["name"], dropped["verdict"]) == ("drop_class", "refused")
    assert offsets["verdict"] == "applied"
    assert told["postprocess"] == [offsets["rule"]]
    assert yaml.safe_load(out.read_text()) == {"postprocess": told["postprocess"]}
    assert [{"name": r.name, **r.kwargs} for r in read_rules(out)] == told["postprocess"]
    values = np.array(offsets["rule"]["offsets"])
    assert values[1] < values[[0, 2]].min() - 1.5  # of log 8 = 2.1
    assert len(offsets["rule_by_part"]) == told["num_parts"] == 6
    assert told["together"]["declared"]["low"] > 0
    # The gain on all images, recounted by hand with the rule as written.
    store, masks = Shards.open(folder / "out_of_fold"), runs.arrays(COUNT)[1]
    plain = [p.argmax(-1) for _, p in store]
    after = [apply(offsets["rule"], p).argmax(-1) for _, p in store]
    want = runs.mean_iou(masks, after) - runs.mean_iou(masks, plain)
    assert offsets["apparent_gain"] == pytest.approx(want, abs=1e-9)
    assert abs(offsets["gain"]["declared"]["difference"] - want) < 0.02
    printed = capsys.readouterr().err
    assert "class_prior_offsets: applied: +" in printed
    assert "drop_class: refused: " in printed
    assert "# class_prior_offsets: applied: +" in out.read_text()


def test_rules_in_force_stay_and_their_contract_effect_is_told(make, tmp_path):
    """The contract ignores class 0, so the runs drop it already; the config has a rule too."""
    folder = make(
        factor=1.0,
        metrics=[{"name": "mean_iou", "ignore_labels": [0]}],
        postprocess=[{"name": "smallest_component", "pixels": 2}],
    )
    told = postprocess(folder, candidates=["drop_class", "class_thresholds"], quiet=True)
    assert told["own_rules"]["declared"]["difference"] > 0.05
    assert told["own_rules"]["plain"]["difference"] < -0.05
    assert told["own_rules"]["contract_effect"] == pytest.approx(
        told["own_rules"]["declared"]["difference"] - told["own_rules"]["plain"]["difference"]
    )
    assert told["postprocess"][0] == {"name": "smallest_component", "pixels": 2}
    dropped = told["candidates"][0]
    assert dropped["rule"] is None  # class 0 is never predicted as it is
    assert (folder / "postprocess.yaml").is_file()
    assert (folder / "postprocess.json").is_file()


def test_a_folder_that_does_not_fit_is_named(make, tmp_path, capsys):
    with pytest.raises(InputError, match=r"no folds folder: it has no folds\.yaml"):
        postprocess(tmp_path / "none")
    folder = make()
    assert commands.main(["postprocess", str(folder), "--candidates", "drop_clas"]) == 2
    assert "Did you mean 'drop_class'?" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"--out .*rules must be a YAML file"):
        postprocess(folder, out=tmp_path / "rules")
    record = json.loads((folder / "folds.json").read_text())
    samples = record["samples"]

    def changed(**values):
        (folder / "folds.json").write_text(json.dumps({**record, "samples": {**samples, **values}}))

    changed(folds=[1] * COUNT)
    with pytest.raises(InputError, match=r"predictions of 1 fold; .* those of 2 or more"):
        postprocess(folder)
    changed(units=["one"] * COUNT)
    with pytest.raises(InputError, match=f"{COUNT} images that form 1 unit"):
        postprocess(folder)
    changed(ids=[f"{name}x" for name in samples["ids"]])
    with pytest.raises(InputError, match=r"out_of_fold has other ids than the runs"):
        postprocess(folder)
    changed()
    path = folder / "fold-1/data.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "class_names": ["a", "b", "sea"]}))
    with pytest.raises(InputError, match=r"fold-1 has other classes than .*fold-0: .*'sea'"):
        postprocess(folder)
    (folder / "fold-0/data.json").write_text(path.read_text())
    with pytest.raises(InputError, match=r"out_of_fold has other classes than the runs"):
        postprocess(folder)
    (folder / "out_of_fold").rename(folder / "elsewhere")
    with pytest.raises(InputError, match=r"no out-of-fold predictions .* --resume"):
        postprocess(folder)
    assert not (folder / "postprocess.yaml").exists()


def test_rules_of_a_file_take_the_place_of_the_runs(whole, dataset, tmp_path):
    run = runs.copy(whole, tmp_path / "run")
    rules = tmp_path / "rules.yaml"
    rules.write_text("postprocess:\n- {name: class_prior_offsets, offsets: [-9, 0, 0.5]}\n")
    out = tmp_path / "out"
    options = ["--postprocess", rules]
    assert runs.use("predict", run, dataset, "--out", out, "--probabilities", *options) == 0
    with np.load(out / "predictions.npz", allow_pickle=False) as file:
        labels, probabilities = file["labels"], file["probabilities"].astype(np.float32)
    logs = np.log(np.maximum(probabilities, 1e-7)) + np.array([-9, 0, 0.5])
    assert (labels == logs.argmax(-1)).mean() > 0.99  # float16 probabilities have ties
    assert 0 in probabilities.argmax(-1)
    assert 0 not in labels
    assert (out / "postprocess.yaml").read_text() == rules.read_text()
    assert runs.use("evaluate", run, "--split", "test", *options) == 0
    (entry,) = json.loads((run / "evaluation.json").read_text())
    assert entry["postprocess"] == "class_prior_offsets(offsets=[-9, 0, 0.5])"
    with np.load(dataset) as file:
        want = runs.mean_iou(file["y_test"], labels)
    found = entry["metrics"]["test"]["post_processed"]["mean_iou"]
    assert found == pytest.approx(want, abs=1e-9)
    assert runs.summary(run) == runs.summary(whole)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("postprocess: [drop_clas]", "Did you mean 'drop_class'"),
        ("postproces: []", "postproces"),
        ("- drop_class", "must hold keys and values"),
    ],
)
def test_a_file_of_rules_is_checked(tmp_path, text, problem):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_rules(path)


def test_rules_as_text():
    assert as_text([]) == "none"


def test_a_classification_has_no_rules_of_components(tmp_path, monkeypatch):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    labels = np.arange(40) // 2 % 2
    table = class_folds.write_table(tmp_path / "data", labels, [[k] for k in labels])
    folder = class_folds.write_folds(tmp_path / "folds", table)
    told = postprocess(folder, quiet=True)
    assert [tried["name"] for tried in told["candidates"]] == [
        "drop_class",
        "class_prior_offsets",
        "class_thresholds",
    ]
    with pytest.raises(InputError, match="names fill_holes: a rule of components needs masks"):
        postprocess(folder, candidates=["drop_class", "fill_holes"], quiet=True)
