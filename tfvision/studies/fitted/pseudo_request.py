"""What `pseudo` is asked, checked as far as that needs no model. No TensorFlow here."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, differences
from tfvision.engine.files import write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.studies.folds.assign import Assignment, assign_samples
from tfvision.studies.folds.folder import (
    check_place,
    check_split,
    fold_folder,
    load_folds_config,
    read_folds,
)
from tfvision.tasks.classification.pseudo_images import Images, open_images
from tfvision.tasks.facts import facts_of


@dataclass(frozen=True)
class Asked:
    """What is asked, and what it is asked of.

    Attributes:
        folder: The folds folder.
        out: Where everything goes.
        path: Holds the images without labels; None: the folds' own data does.
        confidence: The least probability of a pseudo-label.
        config, record: Of the folds.
        assigned: Their samples.
        images: The images without labels.
    """

    folder: Path
    out: Path
    path: Path | None
    confidence: float
    config: RunConfig
    record: dict[str, Any]
    assigned: Assignment
    images: Images

    @property
    def class_names(self) -> list[str]:
        return list(self.record["class_names"])

    def plan(self) -> dict[str, Any]:
        """What must be the same when it is gone on with."""
        runs = [RunFolder(fold_folder(self.folder, i)) for i in range(self.record["folds"])]
        return {
            "folds": str(self.folder),
            "unlabelled": self.path and str(self.path),
            "confidence": self.confidence,
            "data_fingerprint": self.record["data_fingerprint"],
            "weights": [run.read_json("summary.json")["variables_sha256"] for run in runs],
            "images": len(self.images.indices),
            "images_sha256": hashlib.sha256("".join(self.images.hashes).encode()).hexdigest(),
        }


def read_asked(folder: Path, unlabelled: Path | None, confidence: float, out: Path | None) -> Asked:
    """Everything that can be refused before anything is predicted."""
    record = read_folds(folder)
    config = load_folds_config(folder)
    check_place(folder, config.data)
    if reason := facts_of(config.task).supports("pseudo"):
        raise InputError(f"{folder} holds folds of the task {config.task}; {reason}")
    least = 1 / len(record["class_names"])
    if not least < confidence <= 1:
        raise InputError(
            f"--confidence must be above 1 / {len(record['class_names'])} classes = {least:.3g}, "
            f"which the most probable class always reaches, and at most 1; got {confidence:g}."
        )
    if config.data.pseudo is not None:
        raise InputError(
            f"The runs of {folder} were trained with pseudo-labels already ({config.data.pseudo}). "
            "Train folds without data.pseudo, so that a gain is one over going without."
        )
    score, known = config.metrics[0].name, facts_of(config.task).evidence_class().scores
    if score not in known:
        raise InputError(
            f"The gain is one of {', '.join(known)}; the runs of {folder} declare {score} first."
        )
    if len(set(record["samples"]["units"])) < 2:
        raise InputError(f"{folder} has one unit of samples; a gain needs 2 or more.")
    path = None if unlabelled is None else Path(unlabelled).resolve()
    assigned = assign_samples(config)
    if assigned.prepared.scan.fingerprint != record["data_fingerprint"]:
        raise InputError(
            f"The data set is not the one that {folder} was trained on: the fingerprint is "
            "another. Bring the old data back, or train the folds again."
        )
    for fold in range(record["folds"]):
        check_split(folder, fold, assigned)
    images = open_images(config.data, assigned.prepared, path)
    out = folder / "pseudo" if out is None else Path(out).resolve()
    return Asked(
        folder,
        out,
        path,
        confidence,
        config=config,
        record=record,
        assigned=assigned,
        images=images,
    )


def open_pseudo(asked: Asked) -> RunFolder:
    """The folder, locked; its plan written before anything else."""
    out, plan, path = asked.out, asked.plan(), asked.out / "plan.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Choose a folder.")
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} cannot be read: {error}. Choose another --out.") from error
        changed = differences(before, plan)
        if changed:
            shown = "\n  ".join(changed[:10]) + ("\n  ..." if len(changed) > 10 else "")
            raise InputError(
                f"{out} holds pseudo-labels that were asked for otherwise:\n  {shown}\nThey go on "
                "only as they began. Choose another --out, or remove the folder."
            )
    elif out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
        raise InputError(f"--out {out} is not empty and holds no pseudo-labels. Choose another.")
    else:
        write_json(path, plan)
    run = RunFolder(out)
    run.lock()
    return run
