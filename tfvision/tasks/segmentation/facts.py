"""What is known of segmentation without TensorFlow."""

from tfvision.tasks.facts import Score, TaskFacts

FACTS = TaskFacts(
    name="segmentation",
    script="train_seg.py",
    folder="seg",
    arch="unetpp",
    truth="masks",
    truth_word="masks",
    unit="pixels",
    config="tfvision.tasks.segmentation.schema:SegmentationConfig",
    task="tfvision.tasks.segmentation.task:Segmentation",
    evidence="tfvision.metrics.evidence:ConfusionEvidence",
    formats=("rle", "mars", "labels"),
    example=((64, 128, 1), 5),
    tables={"model": "tfvision.models:MODELS"},
    scores={
        "mean_iou": Score("mean IoU", of_class="IoU"),
        "mean_dice": Score("mean Dice", of_class="IoU"),
        "pixel_accuracy": Score("pixel accuracy", short="pixels", of_class="IoU"),
    },
    columns=("mean_iou", "pixel_accuracy"),
    reasons={
        "calibrate": "Its probabilities are of pixels, and no temperature is fitted for those; it "
        "is for classifications.",
        "aggregate": "is about the pieces of an image, which classifications have; this is a "
        "segmentation.",
        "calibrated": "is for the probabilities of a classification; this is a segmentation.",
        "pseudo": "pseudo-labels are of a classification (train_cls.py --folds).",
    },
)
