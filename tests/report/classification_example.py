"""A small, complete report of a classification that the tests vary."""

import numpy as np

from tfvision.metrics import Contract, confusion_matrix
from tfvision.metrics.calibration import fit_temperature, with_temperature
from tfvision.report.classification_page import ClassificationReport, Mistake
from tfvision.report.classification_scores import SplitResult, split_result

NAMES = ["stop", "yield", "speed 30"]


def predicted(count: int = 40, *, seed: int = 0, num_classes: int = 3):
    """Labels (N,), probabilities (N, K) of a model that is too sure, counts (N, K, K)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, count)
    logits = 2 * rng.standard_normal((count, num_classes)) + 3 * np.eye(num_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    guess = probabilities.argmax(axis=1)
    counts = confusion_matrix(labels[:, None, None], guess[:, None, None], num_classes)
    return labels, probabilities, counts


def make_result(*, seed: int = 0, names=NAMES, **options) -> SplitResult:
    labels, probabilities, counts = predicted(seed=seed, num_classes=len(names))
    other, theirs, _ = predicted(seed=seed + 9, num_classes=len(names))
    temperature = fit_temperature(theirs, other)
    given = {
        "contract": Contract(),
        "class_names": names,
        "metric": "macro_f1",
        "calibrated": with_temperature(probabilities, temperature),
        "temperature": temperature,
        "fitted_on": "val",
    }
    return split_result(counts, probabilities, labels, **{**given, **options})


def make_mistake(name: str, *, seed: int = 0, **changes) -> Mistake:
    image = np.random.default_rng(seed).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    given = {"id": name, "split": "test", "image": image, "truth": "stop", "prediction": "speed 30"}
    return Mistake(**{**given, "confidence": 0.98, **changes})


def make_report(**changes) -> ClassificationReport:
    """A report of 4 epochs, 3 classes, 2 labelled splits; `changes` replace its parts."""
    history = [
        {
            "epoch": epoch,
            "learning_rate": 1e-3 / epoch,
            "loss": 1.0 / epoch,
            "val_loss": 1.2 / epoch,
            "val_macro_f1": 0.2 + 0.1 * epoch,
            "val_accuracy": 0.3 + 0.1 * epoch,
            "val_piece_accuracy": 0.25 + 0.1 * epoch,
            **{f"val_f1_{k}": 0.1 * epoch + 0.1 * k for k in range(3)},
        }
        for epoch in range(1, 5)
    ]
    parts = {
        "task": "classification",
        "arch": "small_cnn",
        "run": "small_cnn-2",
        "summary": {"num_parameters": 6447496, "epochs": 4, "best_epoch": 3, "wall_seconds": 75.0},
        "config": "seed: 0\nmodel: small_cnn\n",
        "command": "python train_cls.py --config runs/cls/small_cnn-2/config.yaml",
        "env": {"python": "3.11.9", "versions": {"keras": "3.15.1"}},
        "data": {
            "source": "/data/signs",
            "layout": "a folder a class",
            "fingerprint": "9f3c1e",
            "num_classes": 3,
            "class_names": NAMES,
            "image_size": [32, 32, 3],
            "splits": {"train": 120, "val": 40, "test": 40},
            "how": "hold-out, seed 0",
            "excluded": 2,
            "input": "crop, margin 0.1",
            "class_images": {"train": [60, 40, 20], "val": [20, 12, 8], "test": [15, 15, 10]},
            "class_pieces": {"train": [180, 90, 30]},
        },
        "history": history,
        "scores": {"val": make_result(seed=1), "test": make_result(seed=2)},
        "baselines": [
            {"name": "majority class", "explanation": "always stop", "val": 0.17, "test": 0.18}
        ],
        "contract": {"ignore_labels": [], "absent": "skip"},
        "mistakes": [make_mistake("sign_7", seed=1), make_mistake("sign_9", seed=2)],
        "warnings": ["The test split has 40 images."],
        "issues": [
            {
                "severity": "warning",
                "id": "D15",
                "place": "sign_12",
                "problem": "hardly any contrast",
                "advice": "Look at it.",
            }
        ],
        "exports": [
            {
                "file": "export/saved_model",
                "bytes": 3_512_334,
                "loaded_with": "a fresh process",
                "max_difference": 2.4e-7,
                "labels_equal": True,
            }
        ],
        "timing": {"scan": 5.0, "training": 70.0},
    }
    return ClassificationReport(**{**parts, **changes})
