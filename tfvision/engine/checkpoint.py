"""Checkpoints that are whole, verified, and never the reason a run is lost.

A checkpoint is a folder `ckpt-<step>` with `variables.npz`, `state.json` and
`MANIFEST.json`, the sizes and SHA-256 of the two. It is written under a temporary name,
synced, renamed, read back, and only then are older ones removed: the newest two stay,
and the one that holds the best weights.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from tfvision.engine.files import cannot_write, sha256_of, sync_folder
from tfvision.errors import EnvironmentFault, InputError

FORMAT = 1
KEEP = 2
FILES = ("variables.npz", "state.json")
_NAME = re.compile(r"ckpt-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after `step` optimizer steps.

    Attributes:
        step: Optimizer steps done.
        variables: Name to value, in the order they were given.
        state: The loop's own memory, as JSON holds it.
    """

    step: int
    variables: dict[str, np.ndarray]
    state: dict[str, Any]


class OtherFormat(EnvironmentFault):
    """A checkpoint is whole, but another version of tfvision must read it."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, best_step: int | None) -> Path:
    """Writes a checkpoint into `folder` and removes what is no longer needed.

    Args:
        folder: The run's `checkpoints/`.
        checkpoint: What to save.
        best_step: Step of the checkpoint with the best weights, which is kept.

    Raises:
        EnvironmentFault: It could not be written; all earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"ckpt-{checkpoint.step:08d}"
    temporary = folder / f".tmp-{checkpoint.step:08d}-{os.getpid()}"
    needed = sum(value.nbytes for value in checkpoint.variables.values())
    try:
        _put_back(folder)
        for leftover in folder.glob(".tmp-*"):  # of a run killed while saving
            shutil.rmtree(leftover)
        temporary.mkdir()
        _write(temporary, checkpoint)
        if final.exists():  # a run is stopped in the step after which it has just saved
            os.rename(final, folder / f".old-{final.name}")
        os.rename(temporary, final)
        sync_folder(folder)
        _put_back(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary)
        with contextlib.suppress(OSError):
            _put_back(folder)
        raise cannot_write(final, error, needed) from error
    _check(final)
    keep = {*steps_in(folder)[-KEEP:], best_step}
    for step in steps_in(folder):
        if step not in keep:
            shutil.rmtree(folder / f"ckpt-{step:08d}", ignore_errors=True)
    return final


