"""`pseudo`: pseudo-labels for a classification, and whether training on them really helps.

A folder of it, by default `pseudo` in the folds folder, holds

    plan.json         what was asked, of which weights and images
    predicted.npz     what the run of each fold says of the images without labels
    fold-<i>.csv      those that it is sure of, which fold i is trained on as well
    fold-<i>          an ordinary run: fold i again, with these
    pseudo.csv        where they earn it: what all folds' runs together are sure of
    pseudo.json       the verdict with all figures; written last
    log.txt

No TensorFlow here; predictions and trainings have processes of their own.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_json
from tfvision.engine.progress import Progress
from tfvision.errors import InputError
from tfvision.runs.process import CHILD, ProcessFailed, run_process, train_in_process
from tfvision.studies.fitted.pseudo_request import Asked, open_pseudo, read_asked
from tfvision.studies.fitted.pseudo_verdict import Chosen, judge, per_class, text_of
from tfvision.studies.folds.folder import CONFIG, check_split
from tfvision.tasks.classification.pseudo_images import Kin, kin_of
from tfvision.tasks.classification.pseudo_labels import PseudoLabel, confident, listed, write_pseudo


def pseudo(
    folder: Path,
    *,
    unlabelled: Path | None = None,
    confidence: float = 0.95,
    out: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Labels images by the runs of folds, and says whether training on them as well helps.

    The run of each fold, which never saw the fold, labels the images that it is sure of
    (Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep
    Neural Networks", 2013, with a threshold in place of a weight that grows). That fold is
    trained again with these among its training samples, and is scored as before, on samples
    that took no part in either. Only where the 95 % interval of the gain, paired over units,
    lies above 0 are pseudo-labels for a final training written.

    Args:
        folder: What `train_cls.py --folds` made, complete.
        unlabelled: A data set with images that have no label; None: those of the folds' own.
        confidence: The least probability of a label, above 1 / K and at most 1.
        out: A folder: new, empty, or of this very question, which is then gone on with. None:
            `pseudo` in the folds folder.
        device: Value of `--device`.
        quiet: Print nothing.

    Returns:
        What `pseudo.json` holds.

    Raises:
        InputError: Not such a folder, no such images, none that a run is sure of.
        Interrupted: This process was asked to stop; the fold has saved its state.
        ProcessFailed: A training failed.
    """
    asked = read_asked(Path(folder).resolve(), unlabelled, confidence, out)
    run = open_pseudo(asked)
    try:
        say = Progress(quiet=quiet, log=run.log).line
        for name in ("pseudo.json", "pseudo.csv"):  # they may be of an older version
            (asked.out / name).unlink(missing_ok=True)
        found = _predicted(asked, device)
        chosen = _choose(asked, found, say)
        for fold, labels in enumerate(chosen.labels):
            _train(asked, fold, labels, device, quiet=quiet, say=say)
        result = judge(asked, chosen, found)
        if result["verdict"] == "applied":
            write_pseudo(asked.out / "pseudo.csv", asked.images, chosen.final, asked.class_names)
        write_json(asked.out / "pseudo.json", result)
        say(text_of(result))
        return result
    finally:
        run.unlock()


def _predicted(asked: Asked, device: str) -> np.ndarray:
    """(F, N, K) probabilities of the images by the run of each fold, from a process of its own."""
    path = asked.out / "predicted.npz"
    if not path.is_file():
        arguments = [str(asked.folder), str(asked.path or ""), str(path), device]
        code = run_process([*CHILD, "predict-by-folds", *arguments])
        if code:
            raise ProcessFailed(
                f"Predicting the images without labels ended with exit code {code}.", code
            )
    try:
        with np.load(path, allow_pickle=False) as file:
            found, hashes = file["probabilities"], file["image_sha256"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}). Remove it; it is then written again."
        ) from error
    if hashes != asked.images.hashes:
        raise InputError(
            f"{path} is of other images than there are now, or of another order. Remove it; it is "
            "then written again."
        )
    return found


def _choose(asked: Asked, found: np.ndarray, say) -> Chosen:
    """What each fold is trained on besides; written as `fold-<i>.csv`.

    Raises:
        InputError: No run is sure of an image that its fold may be trained on.
    """
    sure = [confident(of_fold, asked.confidence) for of_fold in found]
    final = confident(found.mean(axis=0), asked.confidence)
    places = sorted({one.position for labels in sure for one in labels})
    if not places:
        raise InputError(
            f"Of {len(asked.images.indices)} images without labels none reaches the confidence "
            f"{asked.confidence:g} in any fold; the highest probability is {found.max():.4f}. "
            "Lower --confidence, or train longer."
        )
    prepared, pattern = asked.assigned.prepared, asked.config.data.groups
    kin = dict(zip(places, kin_of(prepared, asked.images, places, pattern), strict=True))
    labels, left_out = [], []
    for fold, (of_fold, splits) in enumerate(zip(sure, asked.assigned.splits, strict=True)):
        kept, why = _allowed(of_fold, kin, splits)
        labels.append(kept)
        left_out.append(why)
        write_pseudo(asked.out / f"fold-{fold}.csv", asked.images, kept, asked.class_names)
        say(
            f"fold {fold}: its run is sure of {len(of_fold)} of {len(found[fold])} images; "
            f"{len(kept)} to train on ({listed(per_class(kept, asked.class_names))})"
            + (f"; left out: {listed(why)}" if why else "")
        )
    if not any(labels):
        total = Counter()
        for why in left_out:
            total.update(why)
        raise InputError(
            f"No fold may be trained on an image that its run is sure of: {listed(total)}. The "
            "images without labels must be others than the samples."
        )
    return Chosen([len(one) for one in sure], labels, left_out, final)


def _allowed(
    labels: Sequence[PseudoLabel], kin: dict[int, Kin], splits: Sequence[str | None]
) -> tuple[list[PseudoLabel], dict[str, int]]:
    """Those that may be trained on under some splits, and how many may not for each reason."""
    why = [kin[one.position].problem(splits) for one in labels]
    kept = [one for one, problem in zip(labels, why, strict=True) if not problem]
    return kept, dict(Counter(filter(None, why)))


def _train(asked: Asked, fold: int, labels, device: str, quiet: bool, say) -> None:
    """Trains a fold again, with its pseudo-labels; leaves it alone where it is finished."""
    path = asked.out / f"fold-{fold}"
    if not labels:
        say(f"fold {fold}: nothing to add, its run stays as it is")
        return
    say(f"fold {fold} of {asked.record['folds']}: {path}")
    given = {
        "data.fold": fold,
        "data.pseudo": f"{path}.csv",
        "data.pseudo_images": asked.path and str(asked.path),
        "train.export": False,
    }
    try:
        train_in_process(
            asked.folder / CONFIG,
            path,
            overrides=[f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in given.items()],
            device=device,
            quiet=quiet,
        )
    except ProcessFailed as error:
        raise ProcessFailed(
            f"Fold {fold} with pseudo-labels: {error} Give the same command again to go on.",
            error.exit_code,
        ) from error
    check_split(asked.out, fold, asked.assigned)
