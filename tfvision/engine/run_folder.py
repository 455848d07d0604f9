"""The folder of a run: what stands where, and who may write to it."""

import contextlib
import csv
import fcntl
import io
import json
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from tfvision.engine.files import write_json, write_text
from tfvision.errors import EnvironmentFault, InputError

KNOWN = (
    "config.yaml",
    "env.json",
    "encoder.json",
    "data.json",
    "splits.csv",
    "metrics.csv",
    "calibration.json",
    "temperature.json",
    "summary.json",
    "report.html",
    "log.txt",
    "issues.json",
    "quarantine.csv",
    "checkpoints",
    "evaluation.json",
    "predictions",
    "export",
    "samples",
    "ensemble.json",
    "two_stage.json",
    ".lock",
)
# What a start that was killed before its first step can leave: no run yet.
BEGINNING = {
    *(".lock", ".probe", "log.txt", "env.json", "data.json", "issues.json", "splits.csv"),
    *("quarantine.csv", "encoder.json"),
}
# What a process that is killed in the middle of a write leaves beside the file.
_UNFINISHED = re.compile(r"\..+[.-]\d+(\.tmp|-[0-9a-f]{8})")


class RunFolder:
    """Paths and records of one run.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.predictions = self.path / "predictions"
        self.export = self.path / "export"
        self.report = self.path / "report.html"
        self._lock = None

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """The run in a folder that must hold one."""
        run = cls(path)
        if run.path.is_file() or (run.path / "saved_model.pb").is_file():
            raise InputError(
                f"{path} is a model file, not a run. A model file of others can hold code, so none "
                "is ever loaded; give the folder of a run, in which config.yaml stands."
            )
        if not run.config.is_file():
            if (run.path / "folds.yaml").is_file():
                raise InputError(
                    f"{path} is a folder of folds, not one run. Give one of them, {path}/fold-0, "
                    f"or the mean of all: python -m tfvision ensemble {path} --out FOLDER."
                )
            if (run.path / ".lock").exists():
                raise InputError(
                    f"{path} has no config.yaml: that run was stopped before its first step. "
                    f"There is nothing to go on with; start it again with --out {path}."
                )
            raise InputError(
                f"{path} is no run: it has no config.yaml. A run is made by a training script, "
                "for example runs/seg/unetpp."
            )
        return run

    @property
    def is_ensemble(self) -> bool:
        """Whether it is an ensemble of runs, which is used like one."""
        return (self.path / "ensemble.json").is_file()

    @property
    def is_two_stage(self) -> bool:
        """Whether it is a detector with a classifier behind it, which are used like one run."""
        return (self.path / "two_stage.json").is_file()

    def check_free(self, *, overwrite: bool = False) -> None:
        """Refuses what `create` would refuse, without touching it.

        Raises:
            InputError: The folder is not empty and `overwrite` is not set, or is no run's.
        """
        if not self._taken():
            return
        if not self.config.is_file():
            raise InputError(
                f"{self.path} is not empty and holds no run (no config.yaml): it is not "
                "overwritten. Choose another --out."
            )
        if not overwrite:
            raise InputError(
                f"{self.path} exists already. Go on with --resume {self.path}, replace it "
                "with --overwrite, or choose another --out."
            )

    def create(self, *, overwrite: bool = False) -> None:
        """Makes the folder; one that holds something is refused, or emptied of a run's files.

        What a start that was killed before its first step has left is taken over.

        Raises:
            InputError: It is not empty and `overwrite` is not set, or it is no run's.
            EnvironmentFault: It cannot be made or written to.
        """
        self.check_free(overwrite=overwrite)
        try:
            if self._taken():
                self.lock()
                for name in reversed(KNOWN):  # config.yaml last: until then the folder is a run
                    target = self.path / name
                    if target.is_dir() and not target.is_symlink():
                        shutil.rmtree(target)
                    elif name != ".lock":
                        target.unlink(missing_ok=True)
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".probe"
            probe.write_text("x")
            probe.unlink()
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot write to the run folder {self.path}: {error.strerror}. Choose another "
                "with --out."
            ) from error
        self.lock()

    def lock(self) -> None:
        """Keeps a second process from writing to this run; the system frees it on any death.

        Raises:
            InputError: Another process holds it.
            EnvironmentFault: The folder cannot be written to.
        """
        if self._lock is not None:
            return
        try:
            file = open(self.path / ".lock", "a+")  # noqa: SIM115 (held open while the run lasts)
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot write to the run folder {self.path}: {error.strerror}."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise InputError(
                f"{self.path} is in use by another process (pid {holder}). Wait for it, or choose "
                "another --out."
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        self._lock = file
        for folder in (self.path, self.predictions):
            for path in folder.glob(".*"):
                if path.is_dir() and _UNFINISHED.fullmatch(path.name):
                    shutil.rmtree(path)
                elif _UNFINISHED.fullmatch(path.name):
                    path.unlink()

    def check_space(self, needed: int) -> None:
        """Refuses to begin what the disk has no room for.

        Args:
            needed: Bytes the finished run will take. What lies in the folder already counts.

        Raises:
            EnvironmentFault: There is less; the message has both numbers.
        """
        there = sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file())
        free = shutil.disk_usage(self.path).free
        if free < needed - there:
            raise EnvironmentFault(
                f"No space for the run in {self.path}: it needs about {needed - there:,} bytes "
                f"more (checkpoints, exports, predictions); {free:,} are free there. Free some "
                "space, or choose another folder with --out."
            )

    def _taken(self) -> bool:
        """Whether there is anything but the beginning of a start that was killed."""
        if not self.path.is_dir():
            return self.path.exists()
        names = {p.name for p in self.path.iterdir() if not _UNFINISHED.fullmatch(p.name)}
        return bool(names) and not (names <= BEGINNING and names & {".lock", ".probe"})

    def unlock(self) -> None:
        """Lets other processes write to the run again."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_json(self, name: str) -> dict[str, Any]:
        """A record of the run, `data.json` say.

        Raises:
            InputError: It is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path / name} cannot be read ({error}). The run is not complete; go on "
                f"with --resume {self.path}."
            ) from error

    def write_json(self, name: str, value: Any) -> None:
        """Writes a record of the run, whole or not at all."""
        write_json(self.path / name, value)

    def write_history(self, history: list[dict]) -> None:
        """Writes `metrics.csv`, a row an epoch."""
        columns = list(dict.fromkeys(key for row in history for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        for row in history:
            writer.writerow({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in row.items()})
        write_text(self.path / "metrics.csv", text.getvalue())

    def log(self, text: str) -> None:
        """Adds a line to `log.txt`; a log that cannot be written never stops a run."""
        with (
            contextlib.suppress(OSError),
            open(self.path / "log.txt", "a", encoding="utf-8", errors="backslashreplace") as file,
        ):
            file.write(text + "\n")


def free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or with `-2`, `-3` ... behind it, whichever is free first."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path
