"""Commands that fit something out of fold: one pair a command, as in `run_commands`."""

import argparse
from pathlib import Path

from tfvision.cli.shared import (
    add_common,
    add_moved_data,
    add_output,
    existing,
    import_tensorflow,
    moved,
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the commands."""
    pseudo = commands.add_parser("pseudo", help="pseudo-labels by the runs of folds, if they help")
    _add_pseudo(pseudo)
    postprocess = commands.add_parser(
        "postprocess", help="fit post-processing out of fold, if it helps"
    )
    _add_postprocess(postprocess)
    add_output(postprocess)
    aggregate = commands.add_parser(
        "aggregate", help="choose the rule that joins an image's pieces"
    )
    _add_aggregate(aggregate)
    calibrate = commands.add_parser("calibrate", help="temperature scaling of probabilities")
    _add_calibrate(calibrate)
    for parser in (aggregate, calibrate, pseudo):
        add_common(parser)


def _add_pseudo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folds", metavar="FOLDS", type=Path, help="a folder of folds (train_cls.py --folds)"
    )
    parser.add_argument(
        "--unlabelled",
        metavar="PATH",
        type=Path,
        help="images without labels: a folder or data set (default: those of the folds' own data)",
    )
    parser.add_argument(
        "--confidence",
        metavar="P",
        type=float,
        default=0.95,
        help="threshold of the probability of a pseudo-label (default: 0.95)",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="default: FOLDS/pseudo; a started one continues",
    )
    add_moved_data(parser)
    parser.set_defaults(run=_pseudo)


def _pseudo(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.errors import InputError
    from tfvision.studies.fitted.pseudo import pseudo
    from tfvision.studies.folds.folder import read_folds

    parse_device(arguments.device)
    path = arguments.unlabelled
    if path is not None and not path.exists():
        raise InputError(f"--unlabelled {path}: there is no such file or folder.")
    if arguments.data is not None:
        read_folds(arguments.folds)  # complete
        moved(arguments.folds, arguments.data)
    return pseudo(
        arguments.folds,
        unlabelled=path,
        confidence=arguments.confidence,
        out=arguments.out,
        device=arguments.device,
        quiet=arguments.quiet,
    )


def _add_postprocess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folds", metavar="FOLDS", type=Path, help="a folder of folds (train_seg.py --folds)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="YAML of the rules that hold, and a JSON beside it (default: FOLDS/postprocess.yaml)",
    )
    parser.add_argument(
        "--candidates",
        metavar="A,B",
        help="to try: drop_class, class_prior_offsets, class_thresholds, smallest_component, "
        "fill_holes (default: all)",
    )
    add_moved_data(parser)
    parser.add_argument("--quiet", action="store_true", help="print less")
    parser.set_defaults(run=_postprocess)


def _postprocess(arguments):
    moved(arguments.folds, arguments.data)
    given = arguments.candidates
    names = None if given is None else [name.strip() for name in given.split(",")]
    import_tensorflow()
    from tfvision.studies.fitted.postprocess import postprocess

    return postprocess(arguments.folds, out=arguments.out, candidates=names, quiet=arguments.quiet)


def _add_aggregate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folds", metavar="FOLDS", type=Path, help="a folder of folds (train_cls.py --folds)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="YAML of what holds, and a JSON beside it (default: FOLDS/aggregate.yaml)",
    )
    add_moved_data(parser)
    parser.set_defaults(run=_aggregate)


def _aggregate(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.studies.folds.folder import read_folds

    parse_device(arguments.device)
    read_folds(arguments.folds)  # complete
    moved(arguments.folds, arguments.data)
    import_tensorflow()
    from tfvision.studies.fitted.aggregate import aggregate

    return aggregate(
        arguments.folds, out=arguments.out, device=arguments.device, quiet=arguments.quiet
    )


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDS|RUN",
        type=Path,
        help="a folder of folds, or a run with val (train_cls.py); temperature.json goes into it",
    )
    add_moved_data(parser)
    parser.set_defaults(run=_calibrate)


def _calibrate(arguments):
    from tfvision.engine.distribute import parse_device
    from tfvision.engine.run_folder import RunFolder
    from tfvision.studies.folds.folder import is_folds, read_folds

    parse_device(arguments.device)
    data = existing(arguments.data, "--data")
    if is_folds(arguments.folder):
        read_folds(arguments.folder)  # complete
        moved(arguments.folder, data)
        data = None
    else:
        RunFolder.existing(arguments.folder)
    import_tensorflow()
    from tfvision.studies.fitted.temperature import calibrate

    return calibrate(arguments.folder, data=data, device=arguments.device, quiet=arguments.quiet)
