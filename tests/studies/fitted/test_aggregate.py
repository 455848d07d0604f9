"""How pieces are joined: a planted rule is found through the command, noise is refused."""

import json
import shutil

import numpy as np
import pytest
import yaml

from tests.support import class_folds, classes, runs
from tfvision.cli import commands
from tfvision.data.crops.pieces import aggregate as join
from tfvision.engine.ensemble import Ensemble
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.read import native
from tfvision.registry import Spec
from tfvision.runs import predict
from tfvision.runs.fitted import with_fitted
from tfvision.runs.fitted_files import read_aggregate
from tfvision.studies.fitted.aggregate import aggregate
from tfvision.studies.fitted.piece_predictions import FOLDER
from tfvision.studies.folds.folder import open_data
from tfvision.tasks.classification.pieces import image_probabilities

COUNT = 48


def planted():
    """The largest of three pieces knows the class; the others say one by chance."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) // 2 % 2
    return labels, [[int(label), *rng.integers(0, 2, 2).tolist()] for label in labels]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folds folder of the planted rule. Tests take a copy."""
    root = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(root / "cache"))
        table = class_folds.write_table(root / "data", *planted())
        return class_folds.write_folds(root / "folds", table)


@pytest.fixture
def folder(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "folds")


@pytest.fixture
def seen(monkeypatch):
    return class_folds.see(monkeypatch)


def by_name(told):
    return {rule["name"]: rule for rule in told["rules"]}


def test_the_command_finds_the_rule_and_predict_uses_it(folder, seen, capsys, tmp_path):
    assert runs.use("aggregate", folder) == 0
    assert seen == ["fold-0", "fold-1"]
    told, said = json.loads((folder / "aggregate.json").read_text()), capsys.readouterr().err
    rules = by_name(told)
    assert list(rules) == ["mean", "area", "log_mean", "median", "max"]
    assert [rules[name]["verdict"] for name in ("mean", "area", "max")] == [
        *("own", "applied", "refused"),
    ]
    assert rules["area"]["score"] == 1
    assert rules["max"]["score"] < rules["mean"]["score"] < 0.9
    gain = rules["area"]["gain"]["declared"]
    assert gain["difference"] == pytest.approx(1 - rules["mean"]["score"])
    assert gain["low"] > 0
    assert rules["area"]["p_adjusted"] >= gain["p_value"]
    assert (told["aggregate"], told["num_pieces"]) == ("area", 3 * COUNT)
    assert "area: applied: +" in said
    assert "max: refused: its nested gain is -" in said
    store = Shards.open(folder / FOLDER)
    assert store.weights(store.ids[5]).tolist() == [49, 25, 9]
    truth = class_folds.truth_of(folder)
    data = folder / "folds.yaml"
    table = yaml.safe_load(data.read_text())["data"]["source"]["path"]
    out, options = tmp_path / "out", ("--aggregate", folder / "aggregate.yaml")
    assert runs.use("predict", folder / "fold-0", table, "--out", out, *options) == 0
    rows = {row["id"]: row for row in classes.rows(out / "predictions.csv")}
    assert all(rows[name]["label"] == class_folds.NAMES[k] for name, k in truth.items())
    for name in store.ids:
        wanted = join(store[name][:, 0], store.weights(name), "area")[1]
        assert float(rows[name]["p_light"]) == pytest.approx(wanted, abs=1e-3)
    assert (out / "aggregate.yaml").read_bytes() == (folder / "aggregate.yaml").read_bytes()
    submitted = ("--format", "labels", "--out", tmp_path / "s.csv", *options)
    assert runs.use("submit", folder / "fold-0", table, *submitted) == 0
    assert [next(reversed(row.values())) for row in classes.rows(tmp_path / "s.csv")] == [
        class_folds.NAMES[k] for k in truth.values()
    ]
    capsys.readouterr()
    assert runs.use("evaluate", folder / "fold-0", "--data", table, *options) == 0
    (entry,) = json.loads((folder / "fold-0/evaluation.json").read_text())
    assert entry["aggregate"] == "area"
    assert entry["metrics"]["data"]["accuracy"] == 1
    assert "data (aggregate area)" in capsys.readouterr().out


def test_scores_are_those_of_the_pieces_that_are_kept(folder, seen):
    told = aggregate(folder, quiet=True)
    store, truth = Shards.open(folder / FOLDER), class_folds.truth_of(folder)
    for name, rule in by_name(told).items():
        joined = [join(store[n][:, 0], store.weights(n), name) for n in store.ids]
        right = [p.argmax() == truth[n] for n, p in zip(store.ids, joined, strict=True)]
        losses = [-np.log(p[truth[n]]) for n, p in zip(store.ids, joined, strict=True)]
        assert rule["score"] == pytest.approx(np.mean(right))
        assert rule["log_loss"] == pytest.approx(np.mean(losses))


def test_a_killed_call_goes_on_and_other_weights_are_predicted_anew(folder, seen):
    aggregate(folder, quiet=True)
    first = (folder / "aggregate.yaml").read_bytes()
    seen.clear()
    aggregate(folder, quiet=True)
    assert seen == []  # all pieces are kept
    (folder / FOLDER / "shard-00000.json").unlink()  # as where it was killed before the seal
    aggregate(folder, quiet=True)
    assert seen == ["fold-0", "fold-1"]
    assert (folder / "aggregate.yaml").read_bytes() == first
    seen.clear()
    (folder / "fold-1/summary.json").write_text(json.dumps({"variables_sha256": "other"}))
    aggregate(folder, quiet=True)
    assert seen == ["fold-0", "fold-1"]
    assert Shards.open(folder / FOLDER).origin["variables_sha256"] == ["of fold 0", "other"]


