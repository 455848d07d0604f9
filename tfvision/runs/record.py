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


def record_run(request, config, prepared: Prepared, surroundings, architecture=None) -> None:
    """Writes what the run is before its first step."""
    run = request.run
    if request.resume:
        before = run.read_json("data.json")
        changed = data_differences(before, prepared) + _pseudo_differences(before, prepared)
        if changed:
            raise InputError(
                "The data set is not the one this run was trained on:\n  "
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


def data_differences(before: dict[str, Any], prepared: Prepared) -> list[str]:
    """What differs between `data.json` of a run and a data set as it is now."""
    now = prepared.record()
    if all(before[key] == now[key] for key in ("fingerprint", "splits")):
        return []
    lines = differences(
        {k: before[k] for k in ("class_names", "channels", "image_size", "counts")},
        {k: now[k] for k in ("class_names", "channels", "image_size", "counts")},
    )
    old, new = (_samples_of(record) for record in (before, now))
    both = old.keys() & new.keys()
    for what, ids in (
        ("gone", old.keys() - both),
        ("new", new.keys() - both),
        ("in another split", {i for i in both if old[i].keys() != new[i].keys()}),
        ("changed", {i for i in both if set(old[i].values()) != set(new[i].values())}),
    ):
        if ids:
            shown = ", ".join(sorted(ids)[:10])
            lines.append(f"{len(ids)} samples are {what}: {shown}{' ...' if len(ids) > 10 else ''}")
    return lines or ["the fingerprints differ"]


def _pseudo_differences(before: dict[str, Any], prepared: Prepared) -> list[str]:
    """What differs between the pseudo-labels of a `data.json` and those there are now."""
    old, new = before.get("pseudo") or {}, prepared.pseudo or {}
    if old.get("sha256") == new.get("sha256"):
        return []
    lines = differences(*({"class_counts": p.get("class_counts", {})} for p in (old, new)))
    lines = lines or ["the same numbers, of other images or in other order"]
    return [f"data.pseudo {new.get('file')}: {line}" for line in lines]


def _samples_of(record: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Id -> split -> hash, of a `data.json`; a test row of an npz shares its id with another."""
    found: dict[str, dict[str, str]] = {}
    for split, ids in record["splits"].items():
        for i, content in zip(ids, record["hashes"][split], strict=True):
            found.setdefault(i, {})[split] = content
    return found


def changed_surroundings(request, now) -> list[str]:
    """Why a resumed run will not be bit for bit the uninterrupted one, if so."""
    before = request.run.read_json("env.json")
    keys = ("tensorflow", "keras", "python", "replicas", "strategy", "gpus", "machine")
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in keys if before.get(k) != now.get(k)]
    if not changed:
        return []
    return ["The resumed run is not bit for bit the uninterrupted one: " + ", ".join(changed)]
