"""The command line: exit codes, sentences, and what stands before anything heavy."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tfvision.cli import commands, shared, training
from tfvision.config import ModelSpec, dump_config, load_config
from tfvision.engine.signals import Interrupted
from tfvision.errors import EnvironmentFault, InputError, PartFailed
from tfvision.registry import Spec
from tfvision.tasks.segmentation.schema import SegmentationConfig

ROOT = Path(__file__).parents[2]
UNETPP = ROOT / "configs" / "seg" / "unetpp.yaml"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def requests(monkeypatch):
    """The requests that would have been trained."""
    from tfvision.runs import train as training_run

    made = []
    monkeypatch.setattr(training_run, "train", lambda request: made.append(request))
    return made


@pytest.fixture
def train(requests, capsys):
    """`train(*flags)` -> (exit code, standard error); nothing is trained."""

    def train(*flags):
        code = training.train("segmentation", list(map(str, flags)))
        return code, capsys.readouterr().err

    return train


@pytest.fixture
def run(tmp_path):
    """A run with a config, as a training leaves it."""
    folder = tmp_path / "runs" / "seg" / "mine"
    folder.mkdir(parents=True)
    config = load_config(SegmentationConfig, UNETPP, ["train.epochs=3", "model.width=4"])
    (folder / "config.yaml").write_text(dump_config(config))
    return folder


def main(*flags):
    return commands.main(list(map(str, flags)))


# Help


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as end:
        training.train("segmentation", ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for flag in (
        "--arch NAME",
        "--config FILE",
        "--data PATH",
        "--set key.path=VALUE",
        "--out FOLDER",
        "--overwrite",
        "--resume RUN",
        "--device WHERE",
        "--folds K",
        "--fold I",
        "--dry-run",
        "--lr-range",
        "--quiet",
        "--json",
        "--debug",
    ):
        assert flag in text
    assert "Exit codes: 0 success, 2 wrong input, 3 environment, 4 internal, 130/143" in text


def test_help_of_the_other_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main("--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    for command in ("evaluate", "predict", "submit", "export", "models", "doctor"):
        assert command in text
    assert "aggregate" in text
    assert "calibrate" in text
    for command in ("evaluate", "predict", "submit", "export"):
        with pytest.raises(SystemExit):
            main(command, "--help")
        assert "RUN" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--eppochs", "3"], ["--set"], ["unetpp"]])
def test_unknown_flags_end_with_2(capsys, flags):
    with pytest.raises(SystemExit) as end:
        training.train("segmentation", flags)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["traim"], ["predict", "RUN", "IN"], ["evaluate"]])
def test_unknown_and_incomplete_commands_end_with_2(capsys, flags):
    with pytest.raises(SystemExit) as end:
        main(*flags)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nowhere:FACTS", "tests.tasks.proof.centres:NOTHING"])
@pytest.mark.parametrize(
    "start", [lambda: main("models"), lambda: training.train("segmentation", ["--dry-run"])]
)
def test_a_wrong_list_of_tasks_ends_with_2_and_a_sentence(capsys, monkeypatch, value, start):
    monkeypatch.setenv("TFVISION_TASKS", value)
    with pytest.raises(SystemExit) as end:
        start()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tfvision: TFVISION_TASKS names {value!r}, which cannot be imported")
    assert said.endswith("Write module:NAME, NAME being a TaskFacts.\n")


# Typos


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--arch", "unetp"], "Unknown architecture: 'unetp'. Did you mean 'unetpp'? Available: "),
        (["--set", "train.epoch=3"], "'train.epoch'. Did you mean 'train.epochs'?"),
        (["--set", "model.name=unetp"], "model: Unknown model: 'unetp'. Did you mean 'unetpp'?"),
        (["--set", "loss=[dise]"], "loss: Unknown loss: 'dise'. Did you mean 'dice'?"),
        (
            ["--set", "metrics=[mean_uoi]"],
            "metrics: Unknown metric: 'mean_uoi'. Did you mean 'mean_iou'?",
        ),
        (
            ["--set", "data.augment=[flip_rl]"],
            "data.augment: Unknown augmentation: 'flip_rl'. Did you mean 'flip_lr'?",
        ),
        (["--set", "data.mix=[mixip]"], "Did you mean 'mixup'?"),
        (["--set", "data.source=embeded"], "Did you mean 'embedded'?"),
        (["--set", "postprocess=[drop_clas]"], "Did you mean 'drop_class'?"),
        (["--set", "train.optimizer.name=adamm"], "Unknown optimizer: 'adamm'. Did you mean 'adam"),
        (["--set", "train.schedule=cosin"], "Unknown schedule: 'cosin'. Did you mean 'cosine'?"),
        (["--set", "epochs"], "Overrides are written key.path=value. Received: 'epochs'."),
        (["--arch", "unetpp", "--config", UNETPP], "Give --arch or --config, not both."),
        (["--config", "none.yaml"], "Cannot read the config none.yaml: No such file"),
        (["--data", "none"], "--data none: there is no such file or folder."),
        (["--device", "cuda"], "--device must be auto, cpu, gpu"),
        (["--device", "cpu:0"], "Received: 'cpu:0'."),
    ],
)
def test_a_wrong_word_ends_with_2_and_the_nearest_right_one(train, requests, flags, message):
    code, said = train(*flags)
    assert code == 2
    assert message in said
    assert said.startswith("tfvision: ")
    assert "Traceback" not in said
    assert not requests
    assert not Path("runs").exists()


def test_several_typos_are_told_at_once(train):
    code, said = train("--set", "loss=[dise]", "--set", "model.name=unetp")
    assert code == 2
    assert "Did you mean 'dice'?" in said
    assert "Did you mean 'unetpp'?" in said


def test_debug_shows_the_traceback_too(train):
    code, said = train("--set", "train.epoch=3", "--debug")
    assert code == 2
    assert "Traceback" in said
    assert "Did you mean 'train.epochs'?" in said


# What is asked of the task


def test_without_flags_the_default_config_is_trained(train, requests):
    code, said = train()
    assert (code, said) == (0, "run folder: runs/seg/unetpp\n")
    (request,) = requests
    assert request.config == load_config(SegmentationConfig, UNETPP)
    assert request.run.path == Path("runs/seg/unetpp")
    assert (request.arch, request.device) == ("unetpp", "auto")
    asked = (request.resume, request.extend, request.dry_run, request.overwrite, request.quiet)
    assert not any(asked)


def test_flags_reach_the_task(train, requests):
    code, said = train(
        *("--arch", "unetpp", "--out", "x", "--device", "cpu:2", "--quiet", "--dry-run"),
        *("--set", "train.epochs=3", "--set", "loss=[dice, 'focal(gamma=1.5, weight=2)']"),
        *("--set", "train.optimizer.learning_rate=1e-4", "--set", "data.class_names=[no, yes]"),
        *("--set", "train.ema=null", "--set", "model.depth=2"),
    )
    assert (code, said) == (0, "")
    (request,) = requests
    assert request.run.path == Path("x")
    assert request.device == "cpu:2"
    assert request.quiet
    assert request.dry_run
    config, before = request.config, load_config(SegmentationConfig, UNETPP)
    assert config.train.epochs == 3
    assert config.data.batch_size == before.data.batch_size
    assert [term.weight for term in config.loss] == [1.0, 2.0]
    assert config.loss[1].kwargs == {"gamma": 1.5}
    assert config.train.optimizer.kwargs["learning_rate"] == 1e-4
    assert config.train.optimizer.name == before.train.optimizer.name
    assert config.data.class_names == ("no", "yes")
    assert config.train.ema is None
    assert config.model.kwargs == {**before.model.kwargs, "depth": 2}


def test_the_command_is_recorded_so_that_a_shell_can_repeat_it(train, requests, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_seg.py"])
    train("--set", "loss=[dice, focal]")
    assert requests[0].command == "train_seg.py --set 'loss=[dice, focal]'"


@pytest.mark.parametrize(
    "name",
    [
        "data",
        "with space",
        "it's",
        'a "b" c',
        'it\'s "both"',
        "back\\slash",
        "é☃",
        "a: b, #c",
        "{x}",
    ],
)
def test_any_path_of_a_data_set_arrives(train, requests, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    code, _ = train("--data", name)
    assert code == 0
    assert requests[0].config.data.source == Spec(name="auto", path=str(folder.resolve()))
    saved = tmp_path / "saved.yaml"
    saved.write_text(dump_config(requests[0].config), encoding="utf-8")
    assert load_config(SegmentationConfig, saved) == requests[0].config


def test_set_goes_beyond_data(train, requests, tmp_path):
    (tmp_path / "d").mkdir()
    train("--data", "d", "--set", "data.source.patches=2")
    assert requests[0].config.data.source.kwargs == {"path": str(tmp_path / "d"), "patches": 2}


def test_a_config_of_ones_own_is_named_after_its_model(train, requests, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {name: unet, width: 8}\n")
    _, said = train("--config", "mine.yaml")
    assert said == "run folder: runs/seg/unet\n"
    assert requests[0].config.model == ModelSpec(name="unet", width=8)


def test_a_saved_config_is_trained_as_it_was(train, requests, run):
    train("--config", run / "config.yaml")
    assert dump_config(requests[0].config) == (run / "config.yaml").read_text()


def test_default_folders_are_numbered(train, requests):
    for name in ("unetpp", "unetpp-2", "unetpp-3"):
        _, said = train()
        assert said == f"run folder: runs/seg/{name}\n"
        requests[-1].run.create()
        (requests[-1].run.path / "config.yaml").write_text("x")
        requests[-1].run.unlock()


# Run folders that are there already


def test_an_existing_run_is_not_replaced_unless_asked(train, requests, run):
    code, said = train("--out", run)
    assert code == 2
    assert (
        f"{run} exists already. Go on with --resume {run}, replace it with --overwrite, or" in said
    )
    assert not requests
    assert train("--out", run, "--overwrite")[0] == 0
    assert requests[0].overwrite
    assert train("--out", run, "--dry-run")[0] == 0  # it writes nothing


def test_a_folder_that_is_no_run_is_never_replaced(train, requests, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("x")
    code, said = train("--out", "photos", "--overwrite")
    assert code == 2
    assert "photos is not empty and holds no run (no config.yaml): it is not overwritten." in said
    assert not requests
    assert (tmp_path / "photos" / "1.jpg").exists()


def test_an_empty_folder_is_free(train, requests, tmp_path):
    (tmp_path / "x").mkdir()
    assert train("--out", "x")[0] == 0
    assert requests


# Resume


def test_resume_takes_the_runs_own_config(train, requests, run):
    code, said = train("--resume", run)
    assert (code, said) == (0, f"run folder: {run}\n")
    (request,) = requests
    assert request.resume
    assert not request.extend
    assert request.run.path == run
    assert request.arch == "mine"
    assert dump_config(request.config) == (run / "config.yaml").read_text()


def test_more_epochs_extend_a_run(train, requests, run):
    assert train("--resume", run, "--set", "train.epochs=5")[0] == 0
    assert requests[0].extend
    assert requests[0].config.train.epochs == 5
    assert train("--resume", run, "--set", "train.epochs=3")[0] == 0
    assert not requests[1].extend  # as many as it had


def test_resume_refuses_another_config_with_the_difference(train, requests, run):
    code, said = train(
        *("--resume", run, "--set", "model.width=3", "--set", "train.epochs=9"),
        *("--set", "seed=1", "--set", "train.ema=0.9"),
    )
    assert code == 2
    assert "only train.epochs and train.sentinel may change. Refused:" in said
    assert "model.width: 4 -> 3" in said
    assert "seed: 0 -> 1" in said
    assert "train.ema: None -> 0.9" in said
    assert "train.epochs: " not in said
    assert not requests


@pytest.mark.parametrize(
    "flags",
    [
        ["--arch", "unetpp"],
        ["--config", "c"],
        ["--out", "o"],
        ["--overwrite"],
        ["--dry-run"],
        ["--lr-range"],
    ],
)
def test_resume_takes_everything_from_the_run(train, requests, run, flags):
    code, said = train("--resume", run, *flags)
    assert code == 2
    assert f"--resume takes everything from the run; leave out {flags[0]}." in said
    assert not requests


def test_resume_of_what_is_no_run(train, tmp_path):
    for folder in ("none", tmp_path):
        code, said = train("--resume", folder)
        assert code == 2
        assert f"{folder} is no run: it has no config.yaml." in said


def test_resume_of_a_damaged_config(train, run):
    (run / "config.yaml").write_text("model: {name: unet")
    code, said = train("--resume", run)
    assert code == 2
    assert "config.yaml is not valid YAML" in said


# The other commands


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["evaluate", "none"], "none is no run: it has no config.yaml"),
        (["export", "none"], "none is no run"),
        (
            ["predict", "RUN", "none.png", "--out", "o"],
            "none.png: there is no such file or folder.",
        ),
        (["evaluate", "RUN", "--labels", "none.npz"], "none.npz: there is no such file or folder."),
        (["evaluate", "RUN", "--data", "none"], "none: there is no such file or folder."),
        (["evaluate", "RUN", "--device", "cuda"], "--device must be auto"),
    ],
)
def test_wrong_input_of_the_other_commands(capsys, run, flags, message):
    assert main(*(run if flag == "RUN" else flag for flag in flags)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "name", "expected"),
    [
        (
            ["evaluate", "RUN", "--split", "val", "--depth", "2"],
            "evaluate",
            {"split": "val", "depth": 2},
        ),
        (["evaluate", "RUN", "--labels", "RUN"], "evaluate", {"split": None, "data": None}),
        (
            ["predict", "RUN", "RUN", "--out", "o", "--split", "all", "--probabilities"],
            "predict",
            {"split": "all", "out": Path("o"), "probabilities": True},
        ),
        (
            ["export", "RUN", "--quiet", "--device", "cpu:2"],
            "export",
            {"quiet": True, "device": "cpu:2"},
        ),
    ],
)
def test_flags_reach_the_other_commands(monkeypatch, capsys, run, flags, name, expected):
    module = importlib.import_module(f"tfvision.runs.{name}")
    made = []
    monkeypatch.setattr(module, name, lambda request: made.append(request) or {"done": name})
    assert main(*(run if flag == "RUN" else flag for flag in flags), "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"done": name}
    assert made[0].run.path == run
    assert {key: getattr(made[0], key) for key in expected} == expected


def test_models_and_doctor_give_what_they_found(monkeypatch, capsys):
    from tfvision.system import doctor
    from tfvision.system import models as listing

    monkeypatch.setattr(listing, "models", lambda: {"asked": "models"})
    assert main("models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"asked": "models"}
    monkeypatch.setattr(doctor, "doctor", lambda benchmark: {"speed": benchmark, "stops": []})
    assert main("doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"speed": True, "stops": []}
    monkeypatch.setattr(doctor, "doctor", lambda benchmark: {"speed": benchmark, "stops": ["x"]})
    assert main("doctor", "--json", "--no-benchmark") == 3
    said = capsys.readouterr()
    assert json.loads(said.out) == {"speed": False, "stops": ["x"]}
    assert said.err == "tfvision: 1 of these would stop a run.\n"


# Exit codes


class ResourceExhaustedError(Exception):
    """As TensorFlow's, which is known by its name so that it need not be imported."""


