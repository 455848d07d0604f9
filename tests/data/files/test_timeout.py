"""Reads that stall end with the file's name; a scan is never held for ever."""

import os
import subprocess
import sys
import threading
import time

import pytest

from tests.data.make import arrays, pairs
from tfvision.data.files import timeout as module
from tfvision.data.files.timeout import Stalled, in_time, map_in_time
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(module, "FILE_SECONDS", 0.3)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)


def test_results_are_in_order_whatever_the_threads_do():
    def slow_first(index):
        time.sleep(0.02 if index == 0 else 0)
        return index * index

    found = map_in_time(slow_first, 20, workers=3, place=str)
    assert found == [i * i for i in range(20)]
    assert map_in_time(slow_first, 0, workers=3, place=str) == []


def test_what_a_read_raises_is_raised_and_nothing_more_is_begun():
    begun = []

    def fails(index):
        begun.append(index)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        map_in_time(fails, 50, workers=1, place=str)
    assert begun == [0]


def test_a_slow_read_that_ends_within_the_grace_is_fine(monkeypatch):
    monkeypatch.setattr(module, "FILE_SECONDS", 0.05)
    monkeypatch.setattr(module, "GRACE_SECONDS", 5.0)
    assert in_time(lambda: time.sleep(0.2) or 7, "a.png") == 7


def test_a_read_that_stalls_in_a_scan_names_the_sample(soon, monkeypatch):
    """D34: of a sample that never answers, under quarantine too."""
    images, masks = arrays()
    source = ArraySource({"": {"images": images, "masks": masks}})
    read, wait = source.read_raw, threading.Event()
    monkeypatch.setattr(
        source, "read_raw", lambda index: wait.wait() if index == 3 else read(index)
    )
    began = time.monotonic()
    with pytest.raises(Stalled, match=r"row 3 of images: cannot be read within 0.3 seconds: the d"):
        scan(source, on_bad_sample="quarantine")
    assert time.monotonic() - began < 5
    with pytest.raises(Stalled, match=r"row 3 of images"):
        in_time(lambda: source.read(3), "row 3 of images")
    wait.set()


def test_a_process_with_a_stalled_read_ends_with_2(tmp_path):
    """D34: the thread cannot be stopped, and the process ends all the same."""
    pairs(tmp_path / "data", 3)
    script = (
        "import sys, threading, types\n"
        "from tfvision.cli import shared\n"
        "from tfvision.data.files import images, timeout\n"
        "from tfvision.data.sources.folders.mask_folder import folder\n"
        "from tfvision.data.scan.scan import scan\n"
        "timeout.FILE_SECONDS = timeout.GRACE_SECONDS = 0.3\n"
        "read = images.read_bytes\n"
        "def stalls(path, *, place):\n"
        "    if place == 'masks/s1.png':\n"
        "        threading.Event().wait()\n"
        "    return read(path, place=place)\n"
        "images.read_bytes = stalls\n"
        "asked = types.SimpleNamespace(json=False, debug=False)\n"
        "sys.exit(shared.guarded(lambda: scan(folder(sys.argv[1])), asked))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        env={**os.environ, "TFVISION_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "images/s1.png: cannot be read within 0.3 seconds" in done.stderr
    assert "Traceback" not in done.stderr
