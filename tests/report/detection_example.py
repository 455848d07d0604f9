"""A small, complete report of a detection that the tests vary, from planted boxes."""

import numpy as np

from tests.support.detections import answer, truth
from tfvision.metrics import Contract
from tfvision.metrics.coco import CocoEvaluation
from tfvision.metrics.detections import DetectionEvidence
from tfvision.report.detection_page import BoxedImage, BoxLayer, DetectionReport
from tfvision.report.detection_scores import SplitDetections, split_detections

NAMES = ["cat", "dog"]
CAT, DOG, NOTHING = (5, 5, 25, 25), (30, 10, 55, 35), (0, 30, 12, 40)


def planted(split: str, images: int = 6):
    """Answers and truths of a cat and a dog an image, all found.

    On "val" right boxes have the score 0.8, and one on nothing 0.3; on "test" the right ones have
    0.4 and the wrong one 0.35 but for the last image, whose dog is called a cat with 0.9.
    """
    right, wrong = {"val": (0.8, 0.3), "test": (0.4, 0.35)}[split]
    answers = [answer((0, right, CAT), (1, right, DOG), (0, wrong, NOTHING)) for _ in range(images)]
    if split == "test":
        answers[-1] = answer((0, 0.9, DOG), (0, right, CAT))
    return answers, [truth((0, CAT), (1, DOG)) for _ in range(images)]


def evidence_of(split: str, images: int = 6) -> DetectionEvidence:
    answers, truths = planted(split, images)
    return DetectionEvidence.of([f"{split}_{i}" for i in range(images)], answers, truths, 2)


def make_split(split: str, threshold: float = 0.8, **options) -> SplitDetections:
    evidence, evaluation = evidence_of(split), CocoEvaluation(*planted(split), 2)
    each = [one.value() for one in evidence.classes("ap", None)]
    metrics = {name: evidence.measure(name, None).value() for name in ("ap", "ap50", "ap75")}
    given = {
        "metrics": {
            **metrics,
            "per_class_ap": each,
            "per_class_ap50": each,
            "per_class_boxes": [6, 6],
            "num_images": 6,
            "num_boxes": 12,
            "ap_large": None,
        },
        "errors": evaluation.errors(),
        "threshold": threshold,
        "contract": Contract(),
    }
    return split_detections(evidence, evaluation, **{**given, **options})


def make_boxed(name: str, **changes) -> BoxedImage:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    layers = [
        BoxLayer("truth", np.array([CAT, DOG]), np.array([0, 1])),
        BoxLayer("prediction", np.array([CAT]), np.array([0]), np.array([0.875])),
    ]
    given = {"id": name, "split": "test", "image": image, "layers": layers, "text": "F1 0.67"}
    return BoxedImage(**{**given, **changes})


def make_report(**changes) -> DetectionReport:
    """A report of 3 epochs, 2 classes, 2 splits; `changes` replace its parts."""
    history = [
        {
            "epoch": epoch,
            "learning_rate": 1e-3 / epoch,
            "loss": 1.0 / epoch,
            "loss_rpn_cross_entropy": 0.4 / epoch,
            "loss_head_smooth_l1": 0.2 / epoch,
            "val_loss": 1.2 / epoch,
            "val_ap": 0.2 * epoch,
            "val_ap50": 0.3 * epoch,
        }
        for epoch in range(1, 4)
    ]
    point = {
        "threshold": 0.8,
        "by_class": [0.8, 0.75],
        "chosen_on": "val",
        "iou": 0.5,
        "splits": {
            "val": {"precision": 1.0, "recall": 1.0, "f1": 1.0},
            "test": {"precision": 0.125, "recall": 0.25, "f1": None},
        },
        "splits_by_class": {},
    }
    parts = {
        "task": "detection",
        "arch": "faster_rcnn",
        "run": "faster_rcnn-2",
        "summary": {"epochs": 3, "best_epoch": 2, "operating_point": point},
        "config": "seed: 0\n",
        "command": "python train_det.py --config runs/det/faster_rcnn-2/config.yaml",
        "env": {"python": "3.11.9"},
        "data": {
            "source": "/data/pets",
            "num_classes": 2,
            "class_names": NAMES,
            "splits": {"train": 12, "val": 6, "test": 6},
            "class_pixels": {"train": [20, 11], "val": [6, 6]},
            "class_images": {"train": [12, 9], "val": [6, 6]},
        },
        "history": history,
        "scores": {"val": make_split("val"), "test": make_split("test")},
        "baselines": [],
        "contract": {"exclude_classes": []},
        "warnings": ["The test split has 6 images."],
        "issues": [],
        "exports": [],
        "timing": {"train": 70.0},
        "galleries": {"worst": [make_boxed("pet_5")], "best": [make_boxed("pet_1")]},
        "stages": [
            make_boxed(
                "pet_3",
                layers=[BoxLayer("anchors", np.array([CAT]), values=np.array([0.8125]))],
                text="1 of 2 boxes have an anchor",
            )
        ],
    }
    return DetectionReport(**{**parts, **changes})
