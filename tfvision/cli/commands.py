"""`python -m tfvision`: the parser of all commands; each stands in the module of its kind."""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence

from tfvision.cli import (
    child_commands,
    data_commands,
    fitted_commands,
    run_commands,
    study_commands,
)
from tfvision.cli.shared import add_output, guarded, import_tensorflow, parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `python -m tfvision`. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv[:1]) == ["_run"]:
        return child_commands.run(argv[1:])
    arguments = parsed(_main_parser, argv)
    return guarded(lambda: arguments.run(arguments), arguments)


def _main_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfvision", description="What can be done with runs and data besides training."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run_commands.add_to(commands)
    data_commands.add_to(commands)
    models = commands.add_parser("models", help="list the architectures with their cost")
    models.set_defaults(run=_models)
    add_output(models)
    doctor = commands.add_parser("doctor", help="what is installed, and what is supported")
    doctor.add_argument("--no-benchmark", action="store_true", help="leave out the speed")
    doctor.set_defaults(run=_doctor)
    add_output(doctor)
    study_commands.add_to(commands)
    fitted_commands.add_to(commands)
    return parser


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
