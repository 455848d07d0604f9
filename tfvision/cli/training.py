"""The command line: flags, exit codes, and errors as one sentence.

Nothing heavy is imported before the flags and the config are known to be right, so that
`--help` and a typo answer at once.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tfvision.tasks.facts import facts_of

MAY_CHANGE = ("train.epochs: ", "train.sentinel: ")  # when a run is resumed
OUT_OF_MEMORY = (
    "out of memory; lower data.batch_size or raise train.accumulate, or make data.image_size or "
    "model.width smaller; to predict large images, cut them with --tile 512. Checkpoints written "
    "so far are whole: where other programs took the memory, go on with --resume."
)


def train(task: str, argv: Sequence[str] | None = None) -> int:
    """Runs a training script. Returns the exit code."""
    parser = _train_parser(task)
    arguments = parser.parse_args(argv)
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
        "--data", metavar="PATH", type=Path, help="folder, npz or CSV; its layout is recognised"
    )
    parser.add_argument(
        "--on-bad-sample",
        choices=["fail", "quarantine"],
        help="quarantine: leave out samples that cannot be used, and list them in quarantine.csv",
    )
    parser.add_argument(
        "--set",
        metavar="key.path=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="override a key of the config; repeatable; the value is YAML",
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

    flags = {"device": arguments.device, "quiet": arguments.quiet}
    if arguments.lr_range:
        raise InputError("--lr-range looks at one training: name its fold, --fold 0.")
    if arguments.resume:
        _check_alone(arguments, ("overrides",))
        from tfvision.studies.folds import folder as folds

        config = folds.load_folds_config(arguments.resume, task)
        check_names(config, facts_of(task).all_tables())
        request = FoldsRequest(config, arguments.resume, config.model.name, resume=True, **flags)
    else:
        config, arch = _load(task, arguments)
        from tfvision.studies.folds import folder as folds

        folder = arguments.out or folds.default_folder(
            Path("runs") / facts_of(task).folder, arch, config
        )
        flags.update(dry_run=arguments.dry_run, overwrite=arguments.overwrite)
        request = FoldsRequest(config, folder, arch, **flags)
    if not (request.quiet or request.dry_run):
        print(f"folds folder: {request.folder}", file=sys.stderr)
    try:
        dealt = folds.train_folds(request)
        if request.dry_run:
            return dealt.summary(request.arch)
        import_tensorflow()
        from tfvision.studies.folds import out_of_fold

        return out_of_fold.gather(request, dealt)
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
    path = arguments.config or _config_of(arguments.arch or default, facts.folder)
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
        from tfvision.studies.folds import folder as folds

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
    before = load_config(facts_of(task).schema(), run.config)
    config = load_config(facts_of(task).schema(), run.config, arguments.overrides)
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

    alone = ("arch", "config", "data", "on_bad_sample", "out", "overwrite", "dry_run", "lr_range")
    for flag in (*alone, "folds", "fold", *more):
        value = getattr(arguments, flag)
        if not (value is None or value is False or value == []):  # --fold 0 was given
            word = "set" if flag == "overrides" else flag.replace("_", "-")
            raise InputError(f"--resume takes everything from the run; leave out --{word}.")


def _config_of(arch: str, folder: str) -> Path:
    from tfvision.errors import InputError
    from tfvision.registry import unknown

    configs = Path(__file__).parents[2] / "configs" / folder
    path = configs / f"{arch}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in configs.glob("*.yaml"))
        raise InputError(unknown("architecture", arch, names))
    return path


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
