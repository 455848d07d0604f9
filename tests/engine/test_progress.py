"""What is printed: plain lines into a file, one live line on a terminal, nothing if quiet."""

import io
import os

import pytest

from tfvision.engine import progress as module
from tfvision.engine.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_into_a_file_only_lines_are_written():
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.live("step 1")
    progress.line("epoch 1")
    progress.live("step 2")
    progress.line("epoch 2")
    assert stream.getvalue() == "epoch 1\nepoch 2\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_writes_nothing(stream):
    progress = Progress(quiet=True, stream=stream)
    progress.live("step 1")
    progress.line("epoch 1")
    assert stream.getvalue() == ""


def screen(text: str) -> list[str]:
    """What a terminal shows of text with returns and erasures of the line."""
    lines = [""]
    for part in text.replace("\r\x1b[2K", "\0").replace("\n", "\n\1").split("\1"):
        lines[-1] += part.rstrip("\n")
        lines[-1] = lines[-1].split("\0")[-1]
        if part.endswith("\n"):
            lines.append("")
    return lines


def test_on_a_terminal_the_live_line_is_replaced(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.live("step 1")
    now[0] += 1
    progress.live("2")
    assert screen(stream.getvalue()) == ["2"]
    progress.line("epoch 1")
    progress.line("epoch 2")
    assert screen(stream.getvalue()) == ["epoch 1", "epoch 2", ""]


def test_the_live_line_is_drawn_five_times_a_second_at_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = Terminal()
    progress = Progress(stream=stream)
    for _ in range(64):  # one second
        progress.live("step")
        now[0] += 1 / 64
    assert stream.getvalue().count("step") == 5


def test_the_live_line_never_wraps(monkeypatch):
    monkeypatch.setattr(
        module.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((20, 5))
    )
    stream = Terminal()
    Progress(stream=stream).live("x" * 100)
    assert screen(stream.getvalue()) == ["x" * 19]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.24, "8.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (185.4, "3 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (8040, "2 h 14 min"),
        (360000, "100 h 00 min"),
    ],
)
def test_durations_carry_over(seconds, text):
    assert duration(seconds) == text
