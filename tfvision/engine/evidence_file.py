"""The file in which a run keeps what its scores of a split are computed from. NumPy only."""

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.stats.evidence import Evidence
from tfvision.tasks.facts import TaskFacts

SHOWN = 5  # ids in a message


def evidence_path(folder: Path, split: str, kind: type[Evidence]) -> Path:
    """Where a folder has the evidence of a split: `val_confusion.npz`."""
    return folder / f"{split}_{kind.suffix}.npz"


def write_evidence(path: Path, evidence: Evidence, **more: np.ndarray) -> None:
    """Writes the arrays of evidence, and others with one row an image, whole or not at all.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    arrays = evidence.arrays()
    content = io.BytesIO()
    np.savez_compressed(content, ids=arrays.pop("ids"), **more, **arrays)
    write_bytes(path, content.getvalue())


def read_evidence_file(path: Path, kind: type[Evidence], *, remedy: str) -> Evidence:
    """The evidence of one file.

    Args:
        path: The file.
        kind: Of what class it is.
        remedy: What to do where it is missing or damaged, a sentence.

    Raises:
        InputError: It is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return kind.from_arrays(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}). {remedy}") from error


def read_evidence(
    run: RunFolder, split: str, facts: TaskFacts, *, data: Mapping[str, Any] | None = None
) -> Evidence:
    """The evidence that a run keeps of a split: what `predict` writes, after any rules.

    Args:
        run: A run that was scored.
        split: Of it.
        facts: Of its task.
        data: Its `data.json`, where the images and classes are to be held against it.

    Raises:
        InputError: The file is missing, damaged, or not of the run's images.
    """
    kind = facts.evidence_class()
    path = evidence_path(run.predictions, split, kind)
    again = f"`python -m tfvision evaluate {run.path} --split {split}`"
    evidence = read_evidence_file(path, kind, remedy=f"Write it again with {again}.")
    if data is None:
        return evidence
    wanted, classes = data["labelled"][split], len(data["class_names"])
    images, held = evidence.presence().shape
    if images != wanted or held not in (0, classes):
        raise InputError(
            f"{path} must hold {wanted} images of {classes} classes; it holds {images} of {held}. "
            f"Score the run again with {again}."
        )
    known = Counter(data["splits"][split])
    strange = [name for name, times in Counter(evidence.ids).items() if times > known[name]]
    if strange:
        raise InputError(
            f"{path} has images that are not in the run's {split} split: "
            f"{', '.join(strange[:SHOWN])}{' ...' if len(strange) > SHOWN else ''}. Score the run "
            f"again with {again}."
        )
    return evidence
