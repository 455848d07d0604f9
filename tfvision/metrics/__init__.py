"""Metrics of segmentation and classification, all computed from confusion matrices."""

from tfvision.registry import Registry, lazy_names

METRICS = Registry(
    "metric",
    {
        "mean_iou": "tfvision.metrics.segmentation:MeanIoU",
        "mean_dice": "tfvision.metrics.segmentation:MeanDice",
        "pixel_accuracy": "tfvision.metrics.segmentation:PixelAccuracy",
        "accuracy": "tfvision.metrics.labels:Accuracy",
        "macro_f1": "tfvision.metrics.labels:MacroF1",
        "weighted_f1": "tfvision.metrics.labels:WeightedF1",
        "balanced_accuracy": "tfvision.metrics.labels:BalancedAccuracy",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    METRICS,
    {
        "Contract": "tfvision.metrics.contract:Contract",
        "conventions": "tfvision.metrics.contract:conventions",
        "confusion_matrix": "tfvision.metrics.confusion:confusion_matrix",
    },
)
