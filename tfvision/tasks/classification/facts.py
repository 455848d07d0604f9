"""What is known of classification without TensorFlow."""

from tfvision.tasks.facts import Score, TaskFacts

FACTS = TaskFacts(
    name="classification",
    script="train_cls.py",
    folder="cls",
    arch="small_cnn",
    truth="label",
    truth_word="labels",
    unit="images",
    config="tfvision.tasks.classification.schema:ClassificationConfig",
    task="tfvision.tasks.classification.task:Classification",
    evidence="tfvision.metrics.evidence:LabelEvidence",
    formats=("labels",),
    classes_by_name=True,
    example=((224, 224, 3), 8),
    tables={"model": "tfvision.models:CLASSIFIERS", "data.input": "tfvision.data:INPUTS"},
    scores={
        "accuracy": Score("accuracy", of_class="F1"),
        "macro_f1": Score("macro-F1", of_class="F1"),
        "weighted_f1": Score("weighted F1", of_class="F1"),
        "balanced_accuracy": Score("balanced accuracy", of_class="recall"),
    },
    columns=("accuracy", "macro_f1"),
    reasons={
        "tile": "--tile cuts large images for a segmentation; a classification has one answer an "
        "image. Leave --tile out; data.input says what the network sees of an image.",
        "pictures": "a classification has labels, no masks to draw",
        "components": "a rule of components needs masks, and these are folds of a "
        "classification, where an image has one label. Leave it out.",
        "depth": "--depth prunes a UNet++",
        "search": "A search is of segmentation configs so far.",
    },
)