class OpError(Exception):
    """As TensorFlow's."""


class AbortedError(OpError):
    """As what oneDNN's failures become."""


class ArrayMemoryError(MemoryError):
    """As NumPy's."""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("it is wrong"), 2, "tfvision: it is wrong\n"),
        (EnvironmentFault("no disk"), 3, "tfvision: no disk\n"),
        (
            MemoryError(),
            3,
            "tfvision: out of memory; lower data.batch_size or raise train.accumulate, or",
        ),
        (
            AbortedError("Operation received an exception: could not create a primitive, in file"),
            3,
            "tfvision: out of memory; lower data.batch_size",
        ),
        (ArrayMemoryError("Unable to allocate"), 3, "tfvision: out of memory; lower data.batch_"),
        (PartFailed("the report failed"), 4, "tfvision: the report failed  (--debug"),
        (
            ResourceExhaustedError("OOM"),
            3,
            "tfvision: out of memory; lower data.batch_size or raise",
        ),
        (KeyError("x"), 4, "tfvision: internal error: KeyError: 'x'  (--debug shows where)\n"),
        (ValueError("x"), 4, "tfvision: internal error: ValueError: x"),
        (KeyboardInterrupt(), 130, "tfvision: interrupted\n"),
        (Interrupted(2), 130, "tfvision: stopped by SIGINT; its state is saved\n"),
        (Interrupted(15), 143, "tfvision: stopped by SIGTERM; its state is saved\n"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_every_error_has_its_exit_code_and_sentence(monkeypatch, capsys, error, code, message):
    from tfvision.runs import train as training_run

    def fail(request):
        raise error

    monkeypatch.setattr(training_run, "train", fail)
    assert training.train("segmentation", ["--quiet", "--json"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert "Traceback" not in err
    assert training.train("segmentation", ["--quiet", "--debug"]) == code
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "--debug" not in err


def test_json_is_the_last_line_of_standard_output(monkeypatch, capsys):
    from tfvision.runs import train as training_run

    summary = {"score": 0.5, "ü": "é"}
    monkeypatch.setattr(training_run, "train", lambda _: print("scores") or summary)
    assert training.train("segmentation", ["--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "scores"
    assert out[-1] == '{"score": 0.5, "ü": "é"}'


def test_a_tensorflow_that_cannot_be_imported_is_the_environment(monkeypatch, train):
    monkeypatch.setitem(sys.modules, "keras", None)
    code, said = train()
    assert code == 3
    assert "TensorFlow and Keras cannot be imported" in said
    assert "`python -m tfvision doctor`" in said


@pytest.mark.parametrize(("ending", "shown"), [("", ""), ("1 / 0", "chatter\n")])
def test_what_an_import_says_is_shown_only_if_it_fails(monkeypatch, capfd, tmp_path, ending, shown):
    (tmp_path / "keras.py").write_text(f"import os\nos.write(2, b'chatter\\n')\n{ending}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keras")
    if ending:
        with pytest.raises(ZeroDivisionError):
            shared.import_tensorflow()
    else:
        shared.import_tensorflow()
        monkeypatch.delitem(sys.modules, "keras")
    assert capfd.readouterr().err == shown


def run_script(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )


def test_a_real_process_ends_with_0():
    done = run_script("train_seg.py", "--help")
    assert done.returncode == 0
    assert "--resume RUN" in done.stdout


def test_a_real_process_ends_with_2():
    done = run_script("train_seg.py", "--set", "train.epoch=3")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith("\n")
    assert "Did you mean 'train.epochs'?" in done.stderr


def test_the_module_is_the_same_program():
    done = run_script("-m", "tfvision", "evaluate", "none")
    assert done.returncode == 2
    assert done.stderr == (
        "tfvision: none is no run: it has no config.yaml. A run is made by a training script, "
        "for example runs/seg/unetpp.\n"
    )


def test_a_child_is_a_command_that_help_does_not_list_and_speaks_as_the_script():
    assert "_run" not in commands._main_parser().format_help()
    done = run_script("-m", "tfvision", "_run", "train", "classification", "--resume", "none")
    assert done.returncode == 2
    assert done.stderr.startswith("tfvision: none is no run: it has no config.yaml.")
    done = run_script("-m", "tfvision", "_run", "train", "segmentation", "--help")
    assert done.stdout.startswith("usage: train_seg.py [-h]")


def test_predicting_by_folds_in_a_child_ends_with_a_sentence(tmp_path, capsys):
    arguments = ["predict-by-folds", str(tmp_path), "", str(tmp_path / "out.npz"), "cpu"]
    assert commands.main(["_run", *arguments]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_the_script_needs_no_working_folder_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "train_seg.py", "--arch", "unett"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Did you mean 'unet" in done.stderr
    assert list(tmp_path.iterdir()) == []
