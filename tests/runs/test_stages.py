"""Training in stages and specialists, from a config to a run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support import runs
from tfvision.config import load_config, validate
from tfvision.engine.checkpoint import steps_in
from tfvision.engine.stages import StagedModel
from tfvision.models import MODELS
from tfvision.recipe.recipe import stages_of
from tfvision.runs import export
from tfvision.runs.check_settings import check_settings
from tfvision.tasks.segmentation.schema import SegmentationConfig

CONFIGS = Path(__file__).parents[2] / "configs" / "seg"
IN_TURN = [
    {"epochs": 1, "trainable": ["net0_*"], "restart": True},
    {"trainable": ["net1_*", "net2_*"], "restart": True},
]


@pytest.fixture(scope="module")
def in_turn(dataset, tmp_path_factory):
    """One specialist, then two others; tracing Adam would take most of the time."""
    sgd = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    return runs.new_run(
        tmp_path_factory.mktemp("in_turn") / "run",
        dataset,
        model={"name": "specialists"},
        loss=["binary_cross_entropy", "binary_dice"],
        train={"epochs": 3, "stages": IN_TURN, "optimizer": sgd, "export": False},
    )


def test_stages_are_in_the_history_the_log_and_the_saved_config(in_turn):
    assert [row["stage"] for row in runs.history(in_turn)] == ["1", "2", "2"]
    log = (in_turn / "log.txt").read_text()
    assert "stage 2 of 2: 16 of 24 layers learn (net1_*, net2_*)" in log
    again = load_config(SegmentationConfig, in_turn / "config.yaml")
    assert [stage.trainable for stage in stages_of(again)] == [("net0_*",), ("net1_*", "net2_*")]


def test_a_killed_specialist_goes_on_where_it_was(in_turn, tmp_path):
    """As after a kill in the last stage: what came after its first epoch is not there."""
    run = tmp_path / "run"
    shutil.copytree(in_turn, run)
    newest = steps_in(run / "checkpoints")[-1]
    shutil.rmtree(run / "checkpoints" / f"ckpt-{newest:08d}")
    for name in ("summary.json", "calibration.json", "report.html"):
        (run / name).unlink()
    assert runs.train("--resume", run) == 0
    assert runs.history(run) == runs.history(in_turn)
    assert runs.summary(run)["variables_sha256"] == runs.summary(in_turn)["variables_sha256"]
    assert (run / "calibration.json").read_text() == (in_turn / "calibration.json").read_text()


def test_the_export_says_that_its_logits_are_one_vs_rest(in_turn, tmp_path, monkeypatch):
    for name in ("write_export", "check_export"):
        monkeypatch.setattr(export, name, lambda *args, **options: [])
    run = runs.copy(in_turn, tmp_path / "run")
    assert runs.use("export", run) == 0
    described = json.loads((run / "export/export.json").read_text())
    assert described["probabilities"] == "sigmoid of each logit, divided by their sum"


def test_the_calibration_is_fitted_and_whoever_uses_the_run_has_it(in_turn, tmp_path):
    from tfvision.engine.platt_scaling import layer_of
    from tfvision.engine.run_folder import RunFolder
    from tfvision.runs.load import load_run

    found = load_run(RunFolder(in_turn))
    kernel, bias = layer_of(found.predictor.model).get_weights()
    record = RunFolder(in_turn).read_json("calibration.json")
    np.testing.assert_allclose(kernel.ravel(), record["scale"], rtol=1e-6)
    np.testing.assert_allclose(bias, record["bias"], rtol=1e-6)
    assert record["classes"] == [0, 1, 2]
    left = [k for k, scale in enumerate(record["scale"]) if scale == 1]
    assert len(left) < 3
    report = (in_turn / "report.html").read_text()
    for k in range(3):
        assert (f"The specialist of class {k} is not calibrated" in report) == (k in left)
    before = runs.summary(in_turn)["metrics"]
    copy = tmp_path / "run"
    shutil.copytree(in_turn, copy)
    assert runs.use("evaluate", copy) == 0
    assert runs.summary(copy)["metrics"] == before
    (copy / "calibration.json").write_text('{"scale": [1, 2], "bias": [0, 0]}')
    with pytest.raises(ValueError, match=r"calibration.json does not fit the model"):
        load_run(RunFolder(copy))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"stages": [{}, {}]}, "stages.0 needs either epochs or a share of the training"),
        ({"stages": [{"epochs": 1, "share": 0.1}, {}]}, "got epochs 1 and share 0.1"),
        ({"stages": [{"epochs": 1}, {"epochs": 39}]}, "stages.1 is the last stage and lasts to"),
        ({"stages": [{"epochs": 1}, {"share": 0.1}, {}]}, "all in epochs, or all in shares"),
        ({"stages": [{"epochs": 30}, {"epochs": 10}, {}]}, "have 40 of train.epochs 40: nothing"),
        ({"stages": [{"share": 0.7}, {"share": 0.3}, {}]}, "before the last add up to 1"),
        ({"stages": [{"share": 0.01}, {}]}, "a stage gets no whole epoch.*begin after 0, 0 epochs"),
        ({"stages": [{"epochs": 1}, {}], "time_budget": 60}, "under a time_budget stages have"),
        ({"stages": [{"epoch": 1}, {}]}, "Unknown key: 'train.stages.0.epoch'. Did you mean"),
        ({"stages": []}, "at least one entry"),
    ],
)
def test_stages_that_do_not_fit_the_training(train, message):
    with pytest.raises(ValueError, match=message):
        validate(SegmentationConfig, {"model": "unet", "train": train}, where="config")


def test_shares_fit_a_time_budget_of_any_length():
    train = {"epochs": 1, "time_budget": 60, "stages": [{"share": 0.3}, {"share": 0.3}, {}]}
    config = validate(SegmentationConfig, {"model": "unet", "train": train}, where="config")
    assert [stage.share for stage in stages_of(config)] == [0.3, 0.3, None]


def test_a_layer_that_is_not_there_is_said_before_any_data_is_opened():
    raw = {
        "data": {"class_names": ["a", "b"], "image_size": [16, 16]},
        "model": {"name": "specialists", "width": 4, "depth": 1},
        "train": {"stages": [{"epochs": 1, "trainable": ["net0_*"]}, {"trainable": ["net5_*"]}]},
    }
    config = validate(SegmentationConfig, raw, where="config")
    with pytest.raises(ValueError, match=r"train.stages\[1\]: trainable `net5_\*` matches no"):
        check_settings(config, 1)


def staged(name, classes=5):
    config = load_config(SegmentationConfig, CONFIGS / f"{name}.yaml", ["model.width=4"])
    model = MODELS.build(config.model, input_shape=(16, 32, 1), num_classes=classes)
    return StagedModel(model, stages_of(config))


def learning(whole, number):
    whole.enter(number)
    found = {v.path.split("_")[0] for v in whole._model.trainable_variables}
    whole.leave()
    return found


def test_specialists_in_turn_train_each_net_once():
    whole = staged("specialists_in_turn")
    assert [learning(whole, i) for i in range(5)] == [{f"net{k}"} for k in range(5)]


def test_the_staged_double_unet_hands_the_first_net_to_the_second():
    whole = staged("double_unet_staged")
    first, second, both = (learning(whole, i) for i in range(3))
    assert not any(name.endswith("2") for name in first)
    assert all(name.endswith("2") for name in second - {"logits"})
    assert both == first | second
    lines = whole.transfer(1)
    assert [line.split("*")[0] for line in lines] == [
        *("encoder2_", "bottom2_", "aspp2_", "decoder2_", "logits_2")
    ]
    assert "not those of encoder1_0_1_conv" in lines[0]
    model = whole._model
    for name in ("encoder{}_1_1_conv", "bottom{}_2_norm", "aspp{}_conv", "logits_{}"):
        one, two = (model.get_layer(name.format(k)).get_weights() for k in (1, 2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
