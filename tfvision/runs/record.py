"""What a run writes of itself before its first step, and what a resume holds it against."""

from typing import Any

from tfvision.config import RunConfig, differences, dump_config
from tfvision.data.split.holdout import write_splits
from tfvision.engine.files import write_text
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.pretrained import keep_architecture


def identity_of(config: RunConfig, prepared: Prepared) -> dict[str, Any]:
    """What must be the same when a run is resumed."""
    fixed = config.model_dump(mode="json")
    del fixed["train"]["epochs"], fixed["train"]["sentinel"]
    identity = {"config": fixed, "data_fingerprint": prepared.scan.fingerprint}
    if prepared.pseudo is not None:
        identity["pseudo_sha256"] = prepared.pseudo["sha256"]
    return identity


# What of the identity may be another when a run is resumed: where its data lies, what it keeps of
# it, and that names tell of groups by default where an older version knew of none (the split is
# that of the run).
MAY_CHANGE = (
    "config.data.source.path: ",
    "config.data.keep_samples: ",
    "config.data.groups: None -> 'names'",
)


def record_run(request, config, prepared: Prepared, surroundings, architecture=None) -> None:
    """Writes what the run is before its first step."""
    run = request.run
    if request.resume:
        changed = _pseudo_differences(run.read_json("data.json"), prepared)
        if changed:
            raise InputError(
                "The pseudo-labels are not those this run was trained on:\n  "
                + "\n  ".join(changed)
                + "\nStart a new run instead: --config "
                + str(run.config)
            )
    run.write_json("env.json", surroundings)
    keep_architecture(run, architecture)
    run.write_json("data.json", prepared.record())
    write_splits(run.path / "splits.csv", prepared.source.records, prepared.splits)
    prepared.write_quarantine(run.path / "quarantine.csv")
    write_text(run.config, dump_config(config))  # last: with it the folder is a run


def _pseudo_differences(before: dict[str, Any], prepared: Prepared) -> list[str]:
    """What differs between the pseudo-labels of a `data.json` and those there are now."""
    old, new = before.get("pseudo") or {}, prepared.pseudo or {}
    if old.get("sha256") == new.get("sha256"):
        return []
    lines = differences(*({"class_counts": p.get("class_counts", {})} for p in (old, new)))
    lines = lines or ["the same numbers, of other images or in other order"]
    return [f"data.pseudo {new.get('file')}: {line}" for line in lines]


def changed_surroundings(request, now) -> list[str]:
    """Why a resumed run will not be bit for bit the uninterrupted one, if so."""
    before = request.run.read_json("env.json")
    keys = ("tensorflow", "keras", "python", "replicas", "strategy", "gpus", "machine")
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in keys if before.get(k) != now.get(k)]
    if not changed:
        return []
    return ["The resumed run is not bit for bit the uninterrupted one: " + ", ".join(changed)]
