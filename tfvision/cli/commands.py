"""What `python -m tfvision` can do besides training: one function a command."""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tfvision.cli import child_commands, study_commands
from tfvision.cli.training import add_common, add_output, guarded, import_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `python -m tfvision`. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv[:1]) == ["_run"]:
        return child_commands.run(argv[1:])
    parser = _main_parser()
    arguments = parser.parse_args(argv)
    return guarded(lambda: arguments.run(arguments), arguments)


def _main_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfvision", description="What can be done with runs and data besides training."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    evaluate = commands.add_parser("evaluate", help="score a run, into the run")
    evaluate.add_argument("run_folder", metavar="RUN", type=Path)
    evaluate.add_argument("--data", metavar="PATH", type=Path, help="another data set")
    evaluate.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="npz or folder of masks, or of a classification a CSV, that training had not",
    )
    evaluate.add_argument("--split", choices=["train", "val", "test"])
    evaluate.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="for predictions/ and the counts of each image; without it those of other data or "
        "labels are not kept",
    )
    evaluate.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    evaluate.set_defaults(run=_evaluate)
    study_commands.add_prediction(evaluate)
    study_commands.add_calibrated(evaluate)

    predict = commands.add_parser("predict", help="write the labels of images")
    predict.add_argument("run_folder", metavar="RUN", type=Path)
    _add_input(predict)
    predict.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    predict.add_argument("--split", choices=["train", "val", "test", "all"])
    predict.add_argument("--probabilities", action="store_true", help="write these too")
    predict.add_argument(
        "--shards", metavar="N", type=int, help="probabilities N images a file, resumable"
    )
    predict.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    predict.set_defaults(run=_predict)
    study_commands.add_prediction(predict)
    study_commands.add_calibrated(predict)

    submit = commands.add_parser("submit", help="write a contest's submission file, checked")
    _add_submit(submit)
    submit.set_defaults(run=_submit)
    study_commands.add_prediction(submit)

    export = commands.add_parser("export", help="SavedModel, weights and .keras, checked")
    export.add_argument("run_folder", metavar="RUN", type=Path)
    export.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    export.set_defaults(run=_export)

    compare = commands.add_parser("compare", help="which run is better, or that none can be told")
    _add_compare(compare)
    compare.set_defaults(run=_compare)

    audit = commands.add_parser("audit", help="look at data: duplicates, leaks, doubtful masks")
    _add_audit(audit)
    audit.set_defaults(run=_audit)

    remove = commands.add_parser(
        "remove-background", help="a copy of labelled images, their objects on one colour"
    )
    _add_remove_background(remove)
    remove.set_defaults(run=_remove_background)

    models = commands.add_parser("models", help="list the architectures with their cost")
    models.set_defaults(run=_models)
    doctor = commands.add_parser("doctor", help="what is installed, and what is supported")
    doctor.add_argument("--no-benchmark", action="store_true", help="leave out the speed")
    doctor.set_defaults(run=_doctor)
    for command in (evaluate, predict, submit, export, *study_commands.add_to(commands)):
        add_common(command)
    for command in (compare, audit, remove, models, doctor):
        add_output(command)
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        nargs="?",
        help="folder, file or data set (default: the run's own test split)",
    )


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path)
    _add_input(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=["mars", "rle", "labels"],
        help="mars: a row an image, a column a pixel; rle: run-length codes; labels: an image's "
        "most frequent label",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    parser.add_argument(
        "--sample", metavar="FILE", type=Path, help="the contest's; header and ids must fit"
    )
    parser.add_argument("--split", choices=["train", "val", "test", "all"])
    parser.add_argument("--columns", metavar="A,B", help="names of the columns")
    parser.add_argument("--id-suffix", metavar="TEXT", help="behind every id, such as .png")
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
    parser.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", type=Path, help="a folder, npz or CSV")
    parser.add_argument(
        "--task",
        choices=["segmentation", "classification"],
        help="what the data is for (default: as its layout says: masks, or labels)",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="for audit.html, audit.json and exclude.csv (default: runs/audit/<name of DATA>)",
    )
    parser.add_argument(
        "--clean",
        metavar="FOLDER",
        type=Path,
        help="write a copy of the data without what --exclude lists, else without the suspects",
    )
    parser.add_argument(
        "--exclude", metavar="FILE", type=Path, help="an exclude list: what it names is left out"
    )
    parser.add_argument("--splits", metavar="FILE", type=Path, help="CSV of id,split to check")
    parser.add_argument(
        "--set",
        metavar="data.KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="how the data is read, as a training has it: data.class_names, data.source.exif, ...",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")


def _add_remove_background(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="of a classification: a CSV of boxes, or with masks"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--method",
        choices=["grabcut", "border"],
        default="grabcut",
        help="how objects are found in boxes where there are no masks; border, for grounds of one "
        "colour, does without boxes (default: grabcut)",
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
    parser.add_argument(
        "--set",
        metavar="data.source.KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="how the data is read: data.source.exif, data.source.columns, ...",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")


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


def _compare(arguments):
    from tfvision.studies.compare.compare import compare

    return compare(
        arguments.runs,
        split=arguments.split,
        metric=arguments.metric,
        out=arguments.out,
        quiet=arguments.quiet,
    )


def _audit(arguments):
    from tfvision.config import AuditConfig, ClassAuditConfig, apply_override, validate
    from tfvision.curation import audit
    from tfvision.data.sources.recognise import task_of
    from tfvision.errors import InputError

    raw = {"data": {"source": {"name": "auto", "path": str(arguments.data)}}}
    for key in ("exclude", "splits"):
        if getattr(arguments, key) is not None:
            raw["data"][key] = str(getattr(arguments, key))
    for override in arguments.overrides:
        if not override.strip().startswith("data."):
            raise InputError(f"--set of an audit sets keys of data. Received: {override!r}.")
        apply_override(raw, override)
    labels = (arguments.task or task_of(arguments.data)) == "classification"
    schema = ClassAuditConfig if labels else AuditConfig
    config = validate(schema, raw, where="--set").data
    return audit.audit_data(config, out=arguments.out, copy=arguments.clean, quiet=arguments.quiet)


def _remove_background(arguments):
    from tfvision.config import ClassAuditConfig, apply_override, validate
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
    config = validate(ClassAuditConfig, raw, where="--set").data
    return remove_background(config, arguments.out, asked, quiet=arguments.quiet)


def _evaluate(arguments):
    request = _use_request(
        arguments,
        data=arguments.data,
        labels=arguments.labels,
        split=arguments.split,
        out=arguments.out,
        depth=arguments.depth,
        **study_commands.prediction_options(arguments),
    )
    from tfvision.runs import use

    return use.evaluate(request)


def _predict(arguments):
    request = _use_request(
        arguments,
        input=arguments.input,
        out=arguments.out,
        split=arguments.split,
        probabilities=arguments.probabilities,
        shards=study_commands.checked_shards(arguments),
        depth=arguments.depth,
        **study_commands.prediction_options(arguments),
    )
    from tfvision.runs import use

    return use.predict(request)


def _submit(arguments):
    from tfvision.engine.submission.options import FORMATS, make_options

    choices = dict.fromkeys(key for known in FORMATS.values() for key in known)
    given = {key: getattr(arguments, key) for key in choices}
    options = make_options(arguments.format, arguments.out, arguments.sample, given)
    request = _use_request(
        arguments,
        input=arguments.input,
        split=arguments.split,
        depth=arguments.depth,
        **study_commands.prediction_options(arguments),
    )
    from tfvision.runs import submit

    return submit.submit(request, options)


def _export(arguments):
    request = _use_request(arguments, depth=arguments.depth)
    from tfvision.runs import use

    return use.export(request)


def _use_request(arguments, **options):
    from tfvision.engine.distribute import parse_device
    from tfvision.engine.run_folder import RunFolder
    from tfvision.errors import InputError
    from tfvision.runs.request import UseRequest

    parse_device(arguments.device)
    for key in ("data", "labels", "input"):
        if options.get(key) is not None and not options[key].exists():
            raise InputError(f"{options[key]}: there is no such file or folder.")
    run = RunFolder.existing(arguments.run_folder)
    import_tensorflow()
    return UseRequest(run=run, device=arguments.device, quiet=arguments.quiet, **options)


def _models(arguments):
    import_tensorflow()
    from tfvision.system import models as listing

    return listing.models()


def _doctor(arguments):
    from tfvision.errors import EnvironmentFault
    from tfvision.system import doctor

    with contextlib.suppress(EnvironmentFault):  # the doctor says himself what is missing
        import_tensorflow()
    result = doctor.doctor(benchmark=not arguments.no_benchmark)
    if result["stops"]:
        if arguments.json:
            print(json.dumps(result, ensure_ascii=False))
        raise EnvironmentFault(f"{len(result['stops'])} of these would stop a run.")
    return result
