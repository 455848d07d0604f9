"""The doctor against planted faults, one at a time."""

import builtins
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfvision.cli import commands
from tfvision.system import doctor
from tfvision.system import speed as speed
from tfvision.system.doctor import GIB, fits, look_at, python_window, requirements

GOOD = {
    "tensorflow": "2.21.0",
    "keras": "3.15.1",
    "numpy": "2.4.1",
    "keras-cv": "0.9.0",
    "hotcoco": "1.3.0",
    "tifffile": "2026.3.3",
    "albumentations": "2.0.8",
    "opencv-python-headless": "5.0.0.93",
    "scikit-learn": "1.9.0",
    "scipy": "1.17.1",
    "packaging": "26.4",
    "pillow": "13.0.0",
    "pydantic": "2.12.5",
    "pyyaml": "6.0.3",
    "jinja2": "3.1.6",
    "pytest": "9.2.0",
}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without faults; `machine(name=version)` changes packages."""
    versions = dict(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "installed", versions.get)
    monkeypatch.setattr(doctor, "_memory", lambda found: {"total": 8.0, "free": 4.0})
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.11.9")
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=50 * GIB)
    )
    return versions


def test_a_good_machine_has_no_problems(machine, capsys):
    result = doctor.doctor(benchmark=False)
    out = capsys.readouterr().out
    assert (result["stops"], result["warnings"], result["benchmark"]) == ([], [], None)
    assert out.endswith("no problems found\n")
    for name in (*GOOD, "python", "GPU", "CPU cores", "runs go to", "TFVISION_CACHE"):
        assert name in out
    assert set(result["packages"]) == set(GOOD)
    assert result["packages"]["keras"] == {"version": "3.15.1", "window": ">=3.13.2,<3.16"}
    assert result["cpu_cores"] >= 1
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "version", "kind", "text"),
    [
        ("keras", "3.13.1", "stops", "keras 3.13.1 is outside the supported window"),
        ("keras", "4.0rc1", "stops", "keras 4.0rc1 is outside the supported window"),
        ("tensorflow", "2.22.0-dev1", "stops", "pip install 'tensorflow>=2.20,<2.22'"),
        ("numpy", "1.26.4", "stops", "numpy 1.26.4 is outside the supported window >=2.0,<2.5"),
        ("scikit-learn", None, "stops", "scikit-learn is missing: pip install 'scikit-learn>="),
        ("albumentations", "2.0.9", "warnings", "the op `albumentations` needs it: pip install"),
        ("pytest", None, "warnings", "pytest is missing; the tests need it"),
    ],
)
def test_a_version_that_is_amiss_is_named_with_the_way_out(
    machine, capsys, name, version, kind, text
):
    machine[name] = version
    result = doctor.doctor(benchmark=False)
    other = {"stops": "warnings", "warnings": "stops"}[kind]
    assert result[other] == []
    (said,) = result[kind]
    assert text in said
    assert f"! {'would stop a run: ' if kind == 'stops' else ''}{said}\n" in capsys.readouterr().out


def test_every_window_of_the_project_is_understood():
    windows = requirements()
    assert set(windows) == set(GOOD)
    assert all(windows.values())
    assert all(fits(version, windows[name]) for name, version in GOOD.items())
    assert not any(fits("0.0.1", window) for window in windows.values())
    assert fits("3.11.0", python_window())
    assert not fits("3.10.14", python_window())


@pytest.mark.parametrize(
    ("version", "window", "inside"),
    [
        ("2.20.0", ">=2.20,<2.22", True),
        ("2.21.0", ">=2.20,<2.22", True),
        ("2.22", ">=2.20,<2.22", False),
        ("2.9.1", ">=2.20,<2.22", False),
        ("2.0.8.post1", "==2.0.8", True),
        ("2.0.80", "==2.0.8", False),
        ("6", ">5,<=6.0", True),
        ("anything", ">=1", False),
        ("2.20.3", "~=2.20.0", True),
        ("2.21.0", "~=2.20.0", False),
        ("2.21.0", ">=2.20,!=2.21.0", False),
        ("2.20.4", "==2.20.*", True),
    ],
)
def test_versions_are_compared_as_numbers(version, window, inside):
    assert fits(version, window) is inside


def test_without_packaging_the_doctor_names_it_and_goes_on(machine, monkeypatch):
    machine["packaging"] = None
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    (stop,) = doctor.doctor(benchmark=False)["stops"]
    assert stop.startswith("packaging is missing: pip install 'packaging>=")


def test_an_installed_package_says_its_windows_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    lines = ["keras<3.16,>=3.13.2", "numpy >=2.0 ; python_version > '3'", "x; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(doctor.metadata, "metadata", lambda name: {"Requires-Python": ">=3.11"})
    assert requirements() == {"keras": "<3.16,>=3.13.2", "numpy": ">=2.0"}
    assert python_window() == ">=3.11"


def test_another_python_stops(machine, monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.10.14")
    (stop,) = doctor.doctor(benchmark=False)["stops"]
    assert stop.startswith("Python 3.10.14 is outside the supported window >=3.11,<3.14")


def test_an_import_that_fails_is_a_sentence_and_the_exit_code_is_3(machine, monkeypatch, capsys):
    real = builtins.__import__

    def broken(name, *args, **options):
        if name == "tensorflow":
            raise ImportError("libnothing.so: cannot open\nmore")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    assert commands.main(["doctor", "--json"]) == 3
    said = capsys.readouterr()
    result = json.loads(said.out.splitlines()[-1])
    (stop,) = result["stops"]
    assert "cannot be imported (ImportError: libnothing.so: cannot open)" in stop
    assert result["benchmark"] is None
    assert said.err == "tfvision: 1 of these would stop a run.\n"


def test_keras_on_another_backend_stops(machine, monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    (stop,) = doctor.doctor(benchmark=False)["stops"]
    assert "Keras runs on jax; set KERAS_BACKEND=tensorflow" in stop


@pytest.mark.parametrize(
    ("hidden", "cuda", "driver", "why"),
    [
        ("-1", True, True, "CUDA_VISIBLE_DEVICES='-1' hides them"),
        (None, False, True, "this TensorFlow is built without CUDA"),
        (None, True, False, "there is no NVIDIA driver on this machine"),
        ("0", True, True, r"cannot load its CUDA libraries: pip install 'tensorflow\[and-cuda\]=="),
    ],
)
def test_why_there_is_no_gpu(machine, monkeypatch, hidden, cuda, driver, why):
    import tensorflow as tf

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: driver if "nvidia" in str(p) else real(p))
    result = doctor.doctor(benchmark=False)
    assert re.search(why, result["devices"]["why_none"])
    assert result["stops"] == []  # a CPU trains too


def test_gpus_are_listed_with_their_memory(machine, monkeypatch, capsys):
    import tensorflow as tf

    gpus = [SimpleNamespace(name="/gpu:0"), SimpleNamespace(name="/gpu:1")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    names = {"/gpu:0": {"device_name": "Tesla T4"}, "/gpu:1": {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: names[gpu.name])
    monkeypatch.setattr(doctor.shutil, "which", lambda tool: f"/bin/{tool}")
    answer = SimpleNamespace(stdout="15360\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *args, **options: answer)
    devices = doctor.doctor(benchmark=False)["devices"]
    assert devices["why_none"] is None
    assert devices["gpus"] == [
        {"name": "Tesla T4", "memory_gib": 15.0},
        {"name": "/gpu:1", "memory_gib": None},
    ]
    assert "Tesla T4, 15.0 GiB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("free", "kind", "text"),
    [(0.5, "warnings", "only 0.50 GiB are free in"), (0.05, "stops", "only 0.05 GiB are free in")],
)
def test_a_full_disk(machine, monkeypatch, tmp_path, free, kind, text):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda p: SimpleNamespace(free=free * GIB))
    said = doctor.doctor(benchmark=False)[kind]
    assert text in said[0]
    assert str(tmp_path / "runs") in said[0]


@pytest.mark.parametrize(("which", "kind"), [("runs", "stops"), ("cache", "warnings")])
def test_a_folder_that_cannot_be_written(machine, monkeypatch, tmp_path, which, kind):
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "runs").mkdir()
    real = doctor.tempfile.TemporaryFile

    def make(dir):
        if Path(dir) == tmp_path / which:
            raise PermissionError(13, "Permission denied")
        return real(dir=dir)

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", make)
    result = doctor.doctor(benchmark=False)
    (said,) = result[kind]
    assert str(tmp_path / which) in said
    assert len(result["stops"] + result["warnings"]) == 1


def test_a_folder_is_judged_by_the_one_it_would_be_made_in(tmp_path):
    found = look_at(tmp_path / "a" / "b")
    assert found["writable"] is True
    assert found["free_gib"] > 0
    assert found["path"] == str(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("load", "busy"), [(99.0, True), (0.1, False)])
def test_a_busy_machine_is_said_to_be_one(monkeypatch, capsys, load, busy):
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (load, 0, 0))
    assert doctor._cores() >= 1
    assert ("busy (load 99.0)" in capsys.readouterr().out) is busy


def test_little_memory_is_a_warning(monkeypatch, capsys):
    found = doctor.Findings()
    memory = doctor._memory(found)
    assert 0 < (memory["free"] or memory["total"]) <= memory["total"]
    monkeypatch.setattr(doctor.os, "sysconf", lambda name: 2**15)
    doctor._memory(tight := doctor.Findings())
    assert "less than 2 GiB of memory" in tight.warnings[0]


def test_the_benchmark_measures_steps_and_pipeline(capsys):
    result = speed.benchmark(width=2, depth=1, seconds=0.1)
    assert result["pipeline_samples_per_second"] > 0
    assert result["embedded_epoch_seconds"] == pytest.approx(400 / result["images_per_second"])
    text = speed.words({**result, "images_per_second": 57.1, "embedded_epoch_seconds": 7.0})
    assert "an epoch of the embedded data would take about 7.0 s here" in text["training"]


def test_a_slow_pipeline_is_said_to_be_one():
    figures = {"images_per_second": 100.0, "embedded_epoch_seconds": 4.0, "replicas": 1}
    slow = speed.words({**figures, "pipeline_samples_per_second": 110.0})
    fast = speed.words({**figures, "pipeline_samples_per_second": 900.0})
    assert "raise data.workers" in slow["pipeline"]
    assert "fast enough" in fast["pipeline"]


def test_the_benchmark_is_part_of_the_whole_and_left_out_where_a_run_would_stop(
    machine, monkeypatch, capsys
):
    figures = {
        "pipeline_samples_per_second": 900.0,
        "images_per_second": 57.0,
        "replicas": 1,
        "embedded_epoch_seconds": 7.0,
    }
    monkeypatch.setattr(speed, "benchmark", lambda: figures)
    assert doctor.doctor()["benchmark"] == figures
    assert "57 images/s" in capsys.readouterr().out
    machine["keras"] = None
    assert doctor.doctor()["benchmark"] is None


def test_the_doctor_needs_nothing_but_the_standard_library(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] in ("tfvision", "pydantic", "yaml")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pydantic", "yaml", "tensorflow", "keras", "numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    from tfvision.cli import commands as fresh

    assert fresh.main(["doctor"]) == 3
