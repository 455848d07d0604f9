"""Commands that look at data or copy it, without a run: one pair a command."""

import argparse
import json
from pathlib import Path

from tfvision.cli.shared import add_output, add_overrides
from tfvision.tasks.facts import task_names, task_with


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the commands."""
    audit = commands.add_parser("audit", help="look at data: duplicates, leaks, doubtful masks")
    _add_audit(audit)
    add_output(audit)
    remove = commands.add_parser(
        "remove-background", help="a copy of labelled images, their objects on one colour"
    )
    _add_remove_background(remove)
    add_output(remove)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", type=Path, help="a folder, npz or CSV")
    parser.add_argument(
        "--task",
        choices=task_names(),
        help="default: recognised by the layout: masks, labels or boxes",
    )
    parser.add_argument(
        "--arch",
        metavar="NAME",
        help="of data with boxes: the config of configs/det/ whose size and anchors are held "
        "against the boxes",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="the same from any config file, a run's too"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="folder for audit.html, audit.json, exclude.csv (default: runs/audit/<name of DATA>)",
    )
    parser.add_argument(
        "--clean",
        metavar="FOLDER",
        type=Path,
        help="write a copy without what --exclude lists, else without suspected samples",
    )
    parser.add_argument(
        "--exclude", metavar="FILE", type=Path, help="an exclude list: what it names is left out"
    )
    parser.add_argument("--splits", metavar="FILE", type=Path, help="CSV of id,split to check")
    add_overrides(
        parser,
        "data.KEY=VALUE",
        "how the data is read, as a training has it: data.class_names, data.source.exif, ...; of "
        "data with boxes model.KEY, too: model.anchor_sizes, ...",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")
    parser.set_defaults(run=_audit)


def _audit(arguments):
    from tfvision.config import apply_override, audit_schema, validate
    from tfvision.curation import audit
    from tfvision.data.sources.recognise import truths_in
    from tfvision.errors import InputError
    from tfvision.tasks.facts import facts_of

    raw = {"data": {"source": {"name": "auto", "path": str(arguments.data)}}}
    for key in ("exclude", "splits"):
        if getattr(arguments, key) is not None:
            raw["data"][key] = str(getattr(arguments, key))
    of_model = [text for text in arguments.overrides if text.strip().startswith("model.")]
    for override in arguments.overrides:
        if not override.strip().startswith(("data.", "model.")):
            raise InputError(f"--set of an audit sets keys of data. Received: {override!r}.")
        if override not in of_model:
            apply_override(raw, override)
    source = raw["data"]["source"]
    declared = source if isinstance(source, dict) else {"name": str(source)}
    task = arguments.task
    if task is None:
        truths = truths_in(arguments.data, source=declared["name"], given=declared)
        task, *others = map(task_with, truths or ("masks",))
        for other, words in zip(others, [*truths.values()][1:], strict=True):
            if not arguments.quiet:
                print(f"{words}, too: --task {other} reads these")
    flags = {"out": arguments.out, "copy": arguments.clean, "quiet": arguments.quiet}
    facts = facts_of(task)
    if facts.audit:
        config = _as_trained(arguments, facts, raw["data"], of_model)
        return audit.audit_data(config.data, model=config.model, **flags)
    if arguments.arch or arguments.config or of_model:
        raise InputError(
            "--arch, --config and --set model.KEY are for an audit that looks at the model, too, "
            f"and that of a {task} does not. Leave them out."
        )
    return audit.audit_data(validate(audit_schema(task), raw, where="--set").data, **flags)


def _as_trained(arguments, facts, data: dict, of_model: list[str]):
    """The config that a training on the data would have."""
    from tfvision.cli.training import config_of
    from tfvision.config import check_names, load_config
    from tfvision.errors import InputError

    if arguments.arch and arguments.config:
        raise InputError("Give --arch or --config, not both.")
    path = arguments.config or config_of(arguments.arch or facts.arch, facts.folder)
    given = [f"data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in data.items()]
    config = load_config(facts.schema(), path, [*given, *of_model])
    check_names(config, facts.all_tables())
    return config


def _add_remove_background(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="of a classification: a CSV of boxes, or with masks"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--method",
        choices=["grabcut", "border"],
        default="grabcut",
        help="how objects are separated where there are no masks; border, for backgrounds of one "
        "colour, needs no boxes (default: grabcut)",
    )
    parser.add_argument(
        "--fill",
        metavar="COLOUR",
        default="0.5",
        help="0 (black) to 1 (white), a name, or #ff8000 (default: 0.5); of grey images its grey",
    )
    parser.add_argument("--crop", action="store_true", help="cut the images to their objects")
    parser.add_argument(
        "--margin",
        metavar="SHARE",
        type=float,
        help="with --crop: left around a box, a share of its sides (default: 0.1)",
    )
    parser.add_argument(
        "--on-failure",
        choices=["keep", "skip"],
        default="keep",
        help="an image whose object is not found, or in doubt: keep it with its background, or "
        "leave it out (default: keep)",
    )
    add_overrides(
        parser,
        "data.source.KEY=VALUE",
        "how the data is read: data.source.exif, data.source.columns, ...",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")
    parser.set_defaults(run=_remove_background)


def _remove_background(arguments):
    from tfvision.config import apply_override, audit_schema, validate
    from tfvision.curation.remove_background import Asked, parse_fill, remove_background
    from tfvision.errors import InputError

    if arguments.margin is not None and not arguments.crop:
        raise InputError("--margin is what --crop leaves around a box; give --crop as well.")
    raw = {"data": {"source": {"name": "auto", "path": str(arguments.data)}}}
    for override in arguments.overrides:
        if not override.strip().startswith("data.source."):
            raise InputError(
                f"--set of remove-background sets keys of data.source. Received: {override!r}."
            )
        apply_override(raw, override)
    asked = Asked(
        method=arguments.method,
        fill=parse_fill(arguments.fill),
        margin=0.1 if arguments.margin is None else arguments.margin,
        crop=arguments.crop,
        on_failure=arguments.on_failure,
    )
    config = validate(audit_schema(task_with("label")), raw, where="--set").data
    return remove_background(config, arguments.out, asked, quiet=arguments.quiet)
