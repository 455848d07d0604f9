"""A run trained in a process of its own: exit codes, signals, going on. No training here."""

import json
import os
import signal
import sys
import threading
import time

import pytest
import yaml

from tests.support import runs
from tfvision.config import dump_config, load_config
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.signals import Interrupted
from tfvision.errors import InputError
from tfvision.runs import process
from tfvision.runs.process import ProcessFailed, is_finished, run_process, train_in_process
from tfvision.tasks.segmentation.schema import SegmentationConfig


def python(code):
    return [sys.executable, "-c", code]


@pytest.fixture
def started(monkeypatch):
    """The commands that would have been started; each ends with the code in `started.code`."""

    class Started(list):
        code = 0

    made = Started()

    def start(argv, *, log=None):
        made.append(list(argv))
        out = argv[argv.index("--resume" if "--resume" in argv else "--out") + 1]
        os.makedirs(out, exist_ok=True)
        if made.code == 0:
            (RunFolder(out).path / "summary.json").write_text('{"epochs": 2}')
        return made.code

    monkeypatch.setattr(process, "run_process", start)
    return made


@pytest.fixture
def config(tmp_path):
    source = runs.write_npz(tmp_path / "d.npz", 2, 2, 2)
    return runs.write_config(tmp_path / "c.yaml", source)


def begin(config, folder, **changes):
    """A run of this config, as a training leaves it when it is killed in its second epoch."""
    folder.mkdir(parents=True)
    loaded = load_config(SegmentationConfig, config, [f"{k}={v}" for k, v in changes.items()])
    raw = yaml.safe_load(dump_config(loaded))
    raw["data"]["source"]["name"] = "npz"  # what auto recognised
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    (folder / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    return folder


def end(folder, epochs=2):
    (folder / "metrics.csv").write_text("epoch,loss\n" + "1,0.5\n" * epochs)
    (folder / "summary.json").write_text(json.dumps({"epochs": 2, "exports": [], "mark": 7}))
    (folder / "report.html").write_text("<p>")
    return folder


def test_output_and_exit_code_are_passed_on(tmp_path, capfd):
    code = "import sys; print('said'); print('told', file=sys.stderr); sys.exit({})"
    assert run_process(python(code.format(0))) == 0
    assert run_process(python(code.format(3))) == 3
    assert capfd.readouterr() == ("said\n" * 2, "told\n" * 2)
    log = tmp_path / "new" / "log.txt"
    for number in (0, 4):
        assert run_process(python(code.format(number)), log=log) == number
    assert sorted(log.read_text().split()) == ["said", "said", "told", "told"]
    assert capfd.readouterr() == ("", "")


def test_a_killed_process_has_a_code_as_in_a_shell():
    assert run_process(python("import os; os.kill(os.getpid(), 9)")) == 137


def test_the_process_finds_this_package_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", [])
    assert run_process(python("import tfvision.registry")) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_handed_on_once_and_the_process_may_finish(tmp_path, number):
    mark = tmp_path / "mark"
    code = (
        "import signal, sys, time\n"
        "got = []\n"
        f"signal.signal({int(number)}, lambda *_: got.append(1))\n"
        f"open({str(mark)!r}, 'w').close()\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        f"open({str(mark)!r}, 'w').write(str(len(got)))\n"
        "sys.exit(99)\n"
    )

    def send():
        while not mark.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(Interrupted) as stopped:
        run_process(python(code))
    sender.join()
    assert stopped.value.exit_code == 128 + number
    assert mark.read_text() == "1"  # it ended by itself, after one signal
    assert signal.getsignal(number) is before


def test_a_new_run_a_stopped_run_and_a_finished_run(tmp_path, config, started):
    out = tmp_path / "run"
    options = {"overrides": ["train.epochs=2"], "device": "cpu", "quiet": True}
    assert train_in_process(config, out, **options) == {"epochs": 2}
    assert started[0] == [
        *(*process.CHILD, "train", "segmentation"),
        *("--config", str(config), "--out", str(out), "--set", "train.epochs=2"),
        *("--device", "cpu", "--quiet"),
    ]
    (out / "summary.json").unlink()
    out.rmdir()
    begin(config, out)
    train_in_process(config, out, **options)
    assert started[1][6:] == ["--resume", str(out), "--device", "cpu", "--quiet"]
    end(out)
    assert train_in_process(config, out, **options)["mark"] == 7
    assert len(started) == 2


def test_a_run_of_another_config_is_refused_with_the_difference(tmp_path, config, started):
    out = end(begin(config, tmp_path / "run"))
    with pytest.raises(InputError, match=r"another config:\n  seed: 1 -> 2\nChoose another folder"):
        train_in_process(config, out, overrides=["seed=2"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        train_in_process(config, tmp_path / "mine")
    assert not started


@pytest.mark.parametrize(
    ("code", "message"),
    [(2, "exit code 2. What it had saved"), (137, r"137 \(killed from outside")],
)
def test_a_failure_has_the_code_of_the_process(tmp_path, config, started, code, message):
    started.code = code
    with pytest.raises(ProcessFailed, match=message) as failed:
        train_in_process(config, tmp_path / "run")
    assert failed.value.exit_code == code


def test_what_is_finished(tmp_path, config):
    folder = begin(config, tmp_path / "run")
    assert not is_finished(RunFolder(folder))
    end(folder)
    assert is_finished(RunFolder(folder))
    end(folder, epochs=3)  # extended, and stopped in its fourth epoch
    assert not is_finished(RunFolder(folder))
    end(folder)
    (folder / "report.html").unlink()
    assert not is_finished(RunFolder(folder))
