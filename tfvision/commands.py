"""What `python -m tfvision` can do besides training: one function a command."""

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

from tfvision.cli import add_common, add_output, guarded, import_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `python -m tfvision`. Returns the exit code."""
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
        "--labels", metavar="FILE", type=Path, help="npz or folder of masks that training had not"
    )
    evaluate.add_argument("--split", choices=["train", "val", "test"])
    evaluate.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    evaluate.set_defaults(run=_evaluate)

    predict = commands.add_parser("predict", help="write the labels of images")
    predict.add_argument("run_folder", metavar="RUN", type=Path)
    predict.add_argument("input", metavar="INPUT", type=Path, help="folder, file or data set")
    predict.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    predict.add_argument("--split", choices=["train", "val", "test", "all"])
    predict.add_argument("--probabilities", action="store_true", help="write these too")
    predict.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    predict.set_defaults(run=_predict)

    export = commands.add_parser("export", help="SavedModel, weights and .keras, checked")
    export.add_argument("run_folder", metavar="RUN", type=Path)
    export.add_argument("--depth", type=int, help="prune a deeply supervised UNet++ to it")
    export.set_defaults(run=_export)

    models = commands.add_parser("models", help="list the architectures with their cost")
    models.set_defaults(run=_models)
    doctor = commands.add_parser("doctor", help="what is installed, and what is supported")
    doctor.set_defaults(run=_doctor)
    for command in (evaluate, predict, export):
        add_common(command)
    for command in (models, doctor):
        add_output(command)
    return parser


def _evaluate(arguments):
    request = _use_request(
        arguments,
        data=arguments.data,
        labels=arguments.labels,
        split=arguments.split,
        depth=arguments.depth,
    )
    from tfvision.tasks import use

    return use.evaluate(request)


def _predict(arguments):
    request = _use_request(
        arguments,
        input=arguments.input,
        out=arguments.out,
        split=arguments.split,
        probabilities=arguments.probabilities,
        depth=arguments.depth,
    )
    from tfvision.tasks import use

    return use.predict(request)


def _export(arguments):
    request = _use_request(arguments, depth=arguments.depth)
    from tfvision.tasks import use

    return use.export(request)


def _use_request(arguments, **options):
    from tfvision.engine.distribute import parse_device
    from tfvision.engine.run_folder import RunFolder
    from tfvision.errors import InputError
    from tfvision.tasks.request import UseRequest

    parse_device(arguments.device)
    for key in ("data", "labels", "input"):
        if options.get(key) is not None and not options[key].exists():
            raise InputError(f"{options[key]}: there is no such file or folder.")
    run = RunFolder.existing(arguments.run_folder)
    import_tensorflow()
    return UseRequest(run=run, device=arguments.device, quiet=arguments.quiet, **options)


def _models(arguments):
    import_tensorflow()
    from tfvision.tasks import listing

    return listing.models()


def _doctor(arguments):
    from tfvision.errors import EnvironmentFault
    from tfvision.tasks import listing

    with contextlib.suppress(EnvironmentFault):  # the doctor says himself what is missing
        import_tensorflow()

    return listing.doctor()
