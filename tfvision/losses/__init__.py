"""Losses: `keras.losses.Loss` on (labels, logits), one value an image.

Those of `ON_EMBEDDINGS` are of a classification, on (labels, embeddings) of a whole batch. Those
of `DETECTION_LOSSES` are functions of what a detector's head says beside what it should say.
"""

from tfvision.registry import Registry, lazy_names

LOSSES = Registry(
    "loss",
    {
        "binary_cross_entropy": "tfvision.losses.one_vs_rest:BinaryCrossEntropy",
        "binary_dice": "tfvision.losses.one_vs_rest:BinaryDice",
        "boundary": "tfvision.losses.boundary:Boundary",
        "cross_entropy": "tfvision.losses.cross_entropy:CrossEntropy",
        "dice": "tfvision.losses.dice:Dice",
        "focal": "tfvision.losses.focal:Focal",
        "hard_pixels": "tfvision.losses.hard_pixels:HardPixels",
        "lovasz_softmax": "tfvision.losses.lovasz:LovaszSoftmax",
        "supervised_contrastive": "tfvision.losses.contrastive:SupervisedContrastive",
        "tversky": "tfvision.losses.tversky:Tversky",
    },
)

DETECTION_LOSSES = Registry(
    "loss",
    {
        name: f"tfvision.losses.detection:{name}"
        for name in ("cross_entropy", "focal", "smooth_l1", "giou", "diou", "ciou")
    },
)
CLASS_TERMS = {"cross_entropy", "focal"}  # the rest of these is on boxes

ON_EMBEDDINGS = {"supervised_contrastive"}

__getattr__, __dir__, __all__ = lazy_names(
    __name__, LOSSES, {"class_weights": "tfvision.losses.weights:class_weights"}
)
