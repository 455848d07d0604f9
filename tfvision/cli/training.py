"""The training scripts: their flags, and the request that these make.

Nothing heavy is imported before the flags and the config are known to be right, so that
`--help` and a typo answer at once.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tfvision.cli.shared import (
    add_common,
    add_overrides,
    existing,
    guarded,
    import_tensorflow,
    parsed,
)
from tfvision.tasks.facts import facts_of

# When a run is resumed; of its data only where it lies, which the fingerprint proves.
MAY_CHANGE = ("train.epochs: ", "train.sentinel: ", "data.source.path: ")


def train(task: str, argv: Sequence[str] | None = None) -> int:
    """Runs a training script. Returns the exit code."""
    arguments = parsed(lambda: _train_parser(task), argv)
    command = shlex.join([Path(sys.argv[0]).name, *(sys.argv[1:] if argv is None else argv)])
    return guarded(lambda: _train(task, arguments, command), arguments)


def _train_parser(task: str) -> argparse.ArgumentParser:
    facts = facts_of(task)
    folder, default = facts.folder, facts.arch
    parser = argparse.ArgumentParser(
        description=f"Trains a {task} model. Without --data it trains on embedded data.",
        epilog="Exit codes: 0 success, 2 wrong input, 3 environment, 4 internal, 130/143 signals.",
    )
    parser.add_argument(
        "--arch", metavar="NAME", help=f"a config of configs/{folder}/ (default: {default})"
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="any config file, a run's too")
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        help="folder, npz or CSV; its layout is recognised; with --resume: where the run's data "
        "lies now",
    )
    parser.add_argument(
        "--on-bad-sample",
        choices=["fail", "quarantine"],
        help="quarantine: leave out samples that cannot be used, and list them in quarantine.csv",
    )
    add_overrides(
        parser, "key.path=VALUE", "override a key of the config; repeatable; the value is YAML"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, help=f"run folder (default: runs/{folder}/<arch>)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    parser.add_argument(
        "--resume", metavar="RUN", type=Path, help="go on exactly where a run stopped"
    )
    parser.add_argument(
        "--folds", metavar="K", type=int, help="train K runs, each validated on another fold"
    )
    parser.add_argument("--fold", metavar="I", type=int, help="only this one of them, from 0 on")
    parser.add_argument(
        "--dry-run", action="store_true", help="check, build, take one step, estimate; no run"
    )
    parser.add_argument(
        "--lr-range",
        action="store_true",
        help="learning-rate range test: 100 steps at rising rates, a rate to start from; no run, "
        "but with --out its curve",
    )
    add_common(parser)
    return parser


def _train(task: str, arguments: argparse.Namespace, command: str):
    from tfvision.engine.distribute import parse_device

    parse_device(arguments.device)
    of_folds = arguments.resume and (arguments.resume / "folds.yaml").is_file()
    if of_folds or (arguments.folds is not None and arguments.fold is None):
        return _train_folds(task, arguments)
    request = _resume_request if arguments.resume else _new_request
    request = request(task, arguments, command)
    if not (arguments.quiet or request.dry_run):
        print(f"run folder: {request.run.path}", file=sys.stderr)
    import_tensorflow()
    if arguments.lr_range:
        from tfvision.runs import lr_range

        return lr_range.lr_range_test(request, out=arguments.out)
    from tfvision.runs.train import train as train_run

    try:
        return train_run(request)
    finally:
        request.run.unlock()


def _train_folds(task, arguments):
    """All folds, each in a process of its own; TensorFlow only once they are trained."""
    from tfvision.config import check_names
    from tfvision.errors import InputError
    from tfvision.runs.request import FoldsRequest
    from tfvision.studies.folds import train as folds
    from tfvision.studies.folds.folder import check_place, load_folds_config, move_data

    flags = {"device": arguments.device, "quiet": arguments.quiet}
    if arguments.lr_range:
        raise InputError("--lr-range looks at one training: name its fold, --fold 0.")
    if arguments.resume:
        _check_alone(arguments, ("overrides",))
        place, config = (
            existing(arguments.data, "--data"),
            load_folds_config(arguments.resume, task),
        )
        if place is not None:
            move_data(arguments.resume, place)
            config = load_folds_config(arguments.resume, task)
        check_place(arguments.resume, config.data)
        check_names(config, facts_of(task).all_tables())
        request = FoldsRequest(config, arguments.resume, config.model.name, resume=True, **flags)
    else:
        config, arch = _load(task, arguments)
        folder = arguments.out or folds.default_folder(
            Path("runs") / facts_of(task).folder, arch, config
        )
        flags.update(dry_run=arguments.dry_run, overwrite=arguments.overwrite)
        request = FoldsRequest(config, folder, arch, **flags)
    if not (request.quiet or request.dry_run):
        print(f"folds folder: {request.folder}", file=sys.stderr)
    try:
        assigned = folds.train_folds(request)
        if request.dry_run:
            return assigned.summary(request.arch)
        import_tensorflow()
        from tfvision.studies.folds import out_of_fold

        return out_of_fold.gather(request, assigned)
    finally:
        for folder in request.lock:
            folder.unlock()


def _load(task, arguments):
    """The config that the flags ask for, and the name of its architecture."""
    from tfvision.config import check_names, load_config
    from tfvision.errors import InputError

    if arguments.arch and arguments.config:
        raise InputError("Give --arch or --config, not both.")
    facts = facts_of(task)
    default = facts.arch
    path = arguments.config or config_of(arguments.arch or default, facts.folder)
    overrides = list(arguments.overrides)
    if arguments.data is not None:
        if not os.path.exists(arguments.data):
            raise InputError(f"--data {arguments.data}: there is no such file or folder.")
        source = {"name": "auto", "path": str(arguments.data.resolve())}
        overrides.insert(0, f"data.source={json.dumps(source, ensure_ascii=False)}")
    if arguments.on_bad_sample is not None:
        overrides.insert(0, f"data.on_bad_sample={arguments.on_bad_sample}")
    if arguments.folds is not None:  # all of them begin with the first
        overrides[:0] = [f"data.folds={arguments.folds}", "data.fold=0"]
    if arguments.fold is not None:
        overrides.append(f"data.fold={arguments.fold}")
    config = load_config(facts_of(task).schema(), path, overrides)
    check_names(config, facts_of(task).all_tables())
    return config, config.model.name if arguments.config else arguments.arch or default


def _new_request(task, arguments, command):
    from tfvision.engine.run_folder import RunFolder, free_folder
    from tfvision.errors import InputError
    from tfvision.runs.request import TrainRequest

    config, arch = _load(task, arguments)
    if arguments.lr_range and arguments.dry_run:
        raise InputError("Give --dry-run or --lr-range, not both.")
    dry_run = arguments.dry_run or arguments.lr_range
    parent = Path("runs") / facts_of(task).folder
    if arguments.fold is not None and not dry_run:
        from tfvision.studies.folds import train as folds

        run = folds.open_fold(arguments.out, config, arch, parent, overwrite=arguments.overwrite)
    else:
        run = RunFolder(arguments.out or free_folder(parent, arch))
    if not dry_run:
        run.check_free(overwrite=arguments.overwrite)
    return TrainRequest(
        config=config,
        run=run,
        arch=arch,
        command=command,
        device=arguments.device,
        dry_run=dry_run,
        overwrite=arguments.overwrite,
        quiet=arguments.quiet,
    )


def _resume_request(task, arguments, command):
    from tfvision.config import check_names, differences, load_config
    from tfvision.engine.run_folder import RunFolder
    from tfvision.errors import InputError
    from tfvision.runs.request import TrainRequest

    _check_alone(arguments)
    run = RunFolder.existing(arguments.resume)
    if run.is_ensemble:
        raise InputError(f"{run.path} is an ensemble: there is nothing to train. Make a new one.")
    if run.is_two_stage:
        raise InputError(
            f"{run.path} is of two stages: go on with python -m tfvision two-stage FILE --out "
            f"{run.path}."
        )
    before = load_config(facts_of(task).schema(), run.config)
    config = load_config(facts_of(task).schema(), run.config, arguments.overrides)
    if (place := existing(arguments.data, "--data")) is not None:
        from tfvision.recipe.recorded import at

        config = config.model_copy(update={"data": at(config.data, place)})
    check_names(config, facts_of(task).all_tables())
    changed = differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
    longer = any(line.startswith("train.epochs: ") for line in changed)
    refused = [line for line in changed if not line.startswith(MAY_CHANGE)]
    if refused:
        raise InputError(
            "--resume goes on with the run's own config; only train.epochs and train.sentinel may "
            "change. Refused:\n  " + "\n  ".join(refused)
        )
    return TrainRequest(
        config=config,
        run=run,
        arch=run.path.name,
        command=command,
        resume=True,
        extend=longer,
        device=arguments.device,
        quiet=arguments.quiet,
    )


def _check_alone(arguments, more: Sequence[str] = ()) -> None:
    from tfvision.errors import InputError

    alone = ("arch", "config", "on_bad_sample", "out", "overwrite", "dry_run", "lr_range")
    for flag in (*alone, "folds", "fold", *more):
        value = getattr(arguments, flag)
        if not (value is None or value is False or value == []):  # --fold 0 was given
            word = "set" if flag == "overrides" else flag.replace("_", "-")
            raise InputError(f"--resume takes everything from the run; leave out --{word}.")


def config_of(arch: str, folder: str) -> Path:
    """The config of an architecture; an `InputError` names the nearest where there is none."""
    from tfvision.errors import InputError
    from tfvision.registry import unknown

    configs = Path(__file__).parents[2] / "configs" / folder
    path = configs / f"{arch}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in configs.glob("*.yaml"))
        raise InputError(unknown("architecture", arch, names))
    return path
