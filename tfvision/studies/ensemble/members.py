"""The runs an ensemble is made of: what they are, and whether they go together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, differences, load_any
from tfvision.engine.ensemble_weights import OBJECTIVES, normalise
from tfvision.engine.files import check_free
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.runs.request import EnsembleRequest
from tfvision.studies.folds.folder import fold_folder, is_folds, load_folds_config, read_folds
from tfvision.tasks.facts import task_names

SAME = {
    "class_names": "classes",
    "num_classes": "numbers of classes",
    "channels": "numbers of image channels",
    "mask_values": "meanings of mask values",
    "white": "values that count as white",
}


@dataclass(frozen=True)
class Member:
    """A finished run that is to be a member.

    Attributes:
        path: Where it is.
        config: Its config.
        data: Its `data.json`.
        summary: Its `summary.json`.
        folds: The folds folder it is of, or None.
    """

    path: Path
    config: RunConfig
    data: dict[str, Any]
    summary: dict[str, Any]
    folds: Path | None = None


def read_given(paths: Sequence[Path]) -> list[list[Member]]:
    """The members behind each argument: one of a run, k of a folder of k folds.

    Raises:
        InputError: An argument that is neither, or both kinds, or one run twice, or one in all.
    """
    groups = [_of_folds(p) if is_folds(p) else [_member(p)] for p in map(Path, paths)]
    kinds = {group[0].folds is None for group in groups}
    if len(kinds) > 1:
        raise InputError(
            "An ensemble is of runs or of folds folders, not of both: "
            + ", ".join(f"{p} ({'folds' if is_folds(p) else 'run'})" for p in map(Path, paths))
            + ". Make one of the folds folders, and one of the runs."
        )
    members = [member for group in groups for member in group]
    places = [member.path.resolve() for member in members]
    for place, member in zip(places, members, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{member.path} is given twice. To weigh runs: --member-weights.")
    if len(members) < 2:
        raise InputError(
            f"An ensemble needs at least two runs; {members[0].path} is one. Use it as it is, or "
            "give more runs, or a folds folder."
        )
    check_alike(members)
    return groups


def check_request(request: EnsembleRequest, groups: list[list[Member]]) -> None:
    """Refuses weights that these members cannot have, and a folder that is taken.

    Raises:
        InputError: Either.
    """
    out, given = request.out, request.member_weights
    check_free(out)
    if given is not None and request.weights != "mean":
        raise InputError(
            f"--member-weights are given weights; --weights {request.weights} finds them. Give "
            "one of the two."
        )
    if given is not None and len(given) != len(groups):
        raise InputError(
            f"--member-weights needs one weight an argument: {len(groups)}; got {len(given)}."
        )
    normalise(given or [1.0])
    if request.weights in OBJECTIVES and groups[0][0].folds is None:
        raise InputError(
            f"--weights {request.weights} needs folds folders (train_seg.py --folds 5): weights "
            "are fitted on predictions out of fold. The validation part of a run has chosen its "
            "best epoch already, so weights fitted there would flatter the runs that overfit it "
            "most. Use --weights mean, or --member-weights."
        )
    if request.weights in OBJECTIVES and len(groups) < 2:
        raise InputError(
            f"--weights {request.weights} needs at least two folds folders to weigh against each "
            f"other; {request.members[0]} is one. Its own runs count alike: --weights mean."
        )


def check_alike(members: Sequence[Member]) -> None:
    """Refuses members that mean different things by a label or by a score.

    They may differ in architecture, size, depth, loss, augmentation and training size: each
    predicts at its own size and brings its probabilities back to the image's.

    Raises:
        InputError: Names the first difference.
    """
    first = members[0]
    for other in members[1:]:
        both = f"{first.path} and {other.path}"
        if first.config.task != other.config.task:
            raise InputError(
                f"{both} are of different tasks: {first.config.task} against {other.config.task}."
            )
        shown = [member.config.data.shown() for member in (first, other)]
        if shown[0] != shown[1]:
            raise InputError(
                f"{both} see different pieces of an image: {shown[0]} against {shown[1]}. "
                "All members of an ensemble are shown the same pieces; train them with one "
                "data.input and data.aggregate."
            )
        for key, what in SAME.items():
            if first.data.get(key) != other.data.get(key):
                raise InputError(
                    f"{both} have different {what}: {first.data.get(key)} against "
                    f"{other.data.get(key)}. The members of an ensemble must agree on it."
                )
        changed = differences(_scored(first), _scored(other))
        if changed:
            raise InputError(
                f"{both} are scored or decoded differently:\n  "
                + "\n  ".join(changed)
                + "\nAn ensemble has one metric contract and one set of rules. Train them with "
                "the same, or change the config.yaml of a copy of one and score it again."
            )


def describe(member: Member, weight: float, out: Path, weights_sha256: str) -> dict[str, Any]:
    """The entry of a member in `ensemble.json`; its path as seen from the ensemble, and whole."""
    place = member.path.resolve()
    return {
        "run": os.path.relpath(place, out.resolve()),
        "place": str(place),
        "folds": None if member.folds is None else str(member.folds.resolve()),
        "arch": member.summary["arch"],
        "weight": weight,
        "variables_sha256": member.summary["variables_sha256"],
        "weights_sha256": weights_sha256,
    }


def _of_folds(path: Path) -> list[Member]:
    read_folds(path)  # complete
    folds = load_folds_config(path).data.folds
    return [_member(fold_folder(path, fold), folds=path) for fold in range(folds)]


def _member(path: Path, folds: Path | None = None) -> Member:
    run = RunFolder.existing(path)
    if run.is_ensemble:
        raise InputError(f"{path} is an ensemble itself. Give the runs it is made of.")
    if run.is_two_stage:
        raise InputError(f"{path} is of two stages. Make an ensemble of runs of one stage.")
    if not (path / "summary.json").is_file():
        raise InputError(
            f"{path} is not finished: it has no summary.json. Go on with --resume {path}."
        )
    summary, data = run.read_json("summary.json"), run.read_json("data.json")
    old = [key for key in ("splits", "hashes", "class_names") if key not in data]
    if old or summary.get("task") not in task_names():
        raise InputError(
            f"{path} cannot be a member: it is a {summary.get('task')} run"
            + (f" of an older version (data.json has no {', '.join(old)})." if old else ".")
        )
    return Member(path, load_any(run.config), data, summary, folds=folds)


def _scored(member: Member) -> dict[str, Any]:
    """What of a run decides scores and labels."""
    config = member.config.model_dump(mode="json")
    return {
        "metrics": config["metrics"][:1],
        "contract": member.summary["contract"],
        "postprocess": config["postprocess"],
        "data.ignore_label": config["data"]["ignore_label"],
    }
