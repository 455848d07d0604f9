"""What the command line asks of a task."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfvision.engine import VIEWS
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.registry import Spec, parse_call


def parse_views(text: str | None) -> list[list[Spec]]:
    """Reads `flip_lr,flip_lr+scale(factor=0.75)`: views between commas, `+` puts one on another.

    Arguments are checked when the views are made, since that imports TensorFlow.

    Returns:
        A chain of names and arguments for each view, to be applied from left to right.

    Raises:
        InputError: It cannot be read, a name is unknown, or a view comes twice.
    """
    if text is None:
        return []
    try:
        chains = [[Spec(**parse_call(s)) for s in _split(c, "+")] for c in _split(text, ",")]
        for spec in (spec for chain in chains for spec in chain):
            VIEWS.check_name(spec.name)
    except InputError as error:
        raise InputError(f"--tta {text}: {error}") from error
    if any(chain in chains[:place] for place, chain in enumerate(chains)):
        raise InputError(f"--tta {text}: a view comes twice; each may be named once.")
    return chains


def parse_tile(text: str | None) -> tuple[int, int] | None:
    """Reads `512` or `256x512` (height, width).

    Raises:
        InputError: It is neither.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", text.strip())
    if match is None:
        raise InputError(
            f"--tile must be a size such as 512, or HEIGHTxWIDTH, 256x512. Received: {text!r}."
        )
    return int(match[1]), int(match[2] or match[1])


def _split(text: str, mark: str) -> list[str]:
    """`text` at every `mark` that stands outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == mark and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


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
class FoldsRequest:
    """One call of a training script with `--folds`, or with `--resume` of a folds folder.

    Attributes:
        config: The task's config, validated; its `data.folds` says how many.
        folder: The folds folder.
        arch: Name of the architecture or config, for titles.
        device: Value of `--device`.
        resume: Go on with the folds that are there.
        dry_run: Assignment the samples and check them; train and write nothing.
        overwrite: Replace the folds that are there.
        quiet: Print warnings and errors only.
        lock: Takes the locked folder, to be unlocked at the end.
    """

    config: Any
    folder: Path
    arch: str
    device: str = "auto"
    resume: bool = False
    dry_run: bool = False
    overwrite: bool = False
    quiet: bool = False
    lock: list[RunFolder] = field(default_factory=list)


@dataclass(frozen=True)
class EnsembleRequest:
    """One call of `python -m tfvision ensemble`.

    Attributes:
        members: Runs, or folds folders.
        out: Folder of the ensemble, new or empty.
        weights: `mean`, `fitted` or `greedy`.
        member_weights: With `mean`: one an argument, or None for equal ones.
        data: Where the data of runs lies now; None: where it was.
        device: Value of `--device`.
        quiet: Print warnings and errors only.
    """

    members: list[Path]
    out: Path
    weights: str = "mean"
    member_weights: list[float] | None = None
    data: Path | None = None
    device: str = "auto"
    quiet: bool = False


@dataclass(frozen=True)
class UseRequest:
    """One call of `python -m tfvision evaluate`, `predict` or `export`.

    Attributes:
        run: The run to use.
        device: Value of `--device`.
        data: Another data set to score, or where the run's own lies now; None: where it was.
        overrides: `data.KEY=VALUE`: how other data is read, or other labels.
        labels: A file or folder of labels to score against, or None.
        split: Which split, or None for the default.
        input: What to predict, or None for the run's own test split.
        out: Where predictions go.
        probabilities: Write probabilities too.
        shards: Images a shard: probabilities go into a store of shards; None: into files.
        tta: Views to average with the plain image, as `parse_views` reads them, or None.
        tile: (height, width) of the tiles large images are cut into, or None.
        overlap: Pixels that tiles share at least, or None for the default.
        threshold: Least score of a box of a detection, or None.
        postprocess: File of the rules to use in place of the run's, or None.
        aggregate: File of what joins the pieces of an image in place of the run's rule, or None.
        calibrated: File of a temperature for probabilities; labels stay as they are; or None.
        depth: Column of a deeply supervised UNet++ to cut the model to, or None.
        quiet: Print warnings and errors only.
    """

    run: RunFolder
    device: str = "auto"
    data: Path | None = None
    overrides: Sequence[str] = ()
    labels: Path | None = None
    split: str | None = None
    input: Path | None = None
    out: Path | None = None
    probabilities: bool = False
    shards: int | None = None
    tta: str | None = None
    tile: tuple[int, int] | None = None
    overlap: int | None = None
    threshold: float | None = None
    postprocess: Path | None = None
    aggregate: Path | None = None
    calibrated: Path | None = None
    depth: int | None = None
    quiet: bool = False
