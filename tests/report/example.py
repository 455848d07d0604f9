"""A small, complete report that the tests vary."""

import numpy as np

from tfvision.report.overlay import Overlay
from tfvision.report.segmentation_page import SegmentationReport, SplitScores

NAMES = ["background", "soil", "bedrock"]

# What every page must be given.
EMPTY = {
    **dict.fromkeys(("task", "arch", "run", "config", "command"), ""),
    **{key: [] for key in ("baselines", "history", "issues", "exports", "warnings")},
    **{key: {} for key in ("summary", "env", "data", "contract", "timing", "scores")},
}


def scores_of(confusion: np.ndarray) -> SplitScores:
    """What tfvision.metrics would say of a confusion matrix, undefined values as None."""
    hits, truth, guess = np.diag(confusion), confusion.sum(1), confusion.sum(0)

    def ratio(above, below):
        return [float(a / b) if b else None for a, b in zip(above, below, strict=True)]

    iou = ratio(hits, truth + guess - hits)
    mean = float(np.mean([value for value in iou if value is not None]))
    scores = {
        "mean_iou": mean,
        "pixel_accuracy": float(hits.sum() / confusion.sum()),
        "per_class_iou": iou,
        "per_class_dice": ratio(2 * hits, truth + guess),
        "precision": ratio(hits, guess),
        "recall": ratio(hits, truth),
    }
    conventions = [
        {
            "name": "all classes",
            "explanation": "Every label counts.",
            "mean_iou": mean,
            "mean_iou_post_processed": None,
        },
        {
            "name": "drop true class 0",
            "explanation": "True class 0 is ignored.",
            "mean_iou": mean * 0.8,
            "mean_iou_post_processed": None,
        },
    ]
    return SplitScores(confusion, scores, None, conventions)


def make_overlay(name: str, *, seed: int = 0, size: tuple[int, int] = (8, 12)) -> Overlay:
    """All three classes, a patch of ignored pixels, some errors."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size)
    prediction = np.where(rng.random(size) < 0.3, (truth + 1) % 3, truth)
    truth[:2, :3] = 255
    image = rng.integers(0, 256, (*size, 1)).astype(np.uint8)
    return Overlay(name, "val", image, truth, prediction, 0.5)


def make_report(**changes) -> SegmentationReport:
    """A report of 4 epochs, 3 classes, 2 labelled splits; `changes` replace its parts."""
    history = [
        {
            "epoch": epoch,
            "step": 3 * epoch,
            "learning_rate": 1e-3 / epoch,
            "loss": 1.0 / epoch,
            "val_loss": 1.2 / epoch,
            "val_mean_iou": 0.2 + 0.1 * epoch,
            "val_pixel_accuracy": 0.5 + 0.05 * epoch,
            **{f"val_iou_{index}": 0.1 * epoch + 0.1 * index for index in range(3)},
            "seconds": 2.0,
            "images_per_second": 80.0,
        }
        for epoch in range(1, 5)
    ]
    parts = {
        "task": "segmentation",
        "arch": "unetpp",
        "run": "runs/seg/unetpp-2",
        "summary": {"num_parameters": 312345, "epochs": 4, "best_epoch": 3, "wall_seconds": 75.0},
        "config": "seed: 0\nmodel: unetpp\n",
        "command": "python train_seg.py --config runs/seg/unetpp-2/config.yaml",
        "env": {"python": "3.11.9", "versions": {"keras": "3.15.1"}},
        "data": {
            "source": "/data/tiles.npz",
            "layout": "npz (N, 2, H, W)",
            "fingerprint": "9f3c1e",
            "num_classes": 3,
            "class_names": NAMES,
            "image_size": [8, 12, 1],
            "splits": {"train": 20, "val": 5, "test": 7},
            "how": "hold-out, seed 0",
            "excluded": 2,
            "class_pixels": {"train": [10, 60, 30], "val": [20, 50, 30]},
            "class_images": {"train": [5, 20, 9], "val": [2, 5, 3]},
        },
        "history": history,
        "scores": {
            "val": scores_of(np.array([[50, 10, 0], [5, 80, 5], [0, 20, 30]])),
            "test": scores_of(np.array([[40, 10, 10], [5, 70, 5], [0, 30, 30]])),
        },
        "baselines": [
            {"name": "majority class", "explanation": "always soil", "val": 0.17, "test": 0.16},
            {"name": "intensity lookup", "explanation": "by grey level", "val": 0.24, "test": 0.2},
        ],
        "contract": {"ignored_labels": [], "absent_classes": "left out"},
        "overlays": {
            "worst": [make_overlay("tile_7", seed=1)],
            "best": [make_overlay("tile_9", seed=2)],
        },
        "warnings": ["bedrock rests on 3 images. See data.json."],
        "issues": [
            {
                "severity": "warning",
                "id": "D15",
                "place": "tile_12",
                "problem": "one class only",
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
        "depths": None,
    }
    return SegmentationReport(**{**parts, **changes})
