"""Commands that use one run: one pair a command.

`_add_<name>(parser)` has the flags, `_<name>(arguments)` imports what is needed and calls it.
`add_to` hangs them into the parser of `tfvision.cli.commands`.
"""

import argparse
from pathlib import Path
from typing import Any

from tfvision.cli.shared import (
    add_common,
    add_moved_data,
    add_overrides,
    existing,
    import_tensorflow,
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the commands."""
    for name, text, add in (
        ("evaluate", "score a run again, or on other data or labels", _add_evaluate),
        ("predict", "write predictions of images", _add_predict),
        ("submit", "write and check a submission file", _add_submit),
        ("export", "write SavedModel, weights and .keras again, checked", _add_export),
    ):
        parser = commands.add_parser(name, help=text)
        parser.add_argument("run_folder", metavar="RUN", type=Path)
        add(parser)
        add_common(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        help="another data set with its truth; or where the run's own data lies now",
    )
    add_overrides(
        parser,
        "data.KEY=VALUE",
        "how another data set is read: data.source.mask_values, data.class_names, ...; how "
        "boxes of --labels are: data.source.coordinates, ...",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="labels that training never saw: npz or folder of masks; classification: CSV; "
        "detection: any file or folder of boxes",
    )
    parser.add_argument("--split", choices=["train", "val", "test"])
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="folder for predictions/ and the counts of each image; without it only scores of "
        "other data or labels are kept",
    )
    _add_depth(parser)
    _add_prediction(parser)
    _add_calibrated(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments):
    request = _use_request(
        arguments,
        data=arguments.data,
        overrides=_of_other_data(arguments),
        labels=arguments.labels,
        split=arguments.split,
        out=arguments.out,
        depth=arguments.depth,
        **_prediction_options(arguments),
    )
    from tfvision.runs.evaluate import evaluate

    return evaluate(request)


def _of_other_data(arguments: argparse.Namespace) -> list[str]:
    """`--set` of evaluate, which says how `--labels`, else `--data`, is read."""
    from tfvision.errors import InputError

    if arguments.overrides and arguments.data is None and arguments.labels is None:
        raise InputError(
            "--set of evaluate says how --data PATH or --labels FILE is read; give one as well."
        )
    return arguments.overrides


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--split", choices=["train", "val", "test", "all"])
    parser.add_argument("--probabilities", action="store_true", help="write these too")
    parser.add_argument(
        "--shards", metavar="N", type=int, help="probabilities N images a file, resumable"
    )
    _add_depth(parser)
    _add_prediction(parser)
    _add_calibrated(parser)
    parser.set_defaults(run=_predict)


def _predict(arguments):
    request = _use_request(
        arguments,
        input=arguments.input,
        data=_own_data(arguments),
        out=arguments.out,
        split=arguments.split,
        probabilities=arguments.probabilities,
        shards=_checked_shards(arguments),
        depth=arguments.depth,
        **_prediction_options(arguments),
    )
    from tfvision.runs.predict import predict

    return predict(request)


def _add_submit(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=["mars", "rle", "labels", "boxes", "coco", "strings"],
        help="mars: a row an image, a column a pixel; rle: run-length codes; labels: an image's "
        "most frequent label; boxes: a row an image, its boxes in one cell; coco: JSON, an entry a "
        "box; strings: what is read from boxes",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    parser.add_argument(
        "--sample", metavar="FILE", type=Path, help="sample submission; header and ids must fit"
    )
    parser.add_argument("--split", choices=["train", "val", "test", "all"])
    parser.add_argument("--columns", metavar="A,B", help="names of the columns")
    parser.add_argument("--id-suffix", metavar="TEXT", help="appended to every id, such as .png")
    parser.add_argument("--rows", choices=["image", "class"], help="of rle: a row for each")
    parser.add_argument("--classes", metavar="1,2", help="labels to code (rle; all but 0)")
    parser.add_argument(
        "--class-as",
        choices=["number", "name"],
        help="in the file (labels of a classification: name, else number)",
    )
    parser.add_argument("--rle-order", choices=["column", "row"], help="of pixels (column)")
    parser.add_argument("--rle-base", choices=[0, 1], type=int, help="of the first pixel (1)")
    parser.add_argument("--rle-empty", metavar="TEXT", help="code of no pixel (nothing)")
    parser.add_argument(
        "--box-fields",
        metavar="TEXT",
        help='what stands of a box: "label score x1 y1 x2 y2" (so), "score x1 y1 w h", ...',
    )
    parser.add_argument("--box-empty", metavar="TEXT", help="what stands for no box (nothing)")
    _add_depth(parser)
    _add_prediction(parser)
    parser.set_defaults(run=_submit)


def _submit(arguments):
    from tfvision.engine.submission.options import FORMATS, make_options

    choices = dict.fromkeys(key for known in FORMATS.values() for key in known)
    given = {key: getattr(arguments, key) for key in choices}
    options = make_options(arguments.format, arguments.out, arguments.sample, given)
    request = _use_request(
        arguments,
        input=arguments.input,
        data=_own_data(arguments),
        split=arguments.split,
        depth=arguments.depth,
        **_prediction_options(arguments),
    )
    from tfvision.runs import submit

    return submit.submit(request, options)


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_moved_data(parser)
    _add_depth(parser)
    parser.set_defaults(run=_export)


def _export(arguments):
    request = _use_request(arguments, data=arguments.data, depth=arguments.depth)
    from tfvision.runs.export import export

    return export(request)


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        nargs="?",
        help="folder, file or data set (default: the run's own test split)",
    )
    add_moved_data(parser)


def _own_data(arguments: argparse.Namespace) -> Path | None:
    """`--data` of a command that reads the run's own data where no INPUT is named."""
    from tfvision.errors import InputError

    if arguments.data is not None and arguments.input is not None:
        raise InputError(
            f"--data says where the run's own data lies, and INPUT ({arguments.input}) is "
            "predicted in its place. Leave one of the two out."
        )
    return arguments.data


def _add_depth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")


def _add_prediction(parser: argparse.ArgumentParser) -> None:
    """The flags of all commands that predict: views, tiles, fitted rules."""
    parser.add_argument(
        "--tta",
        metavar="VIEWS",
        help="average with views of the image: flip_lr,flip_ud,shift(pixels=4),scale(factor=0.75); "
        "+ combines two: flip_lr+flip_ud",
    )
    parser.add_argument(
        "--tile", metavar="SIZE", help="cut larger images into tiles: 512, or HEIGHTxWIDTH"
    )
    parser.add_argument(
        "--overlap", metavar="N", type=int, help="pixels that tiles share (a quarter of a tile)"
    )
    parser.add_argument(
        "--threshold",
        metavar="SCORE",
        type=float,
        help="leave out boxes of a detection with a lower score, 0 to 1",
    )
    parser.add_argument(
        "--postprocess",
        metavar="FILE",
        type=Path,
        help="rules of a YAML file, as the command postprocess writes it, in place of the run's",
    )
    parser.add_argument(
        "--aggregate",
        metavar="FILE",
        type=Path,
        help="rule that joins the pieces of an image, as the command aggregate writes it",
    )


def _add_calibrated(parser: argparse.ArgumentParser) -> None:
    """The flag of commands that give probabilities."""
    parser.add_argument(
        "--calibrated",
        metavar="FILE",
        type=Path,
        help="a temperature for the probabilities, as the command calibrate writes it; labels stay",
    )


def _use_request(arguments, **options):
    from tfvision.engine.distribute import parse_device
    from tfvision.engine.run_folder import RunFolder
    from tfvision.runs.request import UseRequest

    parse_device(arguments.device)
    for key in ("data", "labels", "input"):
        existing(options.get(key))
    run = RunFolder.existing(arguments.run_folder)
    import_tensorflow()
    return UseRequest(run=run, device=arguments.device, quiet=arguments.quiet, **options)


def _prediction_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `UseRequest` takes of these flags, checked as far as that needs no TensorFlow."""
    from tfvision.config import load_any
    from tfvision.engine.run_folder import RunFolder
    from tfvision.errors import InputError
    from tfvision.runs.fitted_files import read_aggregate, read_rules, read_temperature
    from tfvision.runs.request import parse_tile, parse_views

    parse_views(arguments.tta)
    if arguments.postprocess is not None:
        read_rules(
            arguments.postprocess, load_any(RunFolder.existing(arguments.run_folder).config).task
        )
    if arguments.aggregate is not None:
        read_aggregate(arguments.aggregate)
    calibrated = getattr(arguments, "calibrated", None)  # submit writes no probabilities
    if calibrated is not None:
        read_temperature(calibrated)
    if arguments.overlap is not None and arguments.tile is None:
        raise InputError("--overlap says what tiles share; give --tile as well.")
    threshold = arguments.threshold
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold is a score from 0 to 1. Received: {threshold}.")
    return {
        "threshold": threshold,
        "tta": arguments.tta,
        "tile": parse_tile(arguments.tile),
        "overlap": arguments.overlap,
        "postprocess": arguments.postprocess,
        "aggregate": arguments.aggregate,
        "calibrated": calibrated,
    }


def _checked_shards(arguments: argparse.Namespace) -> int | None:
    """The value of `predict --shards`, which goes with `--probabilities`."""
    from tfvision.errors import InputError

    if arguments.shards is not None and arguments.shards < 1:
        raise InputError(f"--shards is how many images a file has, 1 or more: {arguments.shards}.")
    if arguments.shards is not None and not arguments.probabilities:
        raise InputError("--shards is for probabilities; give --probabilities as well.")
    if arguments.shards is not None and arguments.calibrated is not None:
        raise InputError(
            "--shards keeps probabilities as the model gives them, for labels are made of these; "
            "--calibrated changes those of predictions.csv. Leave one of the two out."
        )
    return arguments.shards
