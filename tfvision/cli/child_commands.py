"""`python -m tfvision _run WHAT ...`: what the toolkit starts in processes of their own.

Not for users, so `--help` does not list it. A process that is started this way has a line in `ps`
that says what it does.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tfvision.cli.shared import guarded, import_tensorflow
from tfvision.cli.training import train


def run(arguments: Sequence[str]) -> int:
    """Runs `train` or `predict-by-folds`. Returns the exit code."""
    what, *rest = arguments
    return {"train": _train, "predict-by-folds": _predict_by_folds}[what](*rest)


def _train(task: str, *flags: str) -> int:
    from tfvision.tasks.facts import facts_of

    sys.argv[0] = facts_of(task).script  # messages and records name what a user would start
    return train(task, flags)


def _predict_by_folds(folder: str, unlabelled: str, out: str, device: str) -> int:
    def predict():
        import_tensorflow()
        from tfvision.studies.fitted.pseudo_predict import predict_by_folds

        path = Path(unlabelled) if unlabelled else None
        predict_by_folds(Path(folder), path, Path(out), device)

    return guarded(predict, Namespace(json=False, debug=False))
