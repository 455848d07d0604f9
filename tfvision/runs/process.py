"""Training a run in a process of its own, so that all its memory is given back.

No TensorFlow here: the process that waits stays small.
"""

import contextlib
import csv
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfvision.config import differences, load_any, load_config
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.signals import Interrupted
from tfvision.errors import InputError, PartFailed
from tfvision.tasks.facts import facts_of

PACKAGE = Path(__file__).parents[2]  # the folder that tfvision is imported from
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CHILD = (sys.executable, "-m", "tfvision", "_run")  # see `tfvision.cli.child_commands`


class ProcessFailed(PartFailed):
    """A process that was started ended with an exit code of its own, which becomes this one's."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def train_in_process(
    config_path: Path,
    out: Path,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    quiet: bool = False,
    log: Path | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Trains one run in a fresh process; goes on with it, or leaves it, where it is there.

    Args:
        config_path: The config.
        out: The run folder. A run of this config that was stopped is resumed, exactly; a
            finished one is left alone.
        overrides: `key.path=value` each, applied to the config.
        device: Value of `--device`.
        quiet: Print less.
        log: A file that takes what the process prints, at its end; None: it is passed through.
        task: What is trained; None: what the config says.

    Returns:
        `summary.json` of the run.

    Raises:
        InputError: `out` holds something else, or a run of another config.
        Interrupted: This process was asked to stop; the other one has saved its state.
        ProcessFailed: The process ended with an error, whose exit code this one has.
    """
    out = Path(out)
    run = RunFolder(out)
    task = task or load_any(config_path, overrides).task
    if run.config.is_file():
        _check_config(run, Path(config_path), overrides, task)
        if is_finished(run):
            return run.read_json("summary.json")
        arguments = ["--resume", str(out)]
    else:
        run.check_free()
        arguments = ["--config", str(config_path), "--out", str(out)]
        arguments += [word for override in overrides for word in ("--set", override)]
    arguments += ["--device", device, *(["--quiet"] if quiet else [])]
    run_script(task, arguments, out, log=log)
    return run.read_json("summary.json")


def run_script(task: str, arguments: Sequence[str], out: Path, *, log: Path | None = None) -> None:
    """Runs a task's training script in a fresh process.

    Args:
        task: Whose script.
        arguments: Its flags.
        out: What is trained, for the message.
        log: As `train_in_process` has it.

    Raises:
        Interrupted: This process was asked to stop; the other one has saved its state.
        ProcessFailed: The process ended with an error, whose exit code this one has.
    """
    code = run_process([*CHILD, "train", task, *arguments], log=log)
    if code:
        raise ProcessFailed(
            f"The training of {out} ended with exit code {code}{_meaning(code, log)}. What it had "
            "saved is kept.",
            code,
        )


def evaluate_in_process(
    run: Path, labels: Path, out: Path, *, device: str = "auto", log: Path | None = None
) -> None:
    """What `python -m tfvision evaluate RUN --labels FILE --out FOLDER` does, in a fresh process.

    Args:
        run: The run folder.
        labels: Of the run's unlabelled test images.
        out: For `predictions/labels_confusion.npz` and the predictions.
        device: Value of `--device`.
        log: As `train_in_process` has it.

    Raises:
        Interrupted: This process was asked to stop.
        ProcessFailed: The process ended with an error, whose exit code this one has.
    """
    arguments = ["evaluate", str(run), "--labels", str(labels), "--out", str(out), "--quiet"]
    arguments += ["--device", device]
    code = run_process([sys.executable, "-m", "tfvision", *arguments], log=log)
    if code:
        raise ProcessFailed(
            f"Scoring {run} on {labels} ended with exit code {code}{_meaning(code, log)}.", code
        )


def is_finished(run: RunFolder) -> bool:
    """Whether a run has been trained to its end, scored and reported.

    A run that was extended and stopped again has more epochs than its summary tells of.
    """
    if not (run.report.is_file() and (run.path / "summary.json").is_file()):
        return False
    summary, history = run.read_json("summary.json"), run.path / "metrics.csv"
    if "exports" not in summary or not history.is_file():
        return False
    with open(history, newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file)) == summary["epochs"]


def run_process(argv: Sequence[str], *, log: Path | None = None) -> int:
    """Runs a program to its end and returns its exit code, 128 + n after signal n.

    It can import this very package, wherever that was started from. SIGINT, SIGTERM and
    SIGHUP that this process gets are handed on, once each; Ctrl-C reaches the program this way
    only, since it is in a process group of its own (two of them would end it at once).

    Args:
        argv: The program and its arguments.
        log: A file that takes its output, at its end; None: it is passed through.

    Raises:
        Interrupted: A signal was handed on, and the program has ended.
    """
    path = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        output = None
        if log is not None:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(open(log, "ab"))
        started: list[subprocess.Popen] = []
        received: list[int] = []

        def hand_on(number, _frame=None):
            received.append(number)
            for process in started:
                process.send_signal(number)

        stack.enter_context(_handling(hand_on))
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
        started.append(process)
        for number in received:  # that came while it was being started
            process.send_signal(number)
        code = process.wait()
    if received:
        raise Interrupted(received[0])
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _handling(handler: Callable) -> Iterator[None]:
    """`handler` for the signals that are handed on; in a thread that is not the main one there
    is nothing to hand on."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in FORWARDED}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _check_config(run: RunFolder, config_path: Path, overrides: Sequence[str], task: str) -> None:
    there = load_config(facts_of(task).schema(), run.config)
    asked = load_config(facts_of(task).schema(), config_path, overrides)
    changed = differences(_comparable(there, asked), _comparable(asked, there))
    if changed:
        raise InputError(
            f"{run.path} holds a run of another config:\n  "
            + "\n  ".join(changed)
            + f"\nChoose another folder, or remove {shlex.quote(str(run.path))}."
        )


def _comparable(config, other) -> dict[str, Any]:
    """A config's values; the layout of the data counts only where both configs name it."""
    values = config.model_dump(mode="json")
    if "auto" in (config.data.source.name, other.data.source.name):
        values["data"]["source"]["name"] = "auto"
    return values


def _meaning(code: int, log: Path | None) -> str:
    if code == 128 + signal.SIGKILL:
        return " (killed from outside, as the system does where memory is full)"
    return f"; {log} says why" if log is not None else ""
