"""Commands that train, compare or join many runs: one pair a command, as in `run_commands`."""

import argparse
import shlex
from pathlib import Path

from tfvision.cli.shared import (
    add_common,
    add_moved_data,
    add_output,
    add_overrides,
    existing,
    import_tensorflow,
    moved,
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the commands."""
    compare = commands.add_parser("compare", help="test whether one run beats another")
    _add_compare(compare)
    add_output(compare)
    ladder = commands.add_parser(
        "ladder", help="train a list of configs with several seeds; which steps help"
    )
    _add_ladder(ladder)
    search = commands.add_parser(
        "search", help="find the best of many configs by a race over folds"
    )
    _add_search(search)
    ensemble = commands.add_parser(
        "ensemble", help="combine several runs, or the runs of folds, into one"
    )
    _add_ensemble(ensemble)
    two_stage = commands.add_parser(
        "two-stage", help="train a detector and a classifier of what it finds, and use both as one"
    )
    _add_two_stage(two_stage)
    for parser in (ensemble, ladder, search, two_stage):
        add_common(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="finished runs, the baseline first"
    )
    parser.add_argument(
        "--split",
        choices=["train", "val", "test"],
        help="default: test where all runs have it, else val",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="mean_iou, mean_dice, pixel_accuracy, or a convention of mean IoU such as plain; of "
        "classifications accuracy, macro_f1, ... (default: the metric contract of the runs)",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="for compare.html and compare.json (default: runs/compare/<a>-vs-<b>)",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")
    parser.set_defaults(run=_compare)


def _compare(arguments):
    from tfvision.studies.compare.compare import compare

    return compare(
        arguments.runs,
        split=arguments.split,
        metric=arguments.metric,
        out=arguments.out,
        quiet=arguments.quiet,
    )


def _add_ladder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML of the ladder's rungs")
    parser.add_argument("--data", metavar="PATH", type=Path, help="folder, npz or CSV")
    parser.add_argument("--settings", metavar="NAME", help="a named block of FILE's `settings`")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, help="default: runs/ladder/<name of FILE>"
    )
    parser.add_argument("--seeds", metavar="0,1,2", help="instead of FILE's")
    parser.add_argument("--steps", metavar="N", type=int, help="gradient steps, instead of FILE's")
    parser.add_argument("--epochs", metavar="N", type=int, help="equal epochs, in place of steps")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="score every run on these (see evaluate --labels) in place of the test split",
    )
    parser.add_argument("--rungs", metavar="A,B", help="only these, and those they build on")
    add_overrides(
        parser,
        "key.path=VALUE",
        "override a key of every rung's config; repeatable; the value is YAML. "
        "rung:key.path=VALUE: of that rung, and of those built on it",
    )
    parser.add_argument(
        "--redo", action="store_true", help="train again the rungs whose config changed"
    )
    parser.set_defaults(run=_ladder)


def _ladder(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.studies.study.ladder_file import read_ladder

    parse_device(arguments.device)
    keys = ("settings", "data", "overrides", "steps", "epochs", "seeds", "rungs", "labels")
    given = {key: getattr(arguments, key) for key in keys}
    study = read_ladder(arguments.file, **given)
    out = arguments.out or Path("runs") / "ladder" / study.name
    import_tensorflow()
    import tensorflow as tf

    from tfvision.studies.study.run import run_all

    tf.config.set_visible_devices([], "GPU")  # what trains, in other processes, has them whole

    return run_all(study, out, device=arguments.device, redo=arguments.redo, quiet=arguments.quiet)


def _add_ensemble(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "members",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="finished runs, or folders of folds (train_seg.py --folds)",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    parser.add_argument(
        "--weights",
        choices=["mean", "fitted", "greedy"],
        default="mean",
        help="of folders of folds: fitted (log-loss) or greedy (the score), both out of fold and "
        "used only where they surely gain (default: mean)",
    )
    parser.add_argument("--member-weights", metavar="2,1", help="with mean: one for each RUN")
    add_moved_data(parser)
    parser.set_defaults(run=_ensemble)


def _ensemble(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.errors import InputError
    from tfvision.runs.request import EnsembleRequest
    from tfvision.studies.ensemble.members import check_request, read_given
    from tfvision.studies.folds.folder import is_folds

    parse_device(arguments.device)
    given = arguments.member_weights
    try:
        given = None if given is None else [float(part) for part in given.split(",")]
    except ValueError as error:
        raise InputError(
            f"--member-weights takes numbers between commas, such as 2,1. Received: {given!r}."
        ) from error
    folds = [member for member in arguments.members if is_folds(member)]
    for folder in folds:
        moved(folder, arguments.data)
    request = EnsembleRequest(
        arguments.members,
        arguments.out,
        weights=arguments.weights,
        member_weights=given,
        data=existing(arguments.data, "--data"),
        device=arguments.device,
        quiet=arguments.quiet,
    )
    check_request(request, read_given(arguments.members))
    import_tensorflow()
    from tfvision.studies.ensemble import make as ensemble

    return ensemble.make(request)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML: base and candidates")
    parser.add_argument("--data", metavar="PATH", type=Path, help="folder, npz or CSV")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="default: runs/search/<name of FILE>; a search that is there goes on",
    )
    add_overrides(
        parser,
        "key.path=VALUE",
        "override a key of every candidate's config; repeatable; the value is YAML",
    )
    parser.set_defaults(run=_search)


def _search(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.studies.study.race import run_race
    from tfvision.studies.study.search_file import read_search

    parse_device(arguments.device)
    study = read_search(arguments.file, data=arguments.data, overrides=arguments.overrides)
    out = arguments.out or Path("runs") / "search" / study.name
    return run_race(study, out, device=arguments.device, quiet=arguments.quiet)


def _add_two_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML: detector and classifier")
    parser.add_argument("--data", metavar="PATH", type=Path, help="images with boxes")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="default: runs/two_stage/<name of FILE>; what was stopped there goes on",
    )
    add_overrides(
        parser, "key.path=VALUE", "override a key of FILE, as detector.train.epochs=5; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="check file and data, train nothing")
    parser.set_defaults(run=_two_stage)


def _two_stage(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.studies.two_stage.file import read_file

    parse_device(arguments.device)
    plan = read_file(arguments.file, data=arguments.data, overrides=arguments.overrides)
    import_tensorflow()
    from tfvision.studies.two_stage.make import TwoStageRequest, make_two_stage

    words = ["python", "-m", "tfvision", "two-stage", str(arguments.file)]
    out = arguments.out or Path("runs") / "two_stage" / arguments.file.stem
    for flag, value in (("--data", arguments.data), ("--out", out)):
        words += [] if value is None else [flag, str(value)]
    for override in arguments.overrides:
        words += ["--set", override]
    return make_two_stage(
        TwoStageRequest(
            plan,
            out,
            command=shlex.join(words),
            device=arguments.device,
            dry_run=arguments.dry_run,
            quiet=arguments.quiet,
        )
    )
