"""What is known of detection without TensorFlow."""

from tfvision.tasks.facts import Score, TaskFacts

FACTS = TaskFacts(
    name="detection",
    script="train_det.py",
    folder="det",
    arch="faster_rcnn",
    truth="boxes",
    truth_word="boxes",
    unit="boxes",
    config="tfvision.tasks.detection.schema:DetectionConfig",
    task="tfvision.tasks.detection.task:Detection",
    evidence="tfvision.metrics.detections:DetectionEvidence",
    audit="tfvision.tasks.detection.audit:audit_boxes",
    side_by_side="tfvision.tasks.detection.side_by_side:side_by_side",
    formats=("boxes", "coco", "strings"),
    least_steps=600,  # blood cells: AP 0.25 after 192 steps, 0.70 after 640
    example=((256, 256, 3), 2),
    arrays=("boxes", "scores", "classes"),
    tables={
        "model": "tfvision.models:DETECTORS",
        "loss": "tfvision.losses:DETECTION_LOSSES",
        "metrics": "tfvision.metrics:DETECTION_METRICS",
        "postprocess": "tfvision.postprocess:BOX_RULES",
    },
    scores={
        "ap": Score("AP", of_class="AP"),
        "ap50": Score("AP50", of_class="AP50"),
        "ap75": Score("AP75", of_class="AP75"),
        "ar100": Score("AR, 100 detections", short="AR100", of_class="AR"),
        "precision": Score("precision", of_class="precision"),
        "recall": Score("recall", of_class="recall"),
        "f1": Score("F1", of_class="F1"),
        "string_accuracy": Score("string accuracy", short="strings", of_class="strings with it"),
    },
    columns=("ap", "ap50", "string_accuracy"),
    reasons={
        "calibrate": "A temperature is for the probabilities of a classification; the calibration "
        "of a detection's scores is in its report.",
        "aggregate": "is about the pieces of an image, which classifications have; this is a "
        "detection.",
        "calibrated": "is for the probabilities of a classification; this is a detection.",
        "components": "is about regions of masks; this is a detection.",
        "pseudo": "pseudo-labels are of a classification (train_cls.py --folds).",
    },
)