def load_checkpoint(folder: Path, step: int) -> Checkpoint:
    """Reads and verifies the checkpoint of `step`.

    Raises:
        EnvironmentFault: It is damaged, with what is wrong with it.
        OtherFormat: It is whole, but in a format of another version.
    """
    path = folder / f"ckpt-{step:08d}"
    _check(path)
    try:
        state = json.loads((path / "state.json").read_text())
        if state["format"] != FORMAT:
            raise OtherFormat(
                f"{path} has checkpoint format {state['format']}; this tfvision reads {FORMAT}. "
                "Use the version that wrote it (see env.json in the run)."
            )
        values = _read_npz(path / "variables.npz", len(state["variables"]))
        variables = dict(zip(state["variables"], values, strict=True))
        return Checkpoint(step, variables, state["loop"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error!r}") from error


def newest_checkpoint(folder: Path, *, tidy: bool = True) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and a line for each that is not.

    Args:
        folder: The run's `checkpoints/`.
        tidy: Move damaged ones aside, as who goes on with the run must; False only reads.

    Raises:
        EnvironmentFault: There are checkpoints, but none is whole: a run is never
            started over in silence.
        OtherFormat: The newest is whole, but in a format of another version.
    """
    if tidy:
        with contextlib.suppress(OSError):  # reading works on a disk that is read-only, too
            _put_back(folder)
    notes = []
    for step in reversed(steps_in(folder)):
        try:
            return load_checkpoint(folder, step), notes
        except OtherFormat:
            raise
        except EnvironmentFault as error:
            aside = folder / f"damaged-{step:08d}"
            moved = "left where it is"
            if tidy:
                with contextlib.suppress(OSError):
                    shutil.rmtree(aside, ignore_errors=True)
                    os.rename(folder / f"ckpt-{step:08d}", aside)
                    moved = f"moved to {aside.name}"
            notes.append(f"checkpoint of step {step} is damaged, {moved}: {error}")
    damaged = sorted(path.name for path in folder.glob("damaged-*"))  # by earlier attempts, too
    if notes or damaged:
        raise EnvironmentFault(
            f"No checkpoint in {folder} is whole:\n  "
            + "\n  ".join(notes or damaged)
            + "\nThe run cannot go on. Start it again in another folder: "
            "--config <run>/config.yaml."
        )
    return None, notes


def best_weights(folder: Path, newest: Checkpoint) -> tuple[list[np.ndarray], str | None]:
    """The values of all model variables at the best epoch, averaged where the run averages.

    Args:
        folder: The run's `checkpoints/`.
        newest: Its newest checkpoint, which knows the best.

    Returns:
        The values in the model's order, and what went wrong: a damaged best checkpoint
        leaves the newest one's weights.
    """
    best, problem = newest, None
    step = newest.state["best_step"]
    if step not in (None, newest.step):
        try:
            best = load_checkpoint(folder, step)
        except EnvironmentFault as error:
            problem = f"The best checkpoint is damaged; the last weights are used instead: {error}"
    averages = [v for name, v in best.variables.items() if name.startswith("average/")]
    weights = [v for name, v in best.variables.items() if name.startswith("model/")]
    if not averages:
        return weights, problem
    floats = iter(averages)  # one for each variable of a floating type, in order
    return [next(floats) if v.dtype.kind == "f" else v for v in weights], problem


def steps_in(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, ascending."""
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def name_variables(prefix: str, variables) -> dict[str, Any]:
    """Keras variables by `prefix/index/path`, in order; a name can be checked on loading."""
    return {f"{prefix}/{i:04d}/{v.path}": v for i, v in enumerate(variables)}


def restore_variables(named: dict[str, Any], saved: dict[str, np.ndarray], where: str) -> None:
    """Assigns saved values to the variables of the same names.

    Raises:
        InputError: Names, shapes or types differ; nothing has been assigned then.
    """
    problems = [f"missing there: {name}" for name in named if name not in saved]
    problems += [f"not in this model: {name}" for name in saved if name not in named]
    for name, variable in named.items():
        if name in saved:
            have = (tuple(saved[name].shape), str(saved[name].dtype))
            want = (tuple(variable.shape), str(variable.dtype))
            if have != want:
                problems.append(f"{name}: {have} there, {want} here")
    if problems:
        raise InputError(
            f"{where} belongs to another model or optimizer ({len(problems)} differences):\n  "
            + "\n  ".join(problems[:10])
        )
    for name, variable in named.items():
        variable.assign(saved[name])


def variables_sha256(variables) -> str:
    """One SHA-256 over the bytes of Keras variables, sorted by path."""
    import keras

    digest = hashlib.sha256()
    for variable in sorted(variables, key=lambda v: v.path):
        value = keras.ops.convert_to_numpy(variable)
        digest.update(f"{variable.path} {value.dtype} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    with open(folder / "variables.npz", "wb") as file:
        _write_npz(file, checkpoint.variables.values())
        _sync(file)
    state = {
        "format": FORMAT,
        "step": checkpoint.step,
        "variables": list(checkpoint.variables),
        "loop": checkpoint.state,
    }
    with open(folder / "state.json", "w") as file:
        json.dump(state, file)
        _sync(file)
    manifest = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in FILES
    }
    with open(folder / "MANIFEST.json", "w") as file:
        json.dump(manifest, file)
        _sync(file)
    sync_folder(folder)


def _write_npz(file: BinaryIO, values: Iterable[np.ndarray]) -> None:
    """Writes what `np.savez` writes, but closes the archive also when a write fails (NumPy
    2.0 leaves that to the garbage collector, which then complains), and never pickles."""
    with zipfile.ZipFile(file, "w") as archive:
        for i, value in enumerate(values):
            with archive.open(f"v{i:05d}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)


def _read_npz(path: Path, count: int) -> list[np.ndarray]:
    """The first `count` arrays of `_write_npz`.

    A manifest vouches for what it was made of, not for who made it. So nothing is read that
    was not written here: no compressed member, which could unfold to any size, no shape that
    its bytes do not fill, no objects. What is read is never larger than the file.

    Raises:
        ValueError: There is such a thing in the file.
    """
    size, values = path.stat().st_size, []
    with zipfile.ZipFile(path) as archive:
        members = [archive.getinfo(f"v{i:05d}.npy") for i in range(count)]
        if sum(member.file_size for member in members) > size:
            raise ValueError(f"{path.name} declares more than its {size:,} bytes")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{path.name}: {member.filename} is compressed")
            with archive.open(member) as file:
                _check_header(file, member)
            with archive.open(member) as file:
                values.append(np.lib.format.read_array(file, allow_pickle=False))
    return values


def _check_header(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"{member.filename} has npy format {version}")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects, which are not read")
    if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f"{member.filename} does not fill its shape {shape} of {dtype}")


def _put_back(folder: Path) -> None:
    """Ends a replacement: the old checkpoint returns if the new one did not come to stand."""
    for old in folder.glob(".old-ckpt-*"):
        final = folder / old.name.removeprefix(".old-")
        if final.exists():
            shutil.rmtree(old)
        else:
            os.rename(old, final)


def _check(path: Path) -> None:
    try:
        manifest = json.loads((path / "MANIFEST.json").read_text())
        for name in FILES:
            file, want = path / name, manifest[name]
            if file.stat().st_size != want["bytes"]:
                raise EnvironmentFault(
                    f"{file} has {file.stat().st_size} bytes, its manifest says {want['bytes']}"
                )
            if sha256_of(file) != want["sha256"]:
                raise EnvironmentFault(f"{file} does not have the SHA-256 of its manifest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error!r}") from error


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())