@pytest.fixture
def noise(tmp_path):
    rng = np.random.default_rng(3)
    said = rng.integers(0, 2, (40, 3)).tolist()
    table = class_folds.write_table(tmp_path / "data", np.arange(40) // 2 % 2, said)
    return class_folds.write_folds(tmp_path / "noise", table, aggregate="area")


def test_noise_is_refused_and_the_file_keeps_the_rule_of_the_runs(noise, seen, tmp_path):
    out = tmp_path / "kept.yaml"
    told = aggregate(noise, out=out, quiet=True)
    rules = by_name(told)
    assert next(iter(rules)) == told["aggregate"] == "area"
    assert [r["verdict"] for r in told["rules"]] == ["own", *["refused"] * 4]
    assert all("that interval is not above 0" in r["reason"] for r in told["rules"][1:])
    assert read_aggregate(out).aggregate == Spec(name="area")
    assert not (noise / "aggregate.yaml").exists()


def test_one_piece_an_image_is_refused(tmp_path, seen, capsys):
    labels = [0, 0, 1, 1, 0, 0, 1, 1]
    table = class_folds.write_table(tmp_path / "data", labels, [[k] for k in labels])
    whole = class_folds.write_folds(tmp_path / "full", table, input="full")
    assert commands.main(["aggregate", str(whole), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "data.input is full(), one piece an image, so there is nothing to join" in said
    single = class_folds.write_folds(tmp_path / "single", table)
    with pytest.raises(InputError, match=r"Each of the 8 images .* has one piece"):
        aggregate(single, quiet=True)


def test_folds_that_do_not_fit_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"no folds folder: it has no folds\.yaml"):
        aggregate(tmp_path / "none")
    with pytest.raises(InputError, match=r"--out .*rules\.txt must be a YAML file"):
        aggregate(folder, out=tmp_path / "rules.txt")
    (folder / "folds.json").unlink()
    with pytest.raises(InputError, match=r"is not complete: it has no folds\.json"):
        aggregate(folder)
    (folder / "folds.json").write_text('{"samples": {"ids": [], "folds": [], "units": []}}')
    runs.write_config(folder / "folds.yaml", tmp_path / "x.npz")
    with pytest.raises(InputError, match="which classifications have; this is a segmentation"):
        aggregate(folder)


def section(**values):
    given = {"class_names": class_folds.NAMES, "input": "patches", "aggregate": "max", **values}
    return yaml.safe_dump(given)


OLD = {"v": [[0.0] * 3], "u": None, "w": [0.0], "mean": [0.0] * 3, "spread": [1.0] * 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (section(aggregate="maxx"), "Unknown aggregate: 'maxx'. Did you mean 'max'"),
        (section(aggregate={"name": "max", "v": 1}), "max takes no values; got v"),
        (
            section(aggregate={"name": "attention", **OLD}),
            r"aggregate.yaml asks for learnt attention over pieces, which is gone; run `python -m "
            r"tfvision aggregate FOLDS` again, which chooses among mean, area, .* max\.",
        ),
        (section(agregate=1), "agregate"),
        (section(class_names=["dark", "red"]), "classes dark, red; this run has dark, light"),
        (section(input="patches(min_size=4)"), r"pieces of patches\(min_size=4\); this run sees"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(begun, seen, tmp_path, capsys, text, message):
    path = tmp_path / "aggregate.yaml"
    path.write_text(text)
    table = yaml.safe_load((begun / "folds.yaml").read_text())["data"]["source"]["path"]
    argv = ("predict", begun / "fold-0", table, "--out", tmp_path / "out", "--aggregate", path)
    with pytest.raises(InputError, match=message):
        raise InputError(_error(capsys, argv))
    assert not (tmp_path / "out").exists()


def _error(capsys, argv):
    assert commands.main([*map(str, argv), "--device", "cpu"]) == 2
    return capsys.readouterr().err


def test_an_ensemble_joins_the_pieces_as_the_file_says(begun, seen, tmp_path):
    path = tmp_path / "aggregate.yaml"
    path.write_text(section(aggregate="area"))
    recipe = predict.load_run(RunFolder(begun / "fold-0")).recipe
    both = Ensemble([class_folds.Seer(), class_folds.Seer()], channels=1)
    source, places = open_data(begun)
    images = [native(source, i, 1) for i in places.values()]
    told = with_fitted(recipe, class_folds.NAMES, aggregate=path)
    found = [p[0, 0].argmax() for p in image_probabilities(told, both, images)]
    truth = class_folds.truth_of(begun)
    assert found == [truth[name] for name in places]
    plain = [p[0, 0].argmax() for p in image_probabilities(recipe, both, images)]
    assert plain != found


def test_pieces_are_counted_by_image_where_labels_are_ignored(folder, seen):
    """A class that the contract ignores is neither fitted on nor scored."""
    text = (folder / "folds.yaml").read_text()
    ignoring = text.replace("- accuracy", "- {name: accuracy, ignore_labels: [0]}")
    assert ignoring != text
    (folder / "folds.yaml").write_text(ignoring)
    told = aggregate(folder, quiet=True)
    assert told["num_images"] == sum(class_folds.truth_of(folder).values()) == COUNT // 2
    assert all(rule["score"] == 1 for rule in told["rules"])  # class 0 is never predicted
    assert all("changes no held-out image" in rule["reason"] for rule in told["rules"][1:])
