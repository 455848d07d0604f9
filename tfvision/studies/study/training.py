"""What the trainings of a study share: its folder, and how each is started and gone on with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tfvision.config import RunConfig, dump_config
from tfvision.engine.files import write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.runs.process import train_in_process
from tfvision.studies.folds.train import train_folds_in_process

PLAN = "plan.json"  # what a rerun must match
BEFORE_PLAN = {"splits.csv", "splits_search.csv"}  # of a start that was killed


@contextmanager
def open_folder(out: Path, kind: str) -> Iterator[RunFolder]:
    """The folder of a study, new or gone on with, locked until the block ends.

    Raises:
        InputError: `out` holds something else than a `kind`, or another process works there.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Choose a folder.")
    if out.is_dir() and not (out / PLAN).is_file():
        names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        if not names <= BEFORE_PLAN:
            raise InputError(f"--out {out} is not empty and holds no {kind}. Choose another.")
    out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(out)
    folder.lock()
    try:
        yield folder
    finally:
        folder.unlock()


def train(
    config: RunConfig,
    run: Path,
    *,
    path: Path,
    log: Path,
    overrides: Sequence[str] = (),
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Trains a run, or where the config has folds all of them, in a process of its own.

    What was stopped is gone on with, what is finished is left alone. Errors are those of
    `train_in_process`.

    Args:
        config: What is trained.
        run: The run folder, or the folder of folds.
        path: Where the config is written to.
        log: What the process prints.
        overrides: `key.path=value` each, of this run alone.
        device: Value of `--device`.
        quiet: Whether the process prints less.
    """
    # Written anew each time: the same text, whole also after a kill.
    write_text(path, dump_config(config))
    if config.data.folds is not None:
        train_folds_in_process(path, run, device=device, log=log)
    else:
        train_in_process(path, run, overrides=overrides, device=device, quiet=quiet, log=log)
