"""What the command line asks of a task."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.engine.run_folder import RunFolder


@dataclass(frozen=True)
class TrainRequest:
    """One call of a training script.

    Attributes:
        config: The task's config, validated.
        run: Where the run goes, or is.
        arch: Name of the run's architecture or config, for titles.
        command: The command line, for the report.
        resume: Go on with the run that is there.
        extend: With `resume`: train on although the run had finished.
        device: Value of `--device`.
        dry_run: Check, build, take one step, estimate; write nothing.
        overwrite: Replace the run that is there.
        quiet: Print warnings and errors only.
    """

    config: Any
    run: RunFolder
    arch: str
    command: str
    resume: bool = False
    extend: bool = False
    device: str = "auto"
    dry_run: bool = False
    overwrite: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class UseRequest:
    """One call of `python -m tfvision evaluate`, `predict` or `export`.

    Attributes:
        run: The run to use.
        device: Value of `--device`.
        data: Another data set to score, or None for the run's.
        labels: A file or folder of labels to score against, or None.
        split: Which split, or None for the default.
        input: What to predict.
        out: Where predictions go.
        probabilities: Write probabilities too.
        depth: Column of a deeply supervised UNet++ to cut the model to, or None.
        quiet: Print warnings and errors only.
    """

    run: RunFolder
    device: str = "auto"
    data: Path | None = None
    labels: Path | None = None
    split: str | None = None
    input: Path | None = None
    out: Path | None = None
    probabilities: bool = False
    depth: int | None = None
    quiet: bool = False
