"""What all commands share: common flags, TensorFlow without its chatter, errors as one sentence."""

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

OUT_OF_MEMORY = (
    "out of memory; lower data.batch_size or raise train.accumulate, or make data.image_size or "
    "model.width smaller; to predict large images, cut them with --tile 512. Checkpoints written "
    "so far are whole: where other programs took the memory, go on with --resume."
)


def parsed(
    make_parser: Callable[[], argparse.ArgumentParser], argv: Sequence[str] | None
) -> argparse.Namespace:
    """The arguments of a command line; where no parser can be made, as where `TFVISION_TASKS` is
    wrong, a sentence and exit code 2, as for a wrong flag."""
    from tfvision.errors import InputError

    try:
        parser = make_parser()
    except InputError as error:
        print(f"tfvision: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    return parser.parse_args(argv)


def add_overrides(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """`--set`, which may be given several times."""
    parser.add_argument(
        "--set", metavar=metavar, action="append", default=[], dest="overrides", help=help
    )


def add_moved_data(parser: argparse.ArgumentParser) -> None:
    """`--data` of a command that reads a run's own data."""
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=Path,
        help="where the run's own data lies now, if it has moved; its fingerprint must be the same",
    )


def moved(folder: Path, data: Path | None) -> None:
    """What `--data` says of folds: their configs take the place where their data lies now.

    Raises:
        InputError: Nothing is there, or other data.
    """
    if (place := existing(data, "--data")) is not None:
        from tfvision.studies.folds.folder import move_data

        move_data(folder, place)


def existing(path: Path | None, flag: str = "") -> Path | None:
    """A path that a flag names, or None.

    Raises:
        InputError: Nothing is there.
    """
    from tfvision.errors import InputError

    if path is not None and not path.exists():
        raise InputError(f"{flag} {path}: there is no such file or folder.".lstrip())
    return path


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="WHERE",
        help="auto (all GPUs, else the CPU), cpu, gpu, gpu:0,1, cpu:2 (logical CPUs)",
    )
    parser.add_argument("--quiet", action="store_true", help="print less")
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="the last line on standard output is the summary"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def import_tensorflow() -> None:
    """Imports TensorFlow without its chatter, which says nothing a user can act on.

    oneDNN is switched on, which TensorFlow itself does only on processors with instructions for
    neural networks (AVX-512 VNNI and the like): with AVX2 alone it is faster as well
    (benchmarks/onednn.py). TF_ENABLE_ONEDNN_OPTS=0 in the environment keeps it off.

    Some of it is written straight to file descriptor 2 before any log level counts. If the
    import fails, what was written is shown.

    Raises:
        EnvironmentFault: TensorFlow or Keras cannot be imported.
    """
    from tfvision.errors import EnvironmentFault

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            import keras  # noqa: F401 (it imports TensorFlow)
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
        except BaseException as error:
            said.seek(0)
            os.write(kept, said.read())
            if not isinstance(error, ImportError):
                raise
            raise EnvironmentFault(
                f"TensorFlow and Keras cannot be imported: {error}. Install what "
                "requirements.txt names; `python -m tfvision doctor` says what is missing."
            ) from error
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def guarded(action: Callable[[], dict | None], arguments: argparse.Namespace) -> int:
    """Runs `action`; turns what it raises into a sentence and an exit code."""
    from tfvision.errors import EnvironmentFault, InputError, PartFailed, out_of_memory

    try:
        summary = action()
        if arguments.json and summary is not None:
            print(json.dumps(summary, ensure_ascii=False), flush=True)
        return 0
    except (InputError, EnvironmentFault, PartFailed) as error:
        return _failed(error, error.exit_code, arguments)
    except KeyboardInterrupt as error:
        return _failed(error, 130, arguments, "interrupted")
    except Exception as error:
        code = getattr(error, "exit_code", 4)  # a signal's, or internal
        if code != 4:
            return _failed(error, code, arguments, f"stopped by {error}; its state is saved")
        if out_of_memory(error):
            return _failed(error, 3, arguments, OUT_OF_MEMORY)
        return _failed(error, 4, arguments, f"internal error: {type(error).__name__}: {error}")


def _failed(error, code: int, arguments, text: str | None = None) -> int:
    if arguments.debug:
        traceback.print_exception(error)
    hint = "  (--debug shows where)" if code == 4 and not arguments.debug else ""
    print(f"tfvision: {text or error}{hint}", file=sys.stderr, flush=True)
    return code
